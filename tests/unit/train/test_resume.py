"""A run that goes on from a checkpoint ends in the same bytes as an undisturbed one (in one process)."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.matrix import MATRIX
from support.recipes import outputs, short_grpo, short_sft
from transformers import AutoModelForImageTextToText

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Lora
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.train import checkpoint, loop
from nep.train.checkpoint import Checkpoints
from nep.train.engine import Engine
from nep.train.rl.grpo import train_grpo
from nep.train.runtime import preemption
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preemption import EXIT_RESUME, Preempted
from nep.train.sft import train_sft

SFT = short_sft(epochs=3, batch_size=4, pack_tokens=200, checkpoint_minutes=0)
GRPO = short_grpo(steps=5, pack_tokens=200, checkpoint_minutes=0, validate_every=2)


class KilledError(Exception):
    """Stands for the end of the process."""


def kill_at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Stop the run while the second checkpoint is written: before it, in the middle of it, or right after it."""
    original = Checkpoints.save
    calls = []

    def save(self: Checkpoints, step: int) -> None:
        calls.append(step)
        if len(calls) == 2 and place == "before":
            raise KilledError
        original(self, step)
        if len(calls) == 2:
            self._writer.wait()
            if place == "after":
                self.finish()
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", save)


def resumed_equals_undisturbed(train: Callable[[RunPaths], None], paths_to, tmp_path: Path, monkeypatch, place) -> Path:
    undisturbed, disturbed = paths_to(tmp_path / "undisturbed"), paths_to(tmp_path / "disturbed")
    train(undisturbed)
    with monkeypatch.context() as patch:
        kill_at(patch, place)
        with pytest.raises(KilledError):
            train(disturbed)
    assert not disturbed.out.exists()
    train(disturbed)
    assert outputs(disturbed.out) == outputs(undisturbed.out)
    return undisturbed.out


@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_sft_resumes_to_the_same_bytes(paths_to, tmp_path: Path, torch_settings, monkeypatch, place: str) -> None:
    out = resumed_equals_undisturbed(
        lambda paths: train_sft(SFT, 1, "nep", paths), paths_to, tmp_path, monkeypatch, place
    )
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss"] < rows[0]["loss"]
    manifest = read_json(out / "manifest.json")
    assert (manifest["steps"], manifest["samples"], manifest["without_video"]) == (6, 6, 0)
    assert manifest["final_loss"] == rows[-1]["loss"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_grpo_resumes_to_the_same_bytes(paths_to, tmp_path: Path, torch_settings, monkeypatch, place: str) -> None:
    out = resumed_equals_undisturbed(
        lambda paths: train_grpo(GRPO, 1, "nep", paths), paths_to, tmp_path, monkeypatch, place
    )
    assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in read_jsonl(out / "validation.jsonl")] == [0, 2, 4, 5]
    assert read_jsonl(out / "metrics.jsonl")[0]["kl"] == 0.0
    assert read_jsonl(out / "metrics.jsonl")[-1]["kl"] > 0.0


@pytest.mark.parametrize(
    ("train", "recipe", "lora", "zero"),
    [
        (train_sft, SFT, Lora(), 2),
        pytest.param(train_sft, SFT, Lora(dora=True), 3, marks=MATRIX),
        pytest.param(train_grpo, GRPO, Lora(dora=True), 2, marks=MATRIX),
        (train_grpo, GRPO, Lora(), 3),
    ],
)
def test_adapters_resume_to_the_same_bytes(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, train, recipe: Sft | Grpo, lora: Lora, zero: int
) -> None:
    recipe = recipe.model_copy(update={"lora": lora, "deepspeed": f"config/deepspeed/zero{zero}.json"})
    out = resumed_equals_undisturbed(
        lambda paths: train(recipe, 1, "nep", paths), paths_to, tmp_path, monkeypatch, "after"
    )
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows[-1]["loss"] != rows[0]["loss"]


def test_a_changed_recipe_starts_anew_and_the_time_between_checkpoints_is_not_part_of_it(
    paths_to, tmp_path: Path, torch_settings
) -> None:
    paths = paths_to(tmp_path)
    for sft in (SFT, SFT.model_copy(update={"checkpoint_minutes": 3}), SFT.model_copy(update={"lr": 5e-4})):
        train_sft(sft, 1, "nep", paths)
    assert len(list((tmp_path / "work" / "sft" / "nep").iterdir())) == 2


