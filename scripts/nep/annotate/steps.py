"""The steps: each is one prompt file, one typed answer and one function (`nep.annotate.interview`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from nep.annotate.answers import (
    AboutTheVideo,
    Caption,
    CaptionEvents,
    CausalAnalysis,
    Critique,
    CutPlan,
    Hindsight,
    PlacedCut,
    Prediction,
    Shown,
    SplitCaptions,
    WatchedEvents,
)
from nep.ask.prompt_file import load_prompt
from nep.ask.request import A
from nep.config.annotate import Annotate, RecipeName


@dataclass(frozen=True)
class Step(Generic[A]):
    """One question: its name, which is that of its prompt file, its answer, and whether it shows frames."""

    name: str
    answer: type[A]
    sees: bool = False


CAPTION = Step("caption", Caption, sees=True)
CAPTION_EVENTS = Step("caption_events", CaptionEvents)
CAUSAL_ANALYSIS = Step("causal_analysis", CausalAnalysis)
SPLIT_CAPTIONS = Step("split_captions", SplitCaptions)
PLACE_CUT = Step("place_cut", PlacedCut, sees=True)
PREDICT = Step("predict", Prediction)
REWRITE = Step("rewrite", AboutTheVideo)
WATCH = Step("watch", WatchedEvents, sees=True)
PLAN = Step("plan", CutPlan)
FORETELL = Step("foretell", AboutTheVideo)
VERIFY = Step("verify", Shown, sees=True)
CRITIQUE = Step("critique", Critique)
HINDSIGHT = Step("hindsight", Hindsight)

RECIPES: Mapping[RecipeName, tuple[Step[Any], ...]] = {
    "published": (CAPTION, CAPTION_EVENTS, CAUSAL_ANALYSIS, SPLIT_CAPTIONS, PLACE_CUT, PREDICT, REWRITE),
    "timed_events": (WATCH, PLAN, FORETELL),
}


def steps_of(annotate: Annotate) -> list[Step[Any]]:
    """The steps that a configuration asks, in their order."""
    wanted = ((VERIFY, annotate.verify), (CRITIQUE, annotate.critique), (HINDSIGHT, annotate.hindsight))
    return [*RECIPES[annotate.recipe], *(step for step, asked in wanted if asked)]


def prompt_file(annotate: Annotate, step: Step[Any]) -> Path:
    """Where a step's prompt lies."""
    return Path(annotate.prompts) / f"{step.name}.md"


def load_prompts(annotate: Annotate) -> dict[str, str]:
    """The prompts of the steps that are asked, by name. Raises InputError for one that is missing or empty."""
    return {step.name: load_prompt(prompt_file(annotate, step)) for step in steps_of(annotate)}
