"""Runs that are told to stop, killed, out of disk, resized or fed with NaN; in real processes of the tiny model."""

import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.matrix import MATRIX
from support.recipes import outputs, short_grpo, short_sft
from support.training_process import finish, lines_in, run, start, stop_when

from nep.config.sft import Sft
from nep.config.training import Lora, Training
from nep.files import read_json, read_jsonl
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preemption import EXIT_RESUME

SFT = short_sft(epochs=10, batch_size=3, checkpoint_minutes=0, validate_every=5)
GRPO = short_grpo(steps=8, checkpoint_minutes=0, validate_every=4)
ADAPTERS = GRPO.model_copy(
    update={"lora": Lora(dora=True), "publish": "best", "deepspeed": "config/deepspeed/zero3.json"}
)
STEPS = 20
KILLS = 10
POISONED = "video-3"

Paths = Callable[[Path], RunPaths]


def messages(paths: RunPaths) -> str:
    return (paths.run / "stderr.txt").read_text()


def losses(paths: RunPaths) -> list[float]:
    return [row["loss"] for row in read_jsonl(paths.out / "metrics.jsonl")]


def checkpoints(paths: RunPaths) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in paths.run.glob("work/*/nep/*/step-*"))


@pytest.fixture(scope="module")
def undisturbed(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], RunPaths]:
    """A finished run that nobody disturbed, made once for each recipe."""
    made: dict[str, RunPaths] = {}

    def run_of(recipe: Training) -> RunPaths:
        key = recipe.model_dump_json()
        if key not in made:
            target = tmp_path_factory.mktemp("undisturbed")
            models = run_folder / "models"
            made[key] = RunPaths(
                convert=run_folder / "convert",
                encode=run_folder / "encode",
                index=run_folder / "encode/index.jsonl",
                model=models / "base",
                model_manifest=models / "base.manifest.json",
                run=target,
                out=target / "out",
            )
            assert run(recipe, made[key]) == [0], messages(made[key])
        return made[key]

    return run_of


@pytest.mark.parametrize(
    ("recipe", "number", "after"),
    [(SFT, signal.SIGTERM, 7), (SFT, signal.SIGUSR1, 5), (GRPO, signal.SIGTERM, 4), (ADAPTERS, signal.SIGTERM, 4)],
)
def test_a_run_that_is_told_to_stop_goes_on_at_the_very_step(
    paths_to: Paths, undisturbed, tmp_path: Path, recipe: Training, number: int, after: int
) -> None:
    paths, recipe = paths_to(tmp_path), recipe.model_copy(update={"checkpoint_minutes": 60})
    ended = stop_when(start(recipe, paths), number, lambda: lines_in(tmp_path, "metrics.jsonl") >= after)
    assert ended == [EXIT_RESUME], messages(paths)
    done = lines_in(tmp_path, "metrics.jsonl")
    assert after <= done
    assert checkpoints(paths)[-1] == done
    assert f"stopped after step {done} of" in messages(paths)
    assert not paths.out.exists()
    assert run(recipe, paths) == [0], messages(paths)
    assert outputs(paths.out) == outputs(undisturbed(recipe).out)


def test_two_processes_stop_at_the_same_step(paths_to: Paths, tmp_path: Path) -> None:
    """The signal reaches one of them only."""
    paths, whole = paths_to(tmp_path / "stopped"), paths_to(tmp_path / "whole")
    processes = start(SFT, paths, size=2)
    ended = stop_when(processes[1:], signal.SIGTERM, lambda: lines_in(paths.run, "metrics.jsonl") >= 4)
    assert [*finish(processes[:1]), *ended] == [EXIT_RESUME, EXIT_RESUME], messages(paths)
    assert checkpoints(paths)[-1] == lines_in(paths.run, "metrics.jsonl") < STEPS
    assert run(SFT, paths, size=2) == [0, 0], messages(paths)
    assert run(SFT, whole, size=2) == [0, 0], messages(whole)
    assert outputs(paths.out) == outputs(whole.out)


