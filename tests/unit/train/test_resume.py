"""A run that goes on from a checkpoint ends in the same bytes as an undisturbed one (in one process)."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.recipes import outputs, short_grpo, short_sft
from transformers import AutoModelForImageTextToText

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Lora
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.train.checkpoint import Checkpoints
from nep.train.rl.grpo import train_grpo
from nep.train.runtime.options import RunPaths
from nep.train.sft import train_sft

SFT = short_sft(epochs=3, batch_size=4, pack_tokens=200, checkpoint_every=2)
GRPO = short_grpo(steps=5, pack_tokens=200, checkpoint_every=2, validate_every=2)


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
                self._finish()
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
        (train_sft, SFT, Lora(dora=True), 3),
        (train_grpo, GRPO, Lora(dora=True), 2),
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


def test_a_changed_recipe_starts_anew_and_the_checkpoint_interval_is_not_part_of_it(
    paths_to, tmp_path: Path, torch_settings
) -> None:
    paths = paths_to(tmp_path)
    for sft in (SFT, SFT.model_copy(update={"checkpoint_every": 3}), SFT.model_copy(update={"lr": 5e-4})):
        train_sft(sft, 1, "nep", paths)
    assert len(list((tmp_path / "work" / "sft" / "nep").iterdir())) == 2


def test_only_the_newest_checkpoints_stay(paths_to, tmp_path: Path, torch_settings) -> None:
    train_sft(SFT, 1, "nep", paths_to(tmp_path))
    (folder,) = (tmp_path / "work" / "sft" / "nep").iterdir()
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["step-4", "step-6"]


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
    paths_to, tmp_path: Path, torch_settings, monkeypatch, made_up_validation, train, recipe: Sft | Grpo, lora
) -> None:
    changes = {"publish": "best", "validate_every": 1, "checkpoint_every": 100, "keep_checkpoints": 1, "lora": lora}
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
    paths_to, tmp_path: Path, torch_settings, made_up_validation
) -> None:
    recipe = SFT.model_copy(update={"validate_every": 1, "keep_checkpoints": 1})
    train_sft(recipe, 1, "nep", paths_to(tmp_path))
    assert kept(tmp_path) == [4, 6]
    assert read_json(tmp_path / "out" / "manifest.json")["published_step"] == 6


@pytest.mark.parametrize(("train", "recipe", "needed"), [(train_sft, SFT, "samples"), (train_grpo, GRPO, "questions")])
def test_the_best_of_no_validation_is_refused(
    paths_to, tmp_path: Path, torch_settings, train, recipe: Sft | Grpo, needed: str
) -> None:
    paths = paths_to(tmp_path)
    data = shutil.copytree(paths.convert, tmp_path / "convert")
    write_json(data / "sft" / "next_event.validation.json", [])
    questions = data / "grpo" / "next_event_mc.jsonl"
    write_jsonl(questions, [row for row in read_jsonl(questions) if row["part"] == "train"])
    with pytest.raises(InputError, match=rf"publish: 'best' needs held-out {needed}, and there are none"):
        train(recipe.model_copy(update={"publish": "best"}), 1, "nep", replace(paths, convert=data))


def test_lost_outputs_come_back_from_the_last_checkpoint(paths_to, tmp_path: Path, torch_settings) -> None:
    paths = paths_to(tmp_path)
    train_sft(SFT, 1, "nep", paths)
    first = outputs(paths.out)
    shutil.rmtree(paths.out)
    train_sft(SFT, 1, "nep", paths)
    assert outputs(paths.out) == first


def test_a_missing_vision_cache_is_named(paths_to, tmp_path: Path, torch_settings) -> None:
    paths = replace(paths_to(tmp_path), encode=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere/index\.jsonl: no such file; run the encode stage"):
        train_sft(SFT, 1, "nep", paths)