@pytest.mark.parametrize(("minutes", "saved"), [(0, [5, 6]), (1, [4, 6]), (60, [6])])
def test_checkpoints_are_taken_by_time_and_the_newest_stay(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, last_checkpoints, minutes: int, saved: list[int]
) -> None:
    """A clock of half a minute a step."""
    original = Checkpoints.after_step
    moment = [0.0]

    def after_step(self: Checkpoints, step: int, steps: int) -> None:
        moment[0] += 30
        original(self, step, steps)

    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    monkeypatch.setattr(Checkpoints, "after_step", after_step)
    train_sft(SFT.model_copy(update={"checkpoint_minutes": minutes}), 1, "nep", paths_to(tmp_path))
    assert kept(tmp_path) == saved


# Validation results of steps 0 to 6, made up so that the best one lies in the middle, twice.
LOSSES = [1.0, 5.0, 4.0, 2.0, 3.0, 2.0, 6.0]
BEST = 3


@pytest.fixture
def made_up_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured in validation follows from the step; GRPO's accuracy is the better, the lower the loss is."""

    def validated(self: Checkpoints, row: dict, original=Checkpoints.validated) -> None:
        original(self, {**row, "loss": LOSSES[row["step"]], "accuracy": -LOSSES[row["step"]]})

    monkeypatch.setattr(Checkpoints, "validated", validated)


def kept(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in run.glob("work/*/nep/*/step-*"))


def weights_of_checkpoint(run: Path, step: int) -> dict[str, torch.Tensor]:
    (file,) = run.glob(f"work/*/nep/*/step-{step}/mp_rank_00_model_states.pt")
    return {
        name.removeprefix("model."): weight for name, weight in torch.load(file, weights_only=False)["module"].items()
    }


@pytest.mark.parametrize("lora", [None, Lora()], ids=["full", "lora"])
@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)], ids=["sft", "grpo"])
def test_the_best_validated_weights_are_published_after_a_kill_too(
    paths_to,
    tmp_path: Path,
    torch_settings,
    monkeypatch,
    made_up_validation,
    last_checkpoints,
    train,
    recipe: Sft | Grpo,
    lora,
) -> None:
    changes = {"publish": "best", "validate_every": 1, "checkpoint_minutes": 60, "keep_checkpoints": 1, "lora": lora}
    recipe = recipe.model_copy(update=changes)
    out = resumed_equals_undisturbed(
        lambda paths: train(recipe, 1, "nep", paths), paths_to, tmp_path, monkeypatch, "after"
    )
    manifest = read_json(out / "manifest.json")
    assert manifest["published_step"] == BEST < manifest["steps"] == read_jsonl(out / "metrics.jsonl")[-1]["step"]
    assert kept(out.parent) == [BEST, manifest["steps"]]
    best, last = (weights_of_checkpoint(out.parent, step) for step in (BEST, manifest["steps"]))
    model = AutoModelForImageTextToText.from_pretrained(out / "model")
    if lora:
        start = AutoModelForImageTextToText.from_pretrained(paths_to(tmp_path).model)
        place = "model.language_model.layers.0.self_attn.q_proj"
        left, right = (best[f"{place}.lora_{side}.default.weight"] for side in "BA")
        change = model.get_parameter(f"{place}.weight") - start.get_parameter(f"{place}.weight")
        torch.testing.assert_close(change, lora.alpha / lora.rank * left @ right, rtol=0, atol=1e-6)
    else:
        assert all(
            torch.equal(model.get_parameter(name), weight) for name, weight in best.items() if "lm_head" not in name
        )
    assert any(not torch.equal(best[name], last[name]) for name in best)


def test_the_best_of_the_checkpoints_stays_and_the_last_weights_are_published(
    paths_to, tmp_path: Path, torch_settings, made_up_validation, last_checkpoints
) -> None:
    recipe = SFT.model_copy(update={"validate_every": 1, "keep_checkpoints": 1})
    train_sft(recipe, 1, "nep", paths_to(tmp_path))
    assert kept(tmp_path) == [BEST, 6]
    assert read_json(tmp_path / "out" / "manifest.json")["published_step"] == 6


