"""ms-swift itself trains on its export: SFT on the dialogues, GRPO with the exported rewards on the clips."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nep.files import read_jsonl

EXPORT = "export/swift/nep"
PLUGIN = Path(__file__).with_name("tiny_model_plugin.py")
SMALL = {"attn_impl": "sdpa", "dataset_num_proc": 1, "dataloader_num_workers": 0, "model": "models/base"}


def train(stage: str, run: Path, call: Callable[..., str], config: Path) -> list[dict]:
    """Two steps; the rows of ms-swift's log."""
    call(".venv-interop-swift", "swift", {"sft": "sft", "grpo": "rlhf"}[stage], config)
    (log,) = (run / f"trained/swift/nep/{stage}").glob("*/logging.jsonl")
    return read_jsonl(log)


def test_sft_takes_two_steps(run: Path, call: Callable[..., str], on_cpu: Callable[..., Path]) -> None:
    config = on_cpu(f"{EXPORT}/sft.yaml", external_plugins=[str(PLUGIN)], **SMALL)
    losses = [float(row["loss"]) for row in train("sft", run, call, config) if "loss" in row]
    assert len(losses) == 2 and all(1 < loss < 12 for loss in losses)


def test_grpo_rolls_out_on_clips_and_scores_with_the_exported_reward(
    run: Path, call: Callable[..., str], on_cpu: Callable[..., Path]
) -> None:
    plugins = [f"{EXPORT}/plugin.py", str(PLUGIN)]
    config = on_cpu(f"{EXPORT}/grpo.yaml", external_plugins=plugins, **SMALL)
    steps = [row for row in train("grpo", run, call, config) if "reward" in row]
    assert len(steps) == 2
    for row in steps:
        assert float(row["reward"]) == pytest.approx(float(row["rewards/Letter/mean"]))
        assert 0 < float(row["completions/mean_length"]) <= 12
