"""The parts of a vision-language model: which parameter belongs where, what is frozen, and AdamW's groups."""

from typing import Any

from torch import nn

from nep.config.training import Part, Training
from nep.errors import InputError

PROJECTOR_MODULES = {
    "merger",
    "deepstack_merger_list",
    "multi_modal_projector",
    "projector",
    "connector",
    "image_newline",
}
VISION_MODULES = {"visual", "vision_tower", "vision_model"}
ADAPTER_MODULES = {"lora_A", "lora_B", "lora_magnitude_vector"}


def part_of(parameter_name: str) -> Part:
    """Which part of the model a parameter belongs to, by the module names on its path."""
    modules = set(parameter_name.split("."))
    if modules & PROJECTOR_MODULES:
        return "projector"
    return "vision_tower" if modules & VISION_MODULES else "language_model"


def is_adapter(parameter_name: str) -> bool:
    """Whether a parameter is one of an adapter's."""
    return not ADAPTER_MODULES.isdisjoint(parameter_name.split("."))


def freeze(model: nn.Module, training: Training) -> None:
    """Take the gradient from the parameters of the parts in `freeze`, and where the language model has adapters, from
    its own ones. Raises InputError when nothing is left to train."""
    for name, parameter in model.named_parameters():
        beneath = training.lora is not None and part_of(name) == "language_model" and not is_adapter(name)
        parameter.requires_grad_(part_of(name) not in training.freeze and not beneath)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"freeze {training.freeze}: nothing is left to train; take at least one part out of 'freeze'")


def parameter_groups(model: nn.Module, training: Training) -> list[dict[str, Any]]:
    """AdamW's groups of the trainable parameters: one for each pair of learning rate and weight decay in use."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = training.lr * training.lr_factors.get(part_of(name), 1.0)
            decays = training.decay == "all" or parameter.ndim > 1
            groups.setdefault((rate, training.weight_decay if decays else 0.0), []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
