"""Short trainings of the tiny model, and what one leaves."""

from pathlib import Path
from typing import Any

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.files import sha256_of_file


def short_sft(**settings: Any) -> Sft:
    """SFT at a rate that moves the tiny model within a few steps."""
    return Sft(**{"lr": 1e-3, "threads": 1, **settings})


def short_grpo(**settings: Any) -> Grpo:
    """GRPO on three prompts a step with three completions of a few tokens."""
    few = {"prompts_per_step": 3, "completions": 3, "max_new_tokens": 6}
    return Grpo(**{**few, "lr": 1e-3, "threads": 1, **settings})


def outputs(out: Path) -> dict[str, str]:
    """Hashes of all files of a training but its timings."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "timings.jsonl"]
    return {path.relative_to(out).as_posix(): sha256_of_file(path) for path in files}
