"""What the consumers share that are built on the Hugging Face Trainer: its arguments, and DeepSpeed's file."""

from pathlib import Path
from typing import Any

from nep.config.training import Training
from nep.errors import InputError
from nep.files import read_json

SCHEDULES = {"cosine": "cosine", "constant": "constant_with_warmup"}
# The Trainer fills these in from its own arguments.
FILLED_IN = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)


def trainer_arguments(training: Training, seed: int, output_dir: str) -> dict[str, Any]:
    """Optimiser, precision and checkpoints as the Trainer's arguments."""
    return {
        "learning_rate": training.lr,
        "lr_scheduler_type": SCHEDULES[training.schedule],
        "warmup_ratio": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.grad_clip,
        "bf16": training.precision == "bf16",
        "seed": seed,
        "save_steps": training.validate_every,
        "logging_steps": 1,
        "report_to": "none",
        "output_dir": output_dir,
    }


def deepspeed_config(training: Training) -> dict[str, Any]:
    """The user's DeepSpeed file (ZeRO stage and buckets) in the form that the Trainer completes."""
    return {
        **read_json(Path(training.deepspeed)),
        **dict.fromkeys(FILLED_IN, "auto"),
        "bf16": {"enabled": "auto"},
        "zero_allow_untested_optimizer": True,
    }


def accumulation_steps(key: str, whole: int, processes: int) -> int:
    """Micro-batches of one a step. Raises InputError that names `key` where `whole` cannot be divided into them."""
    steps, rest = divmod(whole, processes)
    if rest or not steps:
        raise InputError(f"{key} {whole} is no multiple of {processes} processes; the Trainer needs equal batches")
    return steps
