"""What lmms-eval calls for each question: its video and image, its prompt, the reading of its completion.

A document is a row of a job's data file (`nep.evaluate.task_folder.document`); it holds what a sample is joined by.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from nep.data.prompts import Prompts, load_prompts
from nep.stats.answers import parse_answer, parse_legacy

METRIC = "accuracy"
COPIED = ("task", "question_id", "video_id", "kind", "variant", "control", "question", "options", "answer")


def doc_to_visual(doc: dict[str, Any]) -> list[str | Image.Image]:
    """Path of the question's video, then its image; what it has not, or is not to be shown, is left out."""
    images = [Image.open(doc["image"]).convert("RGB")] if doc["image"] else []
    return [doc["media"], *images] if doc["media"] else images


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any]) -> str:
    """Question, options and instruction; the keyword argument holds `prompts` (a path) and `variant`."""
    prompts = _prompts(lmms_eval_specific_kwargs["prompts"])
    variant = lmms_eval_specific_kwargs["variant"]
    return prompts.multiple_choice(doc["question"], doc["options"], variant, doc["options_inline"])


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The sample as `samples.jsonl` holds it, with lmms-eval's `score`, under the name of the metric."""
    completion = results[0]
    parsed = parse_answer(completion)
    legacy = parse_legacy(completion)
    sample = {
        **{key: doc[key] for key in COPIED},
        "completion": completion,
        "parsed": parsed,
        "correct": parsed == doc["answer"],
        "legacy_parsed": legacy,
        "legacy_correct": legacy == doc["answer"],
    }
    return {METRIC: {**sample, "score": float(sample["correct"])}}


def accuracy(samples: Sequence[dict[str, Any]]) -> float:
    """Share of correct samples, for lmms-eval's own table."""
    return sum(sample["score"] for sample in samples) / len(samples)


@cache
def _prompts(path: str) -> Prompts:
    return load_prompts(Path(path))
