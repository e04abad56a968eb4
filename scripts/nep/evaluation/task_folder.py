"""The folder that lmms-eval reads by `--include_path`: for each task of a job one YAML file and one data file.

All paths in it are absolute, and it is written anew for each job: nothing in it is edited by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nep.config import Control, Evaluate, Variant
from nep.evaluation.tasks.futurebench import utils as futurebench
from nep.files import write_jsonl, write_text

TEMPLATE = Path(futurebench.__file__).with_name("_template_yaml")


@dataclass(frozen=True)
class Task:
    """One way of asking all questions: how the prompt ends, and on which videos, if any."""

    variant: Variant
    control: Control | None

    @property
    def label(self) -> str:
        """Name in tables: `direct`, `reason_shuffled_frames`, …"""
        return self.variant if self.control is None else f"{self.variant}_{self.control}"

    @property
    def name(self) -> str:
        """Name in lmms-eval."""
        return f"nep_futurebench_{self.label}"


def planned_tasks(evaluate: Evaluate) -> list[Task]:
    """Every variant on the real videos, then on those of each control."""
    return [Task(variant, control) for control in (None, *evaluate.controls) for variant in evaluate.variants]


def write_task_folder(
    folder: Path,
    tasks: Sequence[Task],
    questions: Sequence[dict[str, Any]],
    media: Mapping[Control | None, Mapping[str, Path | None]],
    prompts: Path,
    evaluate: Evaluate,
) -> None:
    """Write the YAML and data files of `tasks`; `media` gives the video of each id, by control; None for no video."""
    for task in tasks:
        data = folder / f"{task.name}.jsonl"
        write_jsonl(data, (document(row, task, media[task.control][row["video_id"]]) for row in questions))
        definition = {
            "include": str(TEMPLATE),
            "task": task.name,
            "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
            "generation_kwargs": {
                "max_new_tokens": evaluate.max_new_tokens[task.variant],
                "temperature": 0,
                "num_beams": 1,
            },
            "lmms_eval_specific_kwargs": {"default": {"variant": task.variant, "prompts": str(prompts.resolve())}},
        }
        write_text(folder / f"{task.name}.yaml", yaml.safe_dump(definition, sort_keys=True))


def document(row: dict[str, Any], task: Task, media: Path | None) -> dict[str, Any]:
    """A question as a flat row of a task's data file."""
    return {
        "question_id": row["id"],
        "video_id": row["video_id"],
        "kind": row["kind"],
        "variant": task.variant,
        "control": task.control,
        "question": row["question"],
        "options": row["options"],
        "options_inline": row["options_inline"],
        "answer": row["answer"],
        "media": media and str(media),
    }
