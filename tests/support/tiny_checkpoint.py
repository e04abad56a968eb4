"""A checkpoint of the demo's tiny model with random weights: transformers and lmms-eval read it like a released one.

Import the fixture in a test module or conftest: `from support.tiny_checkpoint import tiny_checkpoint`.
"""

from pathlib import Path

import pytest

CORPUS = [
    "What happens next in the video? A. The red ball rolls away. B. The door opens. C. A cup falls. D. Nothing moves.",
    "Answer with the letter only.",
    "Think inside <think> </think>, then give the letter inside <answer> </answer>.",
    "<think>\nThe ball rolls to the right.\n</think>\n<answer>\nB\n</answer>",
    "system You are a helpful assistant. user assistant",
]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random checkpoint made with seed 0 (read only: it is shared by the whole session)."""
    from nep.config.tiny_model import TinyModel
    from nep.demo.tiny_checkpoint import build_model, build_processor, save_checkpoint

    folder = tmp_path_factory.mktemp("tiny_checkpoint") / "base"
    processor = build_processor(CORPUS)
    save_checkpoint(build_model(TinyModel(), processor, seed=0), processor, folder)
    return folder
