"""A small run folder with real clips, questions about them and the manifest of a base model."""

from pathlib import Path

import pytest
from support.evaluation_run import question, write_clip

from nep.files import write_json
from nep.rows.base import write_rows


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Run folder with two clips (9 and 12 frames), four questions and the base model's manifest."""
    write_clip(tmp_path / "segments/first/v0.mp4", 9)
    write_clip(tmp_path / "segments/first/v1.mp4", 12)
    write_rows(tmp_path / "convert/futurebench.jsonl", [question(number) for number in range(4)])
    write_json(tmp_path / "models/base.manifest.json", {"fingerprint": "0" * 64, "files": {}, "parameters": 1})
    return tmp_path
