"""Questions with all that was measured of them: what passes from asking to review and choice."""

from typing import Any

from pydantic import Field

from nep.files import sha256_of_json
from nep.rows.base import Row
from nep.rows.quarantine import Quarantined
from nep.rows.question import LETTERS, Kind, Letter

# As the published files name them.
PUBLISHED_KINDS = {"interpolation": "hop5"}


class Wording(Row):
    """What a reviewer judges and can change of a question."""

    question: str
    options: dict[Letter, str] = Field(min_length=len(LETTERS))
    answer: Letter

    @property
    def digest(self) -> str:
        """Names the text: a decision about another text is none about this one."""
        return sha256_of_json(self.model_dump())[:16]


class Tries(Row):
    """How often a question was asked in one way, and how often the answer was the right one."""

    right: int = Field(ge=0)
    asked: int = Field(ge=1)

    @property
    def share(self) -> float:
        """Right answers among all."""
        return self.right / self.asked


class OwnQuestion(Row):
    """A question that passed the gates of `nep.own_benchmark.write`.

    `cut`: seconds; `happens`: the events that it asks about; `rounds`: how often it got new wrong options. `text_only`
    was asked of the text model, the other three of the vision model, without the video, with frames of the first part
    and with frames of the second. `visual_gain`: share right with the second part minus the one without the video.
    """

    id: str
    video_id: str
    video_path: str
    cut: float
    kind: Kind
    text: Wording
    happens: tuple[str, ...]
    rounds: int
    text_only: Tries
    without_video: Tries
    first_part: Tries
    second_part: Tries
    visual_gain: float

    def published(self) -> dict[str, Any]:
        """The row of `futurebench.json`."""
        return {
            "id": self.id,
            "video_path": self.video_path,
            "question_type": PUBLISHED_KINDS.get(self.kind, self.kind),
            "qa": {
                "Question": self.text.question,
                "Options": dict(self.text.options),
                "Answer": self.text.answer,
            },
        }


QuestionRow = OwnQuestion | Quarantined
