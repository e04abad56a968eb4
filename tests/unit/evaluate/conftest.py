"""A small run folder with real clips, questions about them and the manifest of a base model."""

from pathlib import Path

import pytest
from support.evaluation_run import write_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Run folder with two clips (9 and 12 frames), four questions and the base model's manifest."""
    return write_run(tmp_path, (9, 12))
