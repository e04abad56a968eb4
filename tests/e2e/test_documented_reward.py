"""The reward function that docs/rewards.md shows, in a training."""

import re
from pathlib import Path

import pytest
import yaml
from support.entry_points import ROOT
from support.workflow import Workplace

from nep.files import read_jsonl

pytestmark = pytest.mark.e2e

NAME = "my_rewards:brevity"


def shown(file: str) -> str:
    """The block of the page that is to be written to `file`."""
    text = (ROOT / "docs/rewards.md").read_text(encoding="utf-8")
    return re.search(rf"^```\w+ {re.escape(file)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


def test_the_documented_reward_is_trained_on(copy_of_small_run: Workplace) -> None:
    (copy_of_small_run.root / "my_rewards.py").write_text(shown("my_rewards.py"), encoding="utf-8")
    recipe = yaml.safe_load(shown("config/recipes/brevity.yaml"))
    weights = recipe["grpo"]["rewards"]
    assert set(weights) == {"letter", NAME}
    outcome = copy_of_small_run.run(copy_of_small_run.configure("small", **recipe), "grpo")
    assert outcome.status == 0, outcome.text
    assert outcome.planned() == {"train_grpo": 1, "grpo": 1}
    rows = read_jsonl(copy_of_small_run.root / Path("results/small/nep/grpo/metrics.jsonl"))
    assert len(rows) == 6
    for row in rows:
        # Of at most 12 tokens, hence never more than 20 words.
        assert row[f"reward_{NAME}"] == 1.0
        assert row["reward"] == pytest.approx(weights["letter"] * row["reward_letter"] + weights[NAME])
