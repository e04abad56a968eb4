"""The models that a run's folder holds, and what they are shown."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from nep.config.vision import Vision
from nep.errors import InputError
from nep.files import write_json
from nep.model.vision_cache import METADATA_KEY
from nep.predict.run_models import models_of_run, vision_of_run

VISION = Vision(frames=6, max_pixels=6272)


def finished(run: Path, *models: str) -> None:
    """Checkpoint folders with a manifest, as stages leave them."""
    for model in models:
        folder = run / ("models/base" if model == "base" else f"{model}/model")
        write_json(folder / "config.json", {})
        write_json(run / ("models/base.manifest.json" if model == "base" else f"{model}/manifest.json"), {})


def cached(run: Path, vision: Vision) -> None:
    """A shard of the cache of frames."""
    (run / "encode/frames").mkdir(parents=True)
    noted = {METADATA_KEY: json.dumps({"model": "x", "vision": vision.model_dump()})}
    save_file({"a": np.zeros(1, np.uint8)}, run / "encode/frames/0-of-1.safetensors", metadata=noted)


def test_models_come_in_the_order_of_training(tmp_path: Path) -> None:
    cached(tmp_path, VISION)
    finished(tmp_path, "base", "nep/grpo", "nep/sft")
    write_json(tmp_path / "convert/manifest.json", {})
    settings = {"max_new_tokens": {"direct": 4, "reason": 48}}
    write_json(tmp_path / "evaluate/base/scores.json", {"vision": {}, "settings": settings})
    found = models_of_run(tmp_path)
    assert [(model.path, model.name, model.title) for model in found.models] == [
        ("base", "base", "Base"),
        ("nep/sft", "nep-sft", "SFT"),
        ("nep/grpo", "nep-grpo", "GRPO"),
    ]
    assert (found.vision, found.max_new_tokens) == (VISION, {"direct": 4, "reason": 48})
    assert found.named(None).path == "nep/grpo"
    assert found.named("nep-sft").folder == tmp_path / "nep/sft/model"
    with pytest.raises(InputError, match=r"no model 'nep/sfd'; it has base, nep/sft, nep/grpo; did you mean 'nep/sft'"):
        found.named("nep/sfd")


def test_experiments_are_told_apart_and_unfinished_models_left_out(tmp_path: Path) -> None:
    cached(tmp_path, VISION)
    finished(tmp_path, "a/sft", "b/sft")
    (tmp_path / "b/grpo").mkdir()
    assert [model.title for model in models_of_run(tmp_path).models] == ["a SFT", "b SFT"]


def test_without_a_cache_the_evaluation_says_what_is_seen(tmp_path: Path) -> None:
    write_json(tmp_path / "evaluate/api/scores.json", {"vision": {"max_frames_num": 4}})
    with pytest.raises(InputError, match="says what models are shown"):
        vision_of_run(tmp_path)
    write_json(tmp_path / "evaluate/base/scores.json", {"vision": VISION.model_dump()})
    assert vision_of_run(tmp_path) == VISION


def test_a_run_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished model"):
        models_of_run(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        models_of_run(tmp_path / "other")
