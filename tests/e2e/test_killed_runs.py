"""`kill -9` of the whole workflow in the middle of its stages, then the same command: the same bytes in the end.

The moments are drawn from NEP_KILL_SEED (0): another seed, other moments.
"""

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.workflow import Workplace, hashes

from nep.files import read_jsonl
from nep.watch.live import look
from nep.watch.view import view

pytestmark = pytest.mark.e2e

SEED = int(os.environ.get("NEP_KILL_SEED", "0"))


@dataclass(frozen=True)
class Stage:
    """A stage to kill: what shows that it is under way, how many such files (or lines) at most to wait for, how long to
    wait after that at most, and the output that it must not have reached."""

    name: str
    signs: str
    at_most: int
    longest_delay_s: float
    output: str


STAGES = [
    Stage("make_tiny_model", "logs/make_tiny_model.log", 1, 4, "tiny_model/config.json"),
    Stage("split", "work/split/*/*.json", 14, 0.2, "split/manifest.jsonl"),
    Stage("encode", "logs/encode_shard/*.log", 2, 4, "encode/index.jsonl"),
    Stage("sft", "work/sft/nep/*/metrics.jsonl", 6, 0.1, "nep/sft/manifest.json"),
    Stage("grpo", "work/grpo/nep/*/metrics.jsonl", 5, 0.2, "nep/grpo/manifest.json"),
    Stage("evaluate", "work/evaluate/nep-grpo-*/lmms_eval.log", 1, 6, "evaluate/nep-grpo/scores.json"),
]


def signs(run: Path, stage: Stage) -> int:
    """Lines of the stage's growing log, or else number of its files."""
    paths = list(run.glob(stage.signs))
    if stage.signs.endswith(".jsonl"):
        return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)
    return len(paths)


def enough(run: Path, stage: Stage, number: int, pictures: dict[str, str]) -> Callable[[], bool]:
    """Whether the stage is far enough; then `pictures` has the view of that moment under the stage's name."""

    def reached() -> bool:
        found = signs(run, stage) >= number
        if found:
            pictures[stage.name] = picture(run)
        return found

    return reached


def picture(run: Path) -> str:
    """What `make watch` shows now."""
    return "\n".join(view(look(run.parents[1], run.name)))


def test_a_run_killed_in_every_stage_ends_in_the_same_bytes(small_run, workplace: Workplace) -> None:
    config = workplace.configure("small")
    run = workplace.root / "results" / "small"
    moments = random.Random(SEED)
    pictures: dict[str, str] = {}
    for stage in STAGES:
        number = moments.randint(1, stage.at_most)
        delay_s = moments.uniform(0, stage.longest_delay_s)
        print(f"{stage.name}: killed {delay_s:.2f} s after sign {number} of {stage.signs}")
        workplace.run_until(config, enough(run, stage, number, pictures), delay_s)
        assert signs(run, stage) >= number
        assert "under way (" in pictures[stage.name]
        assert "DIED (" in (after := picture(run)) and "run the same command to resume" in after
        assert not (run / stage.output).exists(), f"{stage.name} was over before the kill"
    outcome = workplace.run(config)
    assert outcome.status == 0, outcome.text
    assert re.search(r"^split .* [1-9]\d* of 28 videos", pictures["split"], re.MULTILINE)
    assert re.search(r"^  train_sft nep .* [1-8] of 8 steps", pictures["sft"], re.MULTILINE)
    assert re.search(r"^  train_grpo nep .* [1-6] of 6 steps", pictures["grpo"], re.MULTILINE)
    assert "loss " in pictures["sft"] and "reward " in pictures["grpo"]
    undisturbed, disturbed = hashes(small_run.folder), hashes(run)
    assert disturbed == undisturbed
    assert {"nep/grpo/model/model.safetensors", "report/results.csv", "split/manifest.jsonl"} < set(disturbed)
    assert [row["step"] for row in read_jsonl(run / "nep/sft/timings.jsonl")] == list(range(1, 9))
