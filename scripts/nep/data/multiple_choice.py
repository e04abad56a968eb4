"""A multiple-choice question about a video, whatever it was made from, and the rows that it becomes."""

from dataclasses import dataclass
from typing import Any

from nep.data.inputs import Item, View
from nep.data.prompts import Prompts, Variant, reasoned_answer
from nep.data.sft_sets import VIDEO_PLACEHOLDER


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

    def grpo_row(self, prompts: Prompts) -> dict[str, Any]:
        """The question, to be answered with reasoning."""
        return {
            **self._row(),
            "problem": self._problem(prompts, "reason"),
            "answer": self.letter,
            "kind": self.kind,
            "part": self.item.part,
        }

    def sft_row(self, prompts: Prompts, variant: Variant) -> dict[str, Any]:
        """The question and its answer as a dialogue; the reasoning is the right option's text."""
        answer = self.letter if variant == "direct" else reasoned_answer(self.options[self.letter], self.letter)
        turns = [
            {"role": "user", "content": self._problem(prompts, variant)},
            {"role": "assistant", "content": answer},
        ]
        return {**self._row(), "messages": turns}

    def _row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "video_id": self.item.record.id,
            "source": self.item.record.source,
            "view": self.view,
            "videos": [self.item.clip(self.view)],
        }

    def _problem(self, prompts: Prompts, variant: Variant) -> str:
        return VIDEO_PLACEHOLDER + prompts.multiple_choice(self.text, self.options, variant)
