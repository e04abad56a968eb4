"""Trainings in one or two processes, ZeRO 2 or 3, killed at any moment; of each stage also as the workflow starts them.

The others are forked from a process that has imported everything, and end in the same bytes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
from support.matrix import MATRIX
from support.recipes import outputs
from support.training_process import run, start, stop_when

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Training
from nep.files import read_jsonl
from nep.train.runtime.options import RunPaths

ROOT = Path(__file__).parents[3]
SFT = {"epochs": 4, "batch_size": 5, "pack_tokens": 200, "lr": 1e-3, "threads": 1, "checkpoint_minutes": 0}
GRPO = {
    "steps": 6,
    "prompts_per_step": 3,
    "completions": 3,
    "pack_tokens": 200,
    "max_new_tokens": 8,
    "lr": 1e-3,
    "threads": 1,
    "checkpoint_minutes": 0,
    "validate_every": 3,
}
DAPO = {**GRPO, "kl_coef": 0.0, "entropy_coef": 0.0, "refill_rounds": 2, "overlong_buffer": 7, "shuffled_bonus": 0.3}
LOSS_TOLERANCE = 1e-4
TIMEOUT_S = 300

pytestmark = pytest.mark.e2e


def command(stage: str, block: dict, run: Path, target: Path, processes: int = 1) -> list[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    # fmt: off
    return [
        *launcher, f"scripts/train_{stage}.py", "--recipe", json.dumps(block), "--seed", "1", "--experiment", "nep",
        "--checkpoint-minutes", "0", "--keep-checkpoints", "2", "--tracker", "none",
        "--convert-dir", str(run / "convert"), "--encode-dir", str(run / "encode"),
        "--index", str(run / "encode" / "index.jsonl"),
        "--model", str(run / "models" / "base"), "--model-manifest", str(run / "models" / "base.manifest.json"),
        "--run-dir", str(target), "--out-dir", str(target / "nep" / stage),
    ]
    # fmt: on


def finish(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def curve(target: Path, stage: str) -> list[float]:
    return [row["loss"] for row in read_jsonl(target / "nep" / stage / "metrics.jsonl")]


def recipe(stage: str, block: dict) -> Training:
    return (Sft if stage == "sft" else Grpo)(**block)


@pytest.fixture
def places(paths_to: Callable[[Path], RunPaths], tmp_path: Path) -> Callable[[str, str], RunPaths]:
    """Paths of a stage below a folder of this name, with the outputs where `command` has them."""
    return lambda name, stage: replace(paths_to(tmp_path / name), out=tmp_path / name / "nep" / stage)


@pytest.mark.parametrize(
    ("stage", "block", "launched"),
    [("sft", SFT, (2, 3)), ("grpo", GRPO, (2, 2)), pytest.param("grpo", DAPO, None, marks=MATRIX)],
)
def test_processes_and_zero_stages_give_the_same_loss_curve(
    run_folder: Path, places, tmp_path: Path, stage: str, block: dict, launched: tuple[int, int] | None
) -> None:
    """Two processes with uneven shares: batches of 5 and 1 samples, 3 prompts. One of each stage by the launcher."""
    curves = {}
    for processes in (1, 2):
        for zero in (2, 3):
            target = tmp_path / f"{processes}-{zero}"
            settings = {**block, "deepspeed": f"config/deepspeed/zero{zero}.json"}
            if (processes, zero) == launched:
                done = finish(command(stage, settings, run_folder, target, processes))
                assert done.returncode == 0, done.stderr[-3000:]
            else:
                ended = run(recipe(stage, settings), places(target.name, stage), processes)
                assert ended == [0] * processes, (target / "stderr.txt").read_text()[-3000:]
            curves[processes, zero] = curve(target, stage)
    reference = curves[1, 2]
    assert len(reference) == (8 if stage == "sft" else 6)
    for computed in curves.values():
        assert computed == pytest.approx(reference, abs=LOSS_TOLERANCE)


def entered(folder: Path, pattern: str) -> Callable[[], bool]:
    """Whether a path that ends in `pattern` exists below the folder by now; folders may vanish meanwhile."""
    return lambda: any(
        fnmatch(f"{root}/{name}", f"*/{pattern}")
        for root, folders, files in os.walk(folder)
        for name in [*folders, *files]
    )


@pytest.mark.parametrize(("stage", "block"), [pytest.param("sft", SFT, marks=MATRIX), ("grpo", GRPO)])
def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(
    run_folder: Path, places, tmp_path: Path, stage: str, block: dict
) -> None:
    """SIGKILL while a checkpoint is written, between two, and while the final model is written."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert finish(command(stage, block, run_folder, undisturbed)).returncode == 0
    moments = [
        entered(killed, ".partial/step-2/*.pt"),
        entered(killed, "step-2"),
        entered(killed, "step-4"),
        entered(killed / "nep", "model"),
    ]
    paths = places(killed.name, stage)
    kills = [stop_when(start(recipe(stage, block), paths), signal.SIGKILL, moment) for moment in moments]
    assert kills == [[-signal.SIGKILL]] * len(moments)
    assert run(recipe(stage, block), paths) == [0], (killed / "stderr.txt").read_text()[-3000:]
    assert outputs(killed / "nep" / stage) == outputs(undisturbed / "nep" / stage)


def test_bad_input_ends_in_one_line_and_status_2(run_folder: Path, tmp_path: Path) -> None:
    done = finish(command("sft", {**SFT, "datasets": {"nxt": None}}, run_folder, tmp_path))
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: sft.datasets: no data set 'nxt'")]
    assert "Traceback" not in done.stderr
