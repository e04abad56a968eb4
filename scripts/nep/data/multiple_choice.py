"""A multiple-choice question about a video, whatever it was made from, and the rows that it becomes."""

from dataclasses import dataclass
from typing import Any

from nep.data.inputs import Item
from nep.data.prompts import Prompts, Variant, reasoned_answer
from nep.data.sft_sets import VIDEO_PLACEHOLDER
from nep.rows.dataset import GrpoRow, Message, SftRow, View
from nep.rows.record import Record


@dataclass(frozen=True)
class MultipleChoice:
    """A question about a `view` of a video; `options` maps letter to text, `name` tells it from the video's others."""

    item: Item
    view: View
    name: str
    kind: str
    text: str
    options: dict[str, str]
    letter: str

    @property
    def id(self) -> str:
        """Id of the question's rows."""
        return f"{self.item.record.id}-{self.name}"

    def grpo_row(self, prompts: Prompts, event_chains: bool = False) -> GrpoRow:
        """The question, to be answered with reasoning; with `event_chains`, with the events after what is shown."""
        return GrpoRow(
            **self._common(),
            problem=self._problem(prompts, "reason"),
            answer=self.letter,
            kind=self.kind,
            part=self.item.part,
            events=events_after(self.item.record) if event_chains and self.view == "first" else (),
        )

    def sft_row(self, prompts: Prompts, variant: Variant) -> SftRow:
        """The question and its answer as a dialogue; the reasoning is the right option's text."""
        answer = self.letter if variant == "direct" else reasoned_answer(self.options[self.letter], self.letter)
        turns = (
            Message(role="user", content=self._problem(prompts, variant)),
            Message(role="assistant", content=answer),
        )
        return SftRow(**self._common(), messages=turns)

    def _common(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "video_id": self.item.record.id,
            "source": self.item.record.source,
            "view": self.view,
            "videos": (self.item.clip(self.view),),
        }

    def _problem(self, prompts: Prompts, variant: Variant) -> str:
        return VIDEO_PLACEHOLDER + prompts.multiple_choice(self.text, self.options, variant)


def events_after(record: Record) -> tuple[str, ...]:
    """Descriptions of the second part's events, in order; none where the split's scene is not known."""
    if record.split_scene is None:
        return ()
    return tuple(event.description for event in record.events if event.scene > record.split_scene)
