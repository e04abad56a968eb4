"""One DeepSpeed engine for SFT and GRPO: load, freeze, accumulate exact gradients, step.

DeepSpeed is told of one micro-batch a step and never scales a loss by itself: the trainers hand in losses of packed
rows, already normalised over the whole effective batch, and `accumulate` says which row is the last one.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, PreTrainedModel

from nep.config import Training
from nep.errors import InputError
from nep.files import read_json
from nep.train.attention import can_pack
from nep.train.packing import PackedRow
from nep.train.scoring import Policy, Scorer
from nep.train.world import World, import_deepspeed

Part = Literal["vision_tower", "projector", "language_model"]
PROJECTOR_MODULES = {"merger", "deepstack_merger_list", "multi_modal_projector", "mm_projector", "connector"}
VISION_MODULES = {"visual", "vision_tower", "vision_model"}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_model(folder: Path, training: Training, device: torch.device) -> PreTrainedModel:
    """A Hugging Face vision-language checkpoint in the precision of `training`. Raises InputError if it cannot load."""
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=DTYPES[training.precision], attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: cannot be loaded as a vision-language checkpoint ({error})") from None
    return model.to(device)


def part_of(parameter_name: str) -> Part:
    """Which part of the model a parameter belongs to, by the module names on its path."""
    modules = set(parameter_name.split("."))
    if modules & PROJECTOR_MODULES:
        return "projector"
    return "vision_tower" if modules & VISION_MODULES else "language_model"


def freeze(model: nn.Module, parts: list[Part]) -> None:
    """Take the gradient from the parameters of `parts`. Raises InputError when nothing is left to train."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) not in parts)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"freeze {parts}: nothing is left to train; take at least one part out of 'freeze'")


class Engine:
    """The model under training.

    Attributes: `world`, `training`, and `deepspeed`, the DeepSpeed engine (checkpoints go through it).
    """

    def __init__(self, folder: Path, training: Training, world: World) -> None:
        self.world = world
        self.training = training
        self._folder = folder
        self._plain_copy: PreTrainedModel | None = None
        model = load_model(folder, training, world.device)
        freeze(model, training.freeze)
        if training.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=training.lr, weight_decay=training.weight_decay)
        self._library = import_deepspeed()
        self.deepspeed, *_ = self._library.initialize(
            model=Scorer(model), optimizer=optimizer, config=deepspeed_config(training)
        )

    @property
    def model(self) -> PreTrainedModel:
        """The Hugging Face model; under ZeRO-3 its weights are partitioned, see `plain_model`."""
        return self.deepspeed.module.model

    @property
    def packs(self) -> bool:
        """Whether several sequences can stand in one row of this model."""
        return can_pack(self.model.config)

    @property
    def partitioned(self) -> bool:
        """Whether the weights are spread over the processes (ZeRO-3)."""
        return self.deepspeed.zero_optimization_stage() == 3

    def score(self, row: PackedRow, policy: Policy | None = None) -> Tensor:
        """Scores of a row's labelled tokens in a training forward, see `Scorer`."""
        return self.deepspeed(row.inputs, row.rows, row.targets, policy)

    def accumulate(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of `loss` to that of the effective batch; `last` closes the batch.

        The gradient of the step is the SUM of the accumulated ones over rows and processes: DeepSpeed
        averages over processes, which the factor `world.size` undoes.
        """
        self.deepspeed.set_gradient_accumulation_boundary(last)
        self.deepspeed.backward(loss * self.world.size)

    def step(self, rate: float) -> float:
        """Clip, take one optimiser step at learning rate `rate`, and return the gradient norm before clipping."""
        for group in self.deepspeed.optimizer.param_groups:
            group["lr"] = rate
        self.deepspeed.step()
        return float(self.deepspeed.get_global_grad_norm())

    def plain_model(self) -> PreTrainedModel:
        """The current weights as a whole model on this process, for decoding and saving. All processes must call it.

        Under ZeRO-3 this is a copy that each call refreshes; otherwise it is the model under training itself.
        """
        if not self.partitioned:
            return self.model
        if self._plain_copy is None:
            self._plain_copy = load_model(self._folder, self.training, self.world.device).requires_grad_(False)
        targets = dict(self._plain_copy.named_parameters())
        for name, parameter in self.model.named_parameters():
            with self._library.zero.GatheredParameters([parameter]), torch.no_grad():
                targets[name].copy_(parameter)
        return self._plain_copy


def deepspeed_config(training: Training) -> dict[str, Any]:
    """The user's DeepSpeed file (ZeRO stage and buckets) with batch, precision and clipping filled in."""
    path = Path(training.deepspeed)
    config = read_json(path)
    if not isinstance(config, dict) or "stage" not in config.get("zero_optimization", {}):
        raise InputError(f"{path}: needs 'zero_optimization' with a 'stage' (2 or 3)")
    return {
        **config,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.grad_clip,
        "bf16": {"enabled": training.precision == "bf16"},
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1 << 60,
    }
