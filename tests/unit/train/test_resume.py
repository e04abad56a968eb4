"""A run that goes on from a checkpoint ends in the same bytes as an undisturbed one (in one process)."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nep.config import Grpo, Lora, Sft
from nep.errors import InputError
from nep.files import read_json, read_jsonl, sha256_of_file
from nep.train.checkpoint import Checkpoints
from nep.train.grpo import train_grpo
from nep.train.run_state import RunPaths
from nep.train.sft import train_sft

SFT = Sft(epochs=3, batch_size=4, pack_tokens=200, lr=1e-3, threads=1, checkpoint_every=2)
GRPO = Grpo(
    steps=5,
    prompts_per_step=3,
    completions=3,
    pack_tokens=200,
    max_new_tokens=6,
    lr=1e-3,
    threads=1,
    checkpoint_every=2,
    validate_every=2,
)


class KilledError(Exception):
    """Stands for the end of the process."""


def hashes(out: Path) -> dict[str, str]:
    """Hashes of all outputs but the timings."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "timings.jsonl"]
    return {path.relative_to(out).as_posix(): sha256_of_file(path) for path in files}


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
    assert hashes(disturbed.out) == hashes(undisturbed.out)
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


def test_lost_outputs_come_back_from_the_last_checkpoint(paths_to, tmp_path: Path, torch_settings) -> None:
    paths = paths_to(tmp_path)
    train_sft(SFT, 1, "nep", paths)
    first = hashes(paths.out)
    shutil.rmtree(paths.out)
    train_sft(SFT, 1, "nep", paths)
    assert hashes(paths.out) == first


def test_a_missing_vision_cache_is_named(paths_to, tmp_path: Path, torch_settings) -> None:
    paths = replace(paths_to(tmp_path), encode=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere/index\.jsonl: no such file; run the encode stage"):
        train_sft(SFT, 1, "nep", paths)
