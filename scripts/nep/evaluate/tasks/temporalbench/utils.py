"""What lmms-eval calls for each question of TemporalBench in the place of its own functions."""

from collections.abc import Sequence
from typing import Any

from lmms_eval.tasks.temporalbench.utils import temporalbench_doc_to_visual, temporalbench_process_results


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """Path of the one video."""
    return [temporalbench_doc_to_visual(doc)]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """As lmms-eval's; an empty answer, whose first letter it would read, is a space."""
    return temporalbench_process_results(doc, [results[0] or " "])
