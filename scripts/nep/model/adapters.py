"""LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353) adapters of the language model's linear layers, by peft.

They stand inside the model, under its own names, and are merged into ordinary weights when it is published.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from nep.config.training import Lora
from nep.errors import InputError
from nep.model.param_groups import is_adapter, part_of


def add_adapters(model: PreTrainedModel, lora: Lora, seed: int) -> None:
    """Put adapters, drawn by `seed`, into the model; its output stays what it was. Raises InputError for an unknown
    name in `lora.modules`."""
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, use_dora=lora.dora, lora_dropout=0.0, target_modules=_targets(model, lora)
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            # peft makes fp32 of bf16; DeepSpeed keeps fp32 masters of its own.
            parameter.data = parameter.data.to(model.dtype)


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """The model as it was before it got adapters."""
    layers = [layer for _, layer in adapted_layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@torch.no_grad()
def merge_adapters(model: PreTrainedModel) -> None:
    """Fold the adapters into the weights beneath them and leave a model without any."""
    for name, layer in adapted_layers(model):
        base = layer.get_base_layer()
        base.weight.data = merged_weight(layer)
        model.set_submodule(name, base)
    del model.peft_config


@torch.no_grad()
def merged_weight(layer: LoraLayer) -> Tensor:
    """The weight beneath an adapter with the adapter folded in, computed in fp32; the layer stays as it is."""
    dtype = layer.get_base_layer().weight.dtype
    merged = deepcopy(layer).float()
    merged.merge()
    return merged.get_base_layer().weight.detach().to(dtype)


def adapted_layers(model: nn.Module) -> list[tuple[str, LoraLayer]]:
    """Name and module of each layer with an adapter."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def _targets(model: PreTrainedModel, lora: Lora) -> list[str]:
    """Full names of the layers that get an adapter: the language model's linear ones but the head."""
    head = model.get_output_embeddings()
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and part_of(name) == "language_model"
    ]
    if lora.modules is None:
        return layers
    known = {name.rpartition(".")[2] for name in layers}
    if unknown := sorted(set(lora.modules) - known):
        raise InputError(
            f"lora.modules: the language model has no linear layers {unknown}; there are {', '.join(sorted(known))}"
        )
    return [name for name in layers if name.rpartition(".")[2] in lora.modules]
