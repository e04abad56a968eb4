"""Videos, first parts and a tiny model that predicts."""

from pathlib import Path

import pytest
from support.entry_points import ROOT
from support.evaluation_run import write_clip
from support.tiny_checkpoint import tiny_checkpoint

from nep.data.prompts import Prompts, load_prompts
from nep.predict.first_part import FirstParts

__all__ = ["parts", "prompts", "tiny_checkpoint", "video"]


@pytest.fixture(scope="session")
def prompts() -> Prompts:
    return load_prompts(ROOT / "config/prompts.yaml")


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 frames at 12 a second, each lighter than the one before."""
    path = tmp_path_factory.mktemp("video") / "lighter.mp4"
    write_clip(path, 36)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> FirstParts:
    return FirstParts(tmp_path / "parts")
