"""One DeepSpeed engine for SFT and GRPO: load, freeze, accumulate exact gradients, step.

DeepSpeed is told of one micro-batch a step and never scales a loss by itself: the trainers hand in losses of packed
rows, already normalised over the whole effective batch, and `accumulate` says which row is the last one.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, PreTrainedModel

from nep.config.training import Training
from nep.errors import InputError
from nep.files import read_json
from nep.model.adapters import add_adapters, merge_adapters, without_adapters
from nep.model.attention import can_pack
from nep.model.packing import PackedRow
from nep.model.param_groups import freeze, parameter_groups
from nep.model.precision import DTYPES
from nep.model.scoring import Policy, Scorer
from nep.train.distributed import DistributedContext, import_deepspeed
from nep.train.runtime.preflight import check_memory
from nep.workflow.bf16 import say_what_bf16_costs

STAGES = (0, 1, 2, 3)
LOWEST_STAGE_TO_OFFLOAD = {"offload_optimizer": 1, "offload_param": 3}


def load_model(folder: Path, training: Training, device: torch.device) -> PreTrainedModel:
    """A Hugging Face vision-language checkpoint in the precision of `training`. Raises InputError if it cannot load."""
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=DTYPES[training.precision], attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: cannot be loaded as a vision-language checkpoint ({error})") from None
    return model.to(device)


class Engine:
    """The model under training.

    Attributes: `distributed`, `training`, `deepspeed`, the DeepSpeed engine (checkpoints go through it), and `version`,
    how often this process has changed the weights.
    """

    def __init__(self, folder: Path, training: Training, distributed: DistributedContext, seed: int) -> None:
        self.distributed = distributed
        self.training = training
        self._folder = folder
        self._seed = seed
        self._plain_copy: PreTrainedModel | None = None
        self.version = 0
        config = deepspeed_config(training)
        check_memory(folder, training, config, distributed.size, distributed.is_main_process)
        if distributed.is_main_process:
            say_what_bf16_costs(DTYPES[training.precision], distributed.device)
        model = self._start_model()
        if training.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        groups = parameter_groups(model, training)
        self._scales = [group["lr"] / training.lr for group in groups]
        self._decays = [group["weight_decay"] for group in groups]
        self._optimizer = adamw(groups, distributed.device)
        self._library = import_deepspeed()
        # DeepSpeed's first collective would give up on a process whose disk is slow.
        distributed.barrier()
        self.deepspeed, *_ = self._library.initialize(model=Scorer(model), optimizer=self._optimizer, config=config)

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

    @torch.no_grad()
    def score_start(self, row: PackedRow, policy: Policy | None = None) -> Tensor:
        """The scores under the start model, without a copy of it, where `trains_adapters_only`."""
        with without_adapters(self.model):
            return self.score(row, policy)

    def accumulate(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of `loss` to that of the effective batch; `last` closes the batch.

        The gradient of the step is the SUM of the accumulated ones over rows and processes: DeepSpeed
        averages over processes, which the factor `distributed.size` undoes. A loss that is not finite makes the whole
        gradient so, on all processes, even where its own derivative is finite.
        """
        self.deepspeed.set_gradient_accumulation_boundary(last)
        factor = torch.where(loss.detach().isfinite(), float(self.distributed.size), torch.nan)
        self.deepspeed.backward(loss * factor.to(loss))

    def step(self, rate: float) -> float:
        """Clip, take one optimiser step at learning rate `rate`, and return the gradient norm before clipping.

        Where the norm is not finite, DeepSpeed drops the gradient: weights and optimiser state stay as they are.
        """
        # Both at each step: a checkpoint of another world size gives all groups the settings of the first one.
        for group, scale, decay in zip(self.deepspeed.optimizer.param_groups, self._scales, self._decays, strict=True):
            group.update(lr=rate * scale, weight_decay=decay)
        self.version += 1
        norm = self._unpartitioned_norm()
        if norm is None or math.isfinite(norm):
            self.deepspeed.step()
        else:
            self.deepspeed.zero_grad()
        return float(self.deepspeed.get_global_grad_norm()) if norm is None else norm

    def loaded(self) -> None:
        """To be called when a checkpoint has been loaded."""
        self.version += 1
        step_counts_to_moments(self._optimizer)

    def _unpartitioned_norm(self) -> float | None:
        """The gradient norm where DeepSpeed does not compute it: fp32 without ZeRO."""
        if self.deepspeed.zero_optimization() or self.deepspeed.bfloat16_enabled():
            return None
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        return float(nn.utils.get_total_norm(gradients))

    def plain_model(self) -> PreTrainedModel:
        """The current weights as a whole model on this process, for decoding. All processes must call it.

        Under ZeRO-3 this is a copy that each call refreshes; otherwise it is the model under training itself.
        """
        if not self.partitioned:
            return self.model
        if self._plain_copy is None:
            # Through a scorer, which gives it the attention of the model under training.
            self._plain_copy = Scorer(self._start_model()).model.requires_grad_(False)
        targets = dict(self._plain_copy.named_parameters())
        trained = ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)
        for name, parameter in trained:
            with self._library.zero.GatheredParameters([parameter]), torch.no_grad():
                targets[name].copy_(parameter)
        return self._plain_copy

    def published_model(self) -> PreTrainedModel:
        """The current weights in the start model's form, adapters merged. All processes must call it, at the end only:
        the model under training may be the one that loses its adapters."""
        model = self.plain_model()
        if self.training.lora:
            merge_adapters(model)
        return model

    def _start_model(self) -> PreTrainedModel:
        model = load_model(self._folder, self.training, self.distributed.device)
        if self.training.lora:
            add_adapters(model, self.training.lora, self._seed)
        freeze(model, self.training)
        return model


def adamw(groups: list[dict[str, Any]], device: torch.device) -> torch.optim.AdamW:
    """AdamW; for a model on CUDA in one kernel, without a copy of the moments. On a CPU that would round otherwise."""
    return torch.optim.AdamW(groups, fused=device.type == "cuda")


def step_counts_to_moments(optimizer: torch.optim.AdamW) -> None:
    """Put the numbers of steps where the moments are, as the one kernel reads them there.

    DeepSpeed leaves them on the host where it loads its universal form.
    """
    for state in optimizer.state.values():
        state["step"] = torch.as_tensor(state["step"], device=state["exp_avg"].device)


def deepspeed_config(training: Training) -> dict[str, Any]:
    """The user's DeepSpeed file (ZeRO stage, buckets, offload) with batch, precision and clipping filled in.

    Raises InputError for what the engine cannot run.
    """
    path = Path(training.deepspeed)
    config = read_json(path)
    zero = config.get("zero_optimization", {}) if isinstance(config, dict) else {}
    if zero.get("stage") not in STAGES:
        raise InputError(
            f"{path}: needs 'zero_optimization' with a 'stage' (0, 1, 2 or 3), found {zero.get('stage')!r}"
        )
    for key, lowest in LOWEST_STAGE_TO_OFFLOAD.items():
        device = zero.get(key, {}).get("device", "none")
        if device not in ("none", "cpu"):
            raise InputError(f"{path}: {key}.device is {device!r}; supported: 'cpu', 'none'")
        if device == "cpu" and zero["stage"] < lowest:
            raise InputError(f"{path}: {key} needs ZeRO stage {lowest} or more, found stage {zero['stage']}")
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
