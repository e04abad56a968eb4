"""The block `questions`."""

from typing import get_args

from pydantic import Field, model_validator

from nep.config.asked_endpoint import AskedEndpoint
from nep.config.base import Block, Fraction
from nep.rows.question import Kind


class GainBounds(Block):
    """Bounds on the shares of right answers that were measured of a question; chance is 0.25."""

    least_with_second: Fraction = Field(
        0.75, description="Share right with frames of the second part, at least: what happens can be seen."
    )
    least_with_first: Fraction = Field(
        0.0, description="Share right with frames of the first part, at least: what happens can be foreseen."
    )
    most_with_first: Fraction = Field(
        1.0,
        description="Share right with frames of the first part, at most: below 1, what is always foreseen is left out.",
    )
    most_without_video: Fraction = Field(0.5, description="Share right of the vision model without the video, at most.")
    least_gain: float = Field(
        0.25, ge=-1, le=1, description="Share right with the second part minus the one without the video, at least."
    )


class OwnBenchmark(Block):
    """Multiple-choice questions written from the events of annotated videos: a benchmark and a training set."""

    text: AskedEndpoint | None = Field(
        None, description="Model that writes the questions and answers them without the video (null: `annotate`'s)."
    )
    vision: AskedEndpoint | None = Field(
        None, description="Model that answers them by frames of either part (null: `annotate`'s)."
    )
    prompts: str = Field("config/prompts/questions", description="Folder of the prompts, one file a step.")
    kinds: list[Kind] = Field(
        list(get_args(Kind)),
        min_length=1,
        description="Kinds of questions, one of each a video: the next one, two or three events, or those before a "
        "later event that the question tells (`interpolation`).",
    )
    benchmark_fraction: Fraction = Field(
        0.1, description="Share of the videos that make the benchmark; the others make training questions."
    )
    tries: int = Field(
        4,
        ge=1,
        multiple_of=4,
        description="How often a question is asked in each way; the right option stands at each letter in turn.",
    )
    solved_from: int = Field(
        3,
        ge=1,
        description="Right answers of the text model without the video from which on a question counts as solved: it "
        "gets new wrong options, or is left out.",
    )
    rounds: int = Field(2, ge=0, description="How often a question gets new wrong options before it is left out.")
    frames: int = Field(16, ge=1, description="Frames of a part that the vision model is shown.")
    size: int = Field(448, ge=28, description="Longer side of these frames in pixels, at most.")
    max_answer_tokens: int = Field(2048, ge=64, description="Longest answer, in tokens.")
    processes: int = Field(2, ge=1, description="Threads of one job that read frames.")
    shards: int = Field(4, ge=1, description="Jobs that share the videos.")
    benchmark: GainBounds = Field(GainBounds(), description="What a question of the benchmark must keep.")
    training: GainBounds = Field(GainBounds(), description="What a training question must keep.")
    reviews: list[str] = Field([], description="Files of decisions that `make review` wrote, one a reviewer.")
    only_accepted: bool = Field(
        False,
        description="Whether the benchmark holds only questions that all reviewers accepted; else those that none of "
        "them rejected.",
    )

    @property
    def serves(self) -> bool:
        """Whether a job starts a model itself."""
        return any(endpoint.serve is not None for endpoint in (self.vision, self.text) if endpoint is not None)

    def asking(self, text: AskedEndpoint, vision: AskedEndpoint) -> "OwnBenchmark":
        """The block with both endpoints: these where it names none."""
        return self.model_copy(update={"text": self.text or text, "vision": self.vision or vision})

    @model_validator(mode="after")
    def _solved_can_be_seen(self) -> "OwnBenchmark":
        if self.solved_from > self.tries:
            raise ValueError(f"solved_from ({self.solved_from}) must not exceed tries ({self.tries})")
        return self

    @model_validator(mode="after")
    def _somebody_accepts(self) -> "OwnBenchmark":
        if self.only_accepted and not self.reviews:
            raise ValueError("only_accepted: name the files of decisions in 'reviews' (make review writes them)")
        return self
