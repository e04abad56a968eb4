"""Where models that predict run, and where what is made for them is kept."""

import os
from pathlib import Path

import torch

from nep.config.base import Precision
from nep.workflow.device import on_cuda

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def default_device() -> str:
    """`cuda` where this process can compute on it, else `cpu`. Raises InputError as `on_cuda`."""
    return "cuda" if on_cuda() else "cpu"


def default_precision(device: str) -> Precision:
    """bf16 on a GPU, fp32 on a CPU, many of which compute in bf16 twenty times slower."""
    return "fp32" if device == "cpu" else "bf16"


def default_cache() -> Path:
    """Folder of first parts: `nep/first_parts` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nep" / "first_parts"
