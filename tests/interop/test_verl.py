"""verl itself composes the exported recipe, reads rows and clips, and scores with the exported reward function."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nep.files import read_jsonl

EXPORT = "export/verl/nep"
READER = Path(__file__).with_name("read_with_verl.py")


@pytest.fixture(scope="module")
def composed(run: Path, call: Callable[..., str]) -> Path:
    """The whole configuration, as verl's own command prints it."""
    options = ("--config-dir", run / EXPORT, "--config-name", "recipe", "--cfg", "job")
    printed = call(".venv-interop", "python", "-m", "verl.trainer.main_ppo", *options)
    path = run.parent / "verl.yaml"
    path.write_text(printed[printed.index("model_engine:") :], encoding="utf-8")
    return path


def test_the_recipe_is_laid_over_verls_own(composed: Path) -> None:
    config = yaml.safe_load(composed.read_text(encoding="utf-8"))
    actor = config["actor_rollout_ref"]["actor"]
    assert actor["_target_"] == "verl.workers.config.FSDPActorConfig", "verl's own defaults are there"
    assert (actor["kl_loss_coef"], actor["entropy_coeff"], actor["optim"]["lr"]) == (1e-2, 1e-3, 1e-4)
    assert (config["data"]["train_batch_size"], config["actor_rollout_ref"]["rollout"]["n"]) == (4, 4)
    assert config["trainer"]["total_training_steps"] == 6


def test_rows_clips_and_rewards_are_read(run: Path, composed: Path, call: Callable[..., str]) -> None:
    found = json.loads(call(".venv-interop", "python", READER, composed).splitlines()[-1])
    for part in ("train", "validation"):
        rows = read_jsonl(run / EXPORT / f"{part}.jsonl")
        assert found[part]["ids"] == [row["extra_info"]["id"] for row in rows]
        assert found[part]["text"] == rows[0]["prompt"][0]["content"]
        ((frames, channels, height, width),) = found[part]["shapes"]
        assert 2 <= frames <= 8 and channels == 3 and height * width == 56 * 56
    assert (found["A"], found["B"]) == (0.0, 1.0)