@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)])
def test_the_best_of_no_validation_is_refused(
    paths_to, tmp_path: Path, torch_settings, train, recipe: Sft | Grpo
) -> None:
    paths = paths_to(tmp_path)
    data = shutil.copytree(paths.convert, tmp_path / "convert")
    write_json(data / "sft" / "next_event.validation.json", [])
    questions = data / "grpo" / "next_event_mc.jsonl"
    write_jsonl(questions, [row for row in read_jsonl(questions) if row["part"] == "train"])
    with pytest.raises(InputError, match=r"publish: 'best' needs held-out rows, and there are none"):
        train(recipe.model_copy(update={"publish": "best"}), 1, "nep", replace(paths, convert=data))


@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)])
def test_checkpoints_go_with_the_end_and_lost_outputs_come_back_without_training(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, train, recipe: Sft | Grpo
) -> None:
    """A forced rule has lost its declared outputs; whoever deletes the model has it trained anew."""
    paths, engines = paths_to(tmp_path), []
    monkeypatch.setattr(loop, "Engine", lambda *arguments: engines.append(arguments) or Engine(*arguments))
    train(recipe, 1, "nep", paths)
    assert kept(tmp_path) == []
    first = outputs(paths.out)
    for name in ("manifest.json", "metrics.jsonl", "validation.jsonl"):
        (paths.out / name).unlink()
    train(recipe, 1, "nep", paths)
    assert outputs(paths.out) == first and len(engines) == 1
    (paths.out / "model/model.safetensors").write_bytes(b"damaged")
    train(recipe, 1, "nep", paths)
    assert outputs(paths.out) == first and len(engines) == 2


class BrokenError(Exception):
    """What ends a validation."""


@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)])
def test_a_checkpoint_outlives_a_death_in_the_validation_after_it(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, train, recipe: Sft | Grpo
) -> None:
    recipe = recipe.model_copy(update={"validate_every": 2})
    whole, paths = paths_to(tmp_path / "whole"), paths_to(tmp_path / "died")
    train(recipe, 1, "nep", whole)
    heard = Checkpoints.stop_if_told

    def die(self: Checkpoints, step: int, steps: int) -> None:
        heard(self, step, steps)
        if step == 2:
            raise BrokenError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "stop_if_told", die)
        with pytest.raises(BrokenError):
            train(recipe, 1, "nep", paths)
    assert kept(paths.run) == [1, 2]
    steps = []
    after = Checkpoints.after_step
    monkeypatch.setattr(
        Checkpoints, "after_step", lambda self, step, last: steps.append(step) or after(self, step, last)
    )
    train(recipe, 1, "nep", paths)
    assert steps[0] == 3
    assert outputs(paths.out) == outputs(whole.out)


@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)])
@pytest.mark.parametrize("told_at", [0, 2])
def test_a_run_that_is_told_in_a_validation_ends_there_and_goes_on(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, train, recipe: Sft | Grpo, told_at: int
) -> None:
    """No checkpoint was due: the one of this step is written before the end."""
    recipe = recipe.model_copy(update={"validate_every": 2, "checkpoint_minutes": 60})
    whole, paths = paths_to(tmp_path / "whole"), paths_to(tmp_path / "told")
    train(recipe, 1, "nep", whole)
    heard = Checkpoints.stop_if_told

    def tell(self: Checkpoints, step: int, steps: int) -> None:
        if step == told_at:
            preemption._note(signal.SIGTERM, None)
        heard(self, step, steps)

    with monkeypatch.context() as patch:
        patch.setattr(preemption, "_received", [])
        patch.setattr(Checkpoints, "stop_if_told", tell)
        with pytest.raises(Preempted) as ended:
            train(recipe, 1, "nep", paths)
    assert ended.value.code == EXIT_RESUME
    assert kept(paths.run) == [told_at][:told_at]
    (log,) = paths.run.glob("work/*/nep/*/validation.jsonl")
    assert [row["step"] for row in read_jsonl(log)] == [0][:told_at]
    train(recipe, 1, "nep", paths)
    assert outputs(paths.out) == outputs(whole.out)


def test_a_missing_vision_cache_is_named(paths_to, tmp_path: Path, torch_settings) -> None:
    paths = replace(paths_to(tmp_path), index=tmp_path / "nowhere" / "index.jsonl")
    with pytest.raises(InputError, match=r"nowhere/index\.jsonl: no such file; run the encode stage"):
        train_sft(SFT, 1, "nep", paths)
