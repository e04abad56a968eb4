"""A few plain videos of the demo's world, looked through; and runs of the stage on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.annotate_run import AnnotateRun, demo_folder
from support.annotator import Annotator


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and the `shots.jsonl` that is known of them."""
    return demo_folder(tmp_path_factory.mktemp("plain"), videos=4)


@pytest.fixture
def annotated(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AnnotateRun]:
    """Starts the stage in one folder, however often."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    monkeypatch.delenv("NEP_STORE", raising=False)

    def start(server: Annotator, **changes: Any) -> AnnotateRun:
        return AnnotateRun.start(plain, tmp_path / "run", server, **changes)

    return start
