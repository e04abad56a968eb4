"""Model FLOP utilisation: what a step's tokens need, against what the device was measured to do.

Counted as in PaLM (arXiv 2204.02311, appendix B): multiplications and additions of the matrix products, forward and
backward; what gradient checkpointing computes again does not count.
"""

import math
import time
from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nep.model.packing import Tree

# Products of a training step for each one of the forward pass: the backward pass has two, for the gradients of the
# input and of the weight; the latter only where the weight is trained.
TRAINED, FROZEN = 3, 2
_SIZES = {"cuda": 8192, "cpu": 512}
_MEASURED_S = 0.3


def training_flops(model: PreTrainedModel, trees: Iterable[Tree]) -> float:
    """FLOPs of training the language model on `trees`, whose visual features are given."""
    return _flops(model, trees, _products, TRAINED)


def forward_flops(model: PreTrainedModel, trees: Iterable[Tree]) -> float:
    """FLOPs of one forward pass of `trees`, with logits where a token is labelled."""
    return _flops(model, trees, _elements, 1)


def weights_read(model: PreTrainedModel) -> int:
    """Weights that a decoded token reads: those of the layers and of the head, not the table of embeddings."""
    return sum(map(_elements, _layers(model))) + _elements(model.get_output_embeddings().weight)


@cache
def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of large matrix products on this device, the best of repeated runs."""
    size = _SIZES[device.type]
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best, end = math.inf, time.monotonic() + _MEASURED_S
    while time.monotonic() < end:
        began = time.monotonic()
        _finish(left @ right)
        best = min(best, time.monotonic() - began)
    return 2 * size**3 / best


def _flops(
    model: PreTrainedModel, trees: Iterable[Tree], products: Callable[[Tensor], int], attention_passes: int
) -> float:
    """`products`: multiplications with a weight for one token."""
    text = model.config.get_text_config()
    layers = sum(map(products, _layers(model)))
    head = products(model.get_output_embeddings().weight)
    width = text.num_attention_heads * getattr(text, "head_dim", text.hidden_size // text.num_attention_heads)
    flops = 0.0
    for tree in trees:
        pairs = _attended_pairs(len(tree.prefix), [len(branch.tokens) - 1 for branch in tree.branches])
        attention = attention_passes * 2 * width * text.num_hidden_layers * pairs
        flops += 2 * (layers * len(tree) + head * tree.labelled + attention)
    return flops


def _attended_pairs(prefix: int, branches: list[int]) -> float:
    """Pairs of a query and a key that it sees."""
    return prefix**2 / 2 + sum(length * prefix + length**2 / 2 for length in branches)


def _products(weight: Tensor) -> int:
    """Multiplications with a weight in a training step, for one token."""
    return _elements(weight) * (TRAINED if weight.requires_grad else FROZEN)


def _elements(weight: Tensor) -> int:
    return math.prod(_shape(weight))


def _layers(model: PreTrainedModel) -> list[Tensor]:
    """Matrices of the language model's layers."""
    return [weight for name, weight in model.named_parameters() if _in_layers(name, weight)]


def _in_layers(name: str, weight: Tensor) -> bool:
    return ".layers." in name and "visual" not in name and len(_shape(weight)) == 2


def _shape(weight: Tensor) -> tuple[int, ...]:
    """Shape of the whole weight, of which ZeRO-3 leaves an empty one in its place."""
    return tuple(getattr(weight, "ds_shape", weight.shape))


def _finish(result: Tensor) -> None:
    if result.is_cuda:
        torch.cuda.synchronize()
