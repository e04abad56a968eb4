"""The wordings that models see, read from one file and checked, and the one form of a multiple-choice prompt."""

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nep.data.bounds import folded
from nep.errors import InputError

Variant = Literal["direct", "reason"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

FUSED = re.compile(r"[?.!][A-Za-z]")
MEDIA = re.compile(r"<(?:image|video|audio)>")


def _fields(template: str) -> list[str]:
    """Names in braces. Raises ValueError for unbalanced braces."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _check_wording(text: str) -> str:
    if MEDIA.search(text):
        raise ValueError(f"{text!r} must not hold a media placeholder; it is put in where the question is asked")
    if text != text.strip() or not text.endswith(("?", ".")):
        raise ValueError(f"{text!r} must end in '?' or '.', without white space around it")
    if FUSED.search(text):
        raise ValueError(f"{text!r} looks like two wordings without a comma between them")
    return text


def _check_pool(pool: list[str]) -> list[str]:
    seen: set[str] = set()
    for text in pool:
        if folded(text) in seen:
            raise ValueError(f"{text!r} occurs twice")
        seen.add(folded(text))
    return pool


def _check_fields(expected: list[str]) -> AfterValidator:
    def check(text: str) -> str:
        if _fields(text) != expected:
            wanted = ", ".join(f"{{{name}}}" for name in expected) or "no braces"
            raise ValueError(f"{text!r} must hold {wanted}")
        return text

    return AfterValidator(check)


Wording = Annotated[str, AfterValidator(_check_wording)]
Pool = Annotated[list[Annotated[Wording, _check_fields([])]], Field(min_length=1), AfterValidator(_check_pool)]
EventPool = Annotated[
    list[Annotated[Wording, _check_fields(["event"])]], Field(min_length=1), AfterValidator(_check_pool)
]
Sentence = Annotated[str, Field(min_length=1), AfterValidator(str.strip)]


class Part(BaseModel):
    """A part of the prompts file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class QuestionPools(Part):
    """Ways to ask; those of `whole_video_next` hold `{event}`."""

    next_event: Pool
    full_caption: Pool
    whole_video_next: EventPool
    previous_event: Pool
    next_event_mc: dict[Literal[1, 2, 3], Pool] = Field(min_length=3)
    next_caption_mc: Pool


class SystemPrompts(Part):
    """System messages of the data sets that have one."""

    distill: Sentence
    cft: Sentence


class Instructions(Part):
    """How to answer a multiple-choice question, by variant."""

    direct: Sentence
    reason: Sentence


class Prompts(Part):
    """All wordings. GRPO sets and the evaluation task ask through `multiple_choice`, so that they ask alike."""

    question_pools: QuestionPools
    system: SystemPrompts
    instructions: Instructions
    options_template: Annotated[str, _check_fields(["letter", "text"])]
    sequence_joiner: str = Field(min_length=1)

    def multiple_choice(
        self, question: str, options: Mapping[str, str], variant: Variant, options_inline: bool = False
    ) -> str:
        """Question, options (one a line, unless the question holds them) and the variant's instruction."""
        lines = [] if options_inline else [self.option_line(letter, options[letter]) for letter in sorted(options)]
        return "\n".join([question, *lines, getattr(self.instructions, variant)])

    def option_line(self, letter: str, text: str) -> str:
        """One option as models see it."""
        return self.options_template.format(letter=letter, text=text)


def reasoned_answer(thought: str, letter: str) -> str:
    """An answer of the variant `reason`: the thought, then the letter."""
    return f"<think>\n{thought}\n</think>\n<answer>\n{letter}\n</answer>"


def load_prompts(path: Path) -> Prompts:
    """Read and check the prompts file. Raises InputError that names file, key and wording."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Prompts.model_validate(values)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({error})") from None
    except ValidationError as error:
        lines = "\n".join(f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"{path}:\n{lines}") from None
