"""What the models of this stage answer: each type checks itself, and what it raises is told to the model."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from nep.ask.request import Answer
from nep.data.bounds import folded
from nep.data.options import DISTRACTORS
from nep.own_benchmark.checks import check_question, check_text

Text = Annotated[str, AfterValidator(check_text)]
Distractors = Annotated[list[Text], Field(min_length=DISTRACTORS, max_length=DISTRACTORS)]


class WrittenQuestion(Answer):
    """A question, its right answer and three wrong ones."""

    question: Text
    answer: Text
    distractors: Distractors

    @model_validator(mode="after")
    def _is_a_question(self) -> "WrittenQuestion":
        check_question(self.question, [self.answer, *self.distractors])
        return self


class NewDistractors(Answer):
    """Three other wrong answers. Context: `question`, `answer`, and `used`, the wrong answers that were left."""

    distractors: Distractors

    @model_validator(mode="after")
    def _fit_the_question(self, info: ValidationInfo) -> "NewDistractors":
        context = info.context
        check_question(context["question"], [context["answer"], *self.distractors])
        if repeated := _repeated(self.distractors, context["used"]):
            raise ValueError(f"these were wrong answers before: {', '.join(map(repr, repeated))}; give three others")
        return self


class RightOptions(Answer):
    """All options that the events make right."""

    right: list[Literal["A", "B", "C", "D"]]


class ChosenOption(Answer):
    """The one option that the model takes."""

    letter: Literal["A", "B", "C", "D"]


def _repeated(texts: Sequence[str], used: Sequence[str]) -> list[str]:
    known = {folded(text) for text in used}
    return [text for text in texts if folded(text) in known]
