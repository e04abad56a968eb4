"""Precisions of the configuration as PyTorch knows them."""

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
