from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.rows import cut

from nep.data.prompts import Prompts, load_prompts
from nep.rows.cut import Cut
from nep.rows.question import Question
from nep.rows.record import Record

REPO = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def prompts() -> Prompts:
    """The project's own prompts file."""
    return load_prompts(REPO / "config/prompts.yaml")


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """A record with every text; `number` tells records apart."""

    def make(number: int, **changes: Any) -> Record:
        source = changes.get("source", "youtube")
        values = {
            "id": f"{source}-clip{number}-{number:08x}",
            "video": f"video_dataset/{source}/clip{number}.mp4",
            "source": source,
            "split_time": 2.0,
            "already_cut": False,
            "split_scene": 2,
            "caption": f"Caption {number}.",
            "caption_part1": f"Part one {number}.",
            "caption_part2": f"Part two {number}.",
            "events": [{"scene": scene, "description": f"Event {scene} of {number}."} for scene in range(1, 6)],
            "mc_qa": [{"question": "Which?", "answer": "A"}, {"question": "And which?", "answer": "B"}],
            "oe_qa": [{"question": "What?", "answer": f"Thing {number}."}],
            "reasoning": f"Reasoning {number}.",
            "prediction": f"Prediction {number}.",
            "critique": f"Critique {number}.",
            "conclusion": "wrong" if number % 3 else "right",
        }
        return Record.model_validate({**values, **changes})

    return make


@pytest.fixture(scope="session")
def make_question() -> Callable[..., Question]:
    """A one-hop question on a record."""

    def make(record: Record, number: int = 0) -> Question:
        options = {letter: f"option {letter}" for letter in "ABCD"}
        return Question(
            id=f"q{number}",
            video_id=record.id,
            kind="hop1",
            question="What next?",
            options=options,
            answer="C",
            options_inline=False,
        )

    return make


@pytest.fixture(scope="session")
def split_row() -> Callable[..., Cut]:
    """The split manifest's row of a record."""
    return lambda record, **changes: cut(record.id, **changes)