def test_ten_kills_at_random_steps_leave_no_trace(paths_to: Paths, undisturbed, tmp_path: Path) -> None:
    paths, draw = paths_to(tmp_path), random.Random(0)
    kills = 0
    for _ in range(KILLS):
        done = (checkpoints(paths) or [0])[-1]
        target = min(done + draw.randint(1, 5), STEPS)
        processes = start(SFT, paths)
        # The log of the run before is longer until it is cut back to the checkpoint.
        log_was_cut = lines_in(tmp_path, "metrics.jsonl") <= done

        def reached(target: int = target, done: int = done, seen: list[bool] = [log_was_cut]) -> bool:  # noqa: B006
            lines = lines_in(tmp_path, "metrics.jsonl")
            seen[0] = seen[0] or lines <= done
            return seen[0] and lines >= target

        kills += stop_when(processes, signal.SIGKILL, reached) == [-signal.SIGKILL]
    assert kills == KILLS
    assert run(SFT, paths) == [0], messages(paths)
    assert outputs(paths.out) == outputs(undisturbed(SFT).out)


def test_a_full_disk_leaves_the_checkpoint_before_valid(paths_to: Paths, undisturbed, tmp_path: Path) -> None:
    paths = paths_to(tmp_path)
    stop_when(start(SFT, paths), signal.SIGKILL, lambda: bool(checkpoints(paths)))
    before = checkpoints(paths)
    sizes = [path.stat().st_size for path in paths.run.glob("work/*/nep/*/step-*/*.pt")]
    assert run(SFT, paths, largest_file=max(sizes) - 1) == [2]
    _, _, message = messages(paths).partition("error: ")
    assert f"the file needs {max(sizes)} bytes, " in message
    assert f"the checkpoint of step {before[-1]} stays valid" in message
    assert checkpoints(paths) == before
    assert run(SFT, paths) == [0], messages(paths)
    assert outputs(paths.out) == outputs(undisturbed(SFT).out)


@pytest.mark.parametrize(
    ("zero", "lora", "before", "after"),
    [
        (2, None, 2, 1),
        pytest.param(2, None, 1, 2, marks=MATRIX),
        pytest.param(3, None, 2, 1, marks=MATRIX),
        (3, None, 1, 2),
        pytest.param(2, Lora(), 2, 1, marks=MATRIX),
        pytest.param(2, Lora(), 1, 2, marks=MATRIX),
        pytest.param(3, Lora(dora=True), 2, 1, marks=MATRIX),
        pytest.param(3, Lora(dora=True), 1, 2, marks=MATRIX),
    ],
)
def test_a_run_goes_on_with_another_number_of_processes(
    paths_to: Paths, undisturbed, tmp_path: Path, zero: int, lora: Lora | None, before: int, after: int
) -> None:
    recipe = SFT.model_copy(update={"deepspeed": f"config/deepspeed/zero{zero}.json", "lora": lora})
    paths = paths_to(tmp_path)
    stop_when(start(recipe, paths, size=before), signal.SIGTERM, lambda: lines_in(paths.run, "metrics.jsonl") >= 6)
    assert 6 <= checkpoints(paths)[-1] < STEPS
    assert run(recipe, paths, size=after) == [0] * after, messages(paths)
    assert losses(paths) == pytest.approx(losses(undisturbed(recipe)), abs=1e-5)


def poison(paths: RunPaths, target: Path, videos: list[str]) -> RunPaths:
    """The paths of a run whose cached features of `videos` are NaN."""
    shutil.copytree(paths.encode, target)
    for file in (target / "features").glob("*.safetensors"):
        features = load_file(file)
        for video in videos:
            features[f"{video}/first"].fill_(torch.nan)
        save_file(features, file)
    return replace(paths, encode=target)


