"""A checkpoint whose language model is loaded in 8 or 4 bits, by bitsandbytes, for use without training.

`int8`: LLM.int8 (arXiv 2208.07339), matrix products of 8-bit weights and activations, outliers apart in 16 bits.
`nf4`: NormalFloat of 4 bits in blocks of 64 weights (arXiv 2305.14314), computed in the model's own number format.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, BitsAndBytesConfig

from nep.errors import InputError

Quantization = Literal["int8", "nf4"]
_PACKAGE = "bitsandbytes"
# Weights of a block of nf4, and rows that bitsandbytes' kernels for CPUs take at a time.
_BLOCK, _ROWS = 64, 32


def quantized_options(folder: Path, kind: Quantization, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained`: linear layers of the language model in 8 or 4 bits, all else in `dtype`.

    Raises InputError, before anything is loaded, where the package is missing, cannot compute on the device, or the
    checkpoint is quantised already.
    """
    _need_kernels(kind, dtype, device)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(f"{folder}: quantised already, as its config.json says; load it without 'quantize'")
    form = {"load_in_8bit": True} if kind == "int8" else {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    how = BitsAndBytesConfig(**form, bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=_kept_modules(config, kind))
    # A quantised model cannot be moved: it is loaded where it stays.
    return {"quantization_config": how, "device_map": {"": device}}


def _need_kernels(kind: Quantization, dtype: torch.dtype, device: torch.device) -> None:
    # It warns at each layer that activations become 16-bit numbers.
    logging.getLogger(_PACKAGE).setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ImportError as error:
        raise InputError(f"quantize: {kind} needs the package {_PACKAGE}, which cannot be imported ({error})") from None
    probed = {"int8": bitsandbytes.nn.Linear8bitLt, "nf4": bitsandbytes.nn.LinearNF4}[kind]
    more = {"has_fp16_weights": False} if kind == "int8" else {"compute_dtype": dtype}
    try:
        with torch.no_grad():
            layer = probed(_BLOCK, _BLOCK, bias=False, **more).to(device)
            layer(torch.ones(1, _BLOCK, dtype=dtype, device=device))
    # Whatever a missing kernel, library or driver raises.
    except Exception as error:
        raise InputError(
            f"quantize: {_PACKAGE} {bitsandbytes.__version__} cannot compute {kind} on {device} here "
            f"({type(error).__name__}: {error}); leave 'quantize' out, or choose another device"
        ) from None


def _kept_modules(config: Any, kind: Quantization) -> list[str]:
    """Names of the modules that keep their numbers: vision tower, projector, head; layers that blocks do not fit."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    decoder = model.get_decoder()
    head = [name for name, module in model.named_children() if module is not model.model]
    beside = [f"model.{name}" for name, module in model.model.named_children() if module is not decoder]
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    uneven = [name for name, layer in linear if kind == "nf4" and not _fits_blocks(layer)]
    return [*head, *beside, *uneven]


def _fits_blocks(layer: nn.Linear) -> bool:
    return layer.in_features % _BLOCK == 0 and layer.out_features % _ROWS == 0
