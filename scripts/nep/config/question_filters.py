"""The blocks `difficulty` and `visual_gain` of `grpo`: which questions are worth asking, by what a model answers."""

from typing import Literal

from pydantic import Field, field_validator

from nep.config.base import Block, Fraction

Bounds = tuple[Fraction, Fraction]


def ordered(bounds: Bounds | None) -> Bounds | None:
    """The bounds themselves. Raises ValueError where the least is above the most."""
    if bounds is not None and bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)}: the first bound must not exceed the second")
    return bounds


class Difficulty(Block):
    """Each question is sampled first; those that the model answers neither too rarely nor too often are asked."""

    samples: int = Field(8, ge=1, description="Completions sampled for each question.")
    keep: Bounds = Field(
        (0.1, 0.9), description="Share of right letters of a question that is kept, at least and at most."
    )
    refresh_every: int | None = Field(
        None,
        ge=1,
        description="Steps after which all questions are sampled anew, by the model as it is then (null: never).",
    )

    _keep_is_ordered = field_validator("keep")(ordered)


class VisualGain(Block):
    """Each question is sampled by the start model with a part of its video and without; those are asked where seeing
    makes the difference."""

    part: Literal["second", "first"] = Field(
        "second",
        description="Part that is seen: the second one, which shows what is asked for, or the first one. Second parts "
        "are encoded for this alone and never trained on.",
    )
    samples: int = Field(8, ge=1, description="Completions sampled for each question, with the part and without.")
    least: float = Field(
        0.25, ge=-1, le=1, description="Share of right letters with the part minus the one without, at least."
    )
    told: str = Field(
        "The video shows what happens next: answer by what you see in it.",
        description="Words before the question where the second part is shown.",
    )