@pytest.mark.parametrize(
    ("zero", "size"), [(2, 1), pytest.param(3, 1, marks=MATRIX), pytest.param(2, 2, marks=MATRIX), (3, 2)]
)
def test_a_batch_of_nan_is_left_out_and_written_down(paths_to: Paths, tmp_path: Path, zero: int, size: int) -> None:
    recipe = Sft(
        epochs=3, batch_size=2, lr=1e-3, threads=1, checkpoint_minutes=0, deepspeed=f"config/deepspeed/zero{zero}.json"
    )
    paths = poison(paths_to(tmp_path / "run"), tmp_path / "encode", [POISONED])
    assert run(recipe, paths, size) == [0] * size, messages(paths)
    anomalies = read_jsonl(paths.out / "anomalies.jsonl")
    assert len(anomalies) == 3 == read_json(paths.out / "manifest.json")["skipped_steps"]
    for row in anomalies:
        assert f"{POISONED}/sft" in row["records"]
        assert row["loss"] == "nan"
    skipped = [row["step"] for row in read_jsonl(paths.out / "metrics.jsonl") if row["loss"] is None]
    assert skipped == [row["step"] for row in anomalies]
    weights = load_file(paths.out / "model" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize(
    ("size", "kl_coef"), [(1, 0.0), pytest.param(1, 0.01, marks=MATRIX), pytest.param(2, 0.0, marks=MATRIX), (2, 0.01)]
)
def test_a_rollout_of_nan_is_left_out_and_written_down(
    paths_to: Paths, tmp_path: Path, size: int, kl_coef: float
) -> None:
    """Also without KL term, where groups without signal, which one of NaN is not, are left out."""
    recipe = GRPO.model_copy(update={"kl_coef": kl_coef, "entropy_coef": 0.0, "prompts_per_step": 2})
    paths = poison(paths_to(tmp_path / "run"), tmp_path / "encode", ["video-2"])
    assert run(recipe, paths, size) == [0] * size, messages(paths)
    anomalies = read_jsonl(paths.out / "anomalies.jsonl")
    assert 0 < len(anomalies) < recipe.steps
    assert len(anomalies) == read_json(paths.out / "manifest.json")["skipped_steps"]
    assert all("question-2" in row["records"] and row["loss"] == "nan" for row in anomalies)
    metrics = read_jsonl(paths.out / "metrics.jsonl")
    skipped = [row["step"] for row in metrics if row["loss"] is None]
    assert skipped == [row["step"] for row in anomalies] == [row["step"] for row in metrics if row["reward"] is None]
    weights = load_file(paths.out / "model" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


def test_a_rollout_of_nan_in_the_place_of_another_is_written_down(paths_to: Paths, tmp_path: Path) -> None:
    recipe = GRPO.model_copy(update={"prompts_per_step": 2, "refill_rounds": 1})
    paths = poison(paths_to(tmp_path / "run"), tmp_path / "encode", ["video-2"])
    assert run(recipe, paths) == [2], messages(paths)
    (evidence,) = paths.run.rglob("anomalies.jsonl")
    records = [row["records"] for row in read_jsonl(evidence)]
    assert all("question-2" in ids for ids in records)
    assert max(map(len, records)) > 2


def test_grpo_from_weights_of_nan_ends_after_three_steps(paths_to: Paths, tmp_path: Path) -> None:
    paths = paths_to(tmp_path)
    model = shutil.copytree(paths.model, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"].fill_(torch.nan)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert run(GRPO, replace(paths, model=model)) == [2], messages(paths)
    (evidence,) = paths.run.rglob("anomalies.jsonl")
    assert [row["step"] for row in read_jsonl(evidence)] == [1, 2, 3]
    assert all(len(row["records"]) == GRPO.prompts_per_step for row in read_jsonl(evidence))
    assert f"3 steps in a row, up to 3, had a loss or gradient that is not finite: {evidence}" in messages(paths)


def test_three_bad_steps_in_a_row_end_the_run_and_name_the_evidence(paths_to: Paths, tmp_path: Path) -> None:
    paths = poison(paths_to(tmp_path / "run"), tmp_path / "encode", [f"video-{index}" for index in range(6)])
    for _ in range(2):
        assert run(SFT, paths) == [2], messages(paths)
    (evidence,) = paths.run.rglob("anomalies.jsonl")
    assert [row["step"] for row in read_jsonl(evidence)] == [1, 2, 3]
    assert f"3 steps in a row, up to 3, had a loss or gradient that is not finite: {evidence}" in messages(paths)


@pytest.mark.parametrize("zero", ["zero0", "zero1", "zero2_offload", "zero3_offload"])
def test_two_processes_give_the_losses_of_one(paths_to: Paths, undisturbed, tmp_path: Path, zero: str) -> None:
    """Stages 2 and 3 without offload: `test_processes.py`."""
    paths = paths_to(tmp_path)
    recipe = SFT.model_copy(update={"deepspeed": f"config/deepspeed/{zero}.json"})
    assert run(recipe, paths, size=2) == [0, 0], messages(paths)
    assert losses(paths) == pytest.approx(losses(undisturbed(SFT)), abs=1e-4)


@pytest.mark.parametrize("zero", ["zero0", "zero1", "zero3", "zero2_offload", "zero3_offload"])
def test_stages_and_offload_give_the_same_losses(undisturbed, zero: str) -> None:
    other = undisturbed(SFT.model_copy(update={"deepspeed": f"config/deepspeed/{zero}.json"}))
    assert losses(other) == pytest.approx(losses(undisturbed(SFT)), abs=1e-4)
