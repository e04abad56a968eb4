"""The folder that lmms-eval reads by `--include_path`: for each task of a job one YAML file and one data file.

All paths in it are absolute, and it is written anew for each job: nothing in it is edited by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nep.benchmarks.registry import FUTUREBENCH
from nep.config.evaluate import Evaluate
from nep.config.questions import Control, Variant
from nep.config.seedbench import SEEDBENCH
from nep.evaluate.tasks.multiple_choice import utils as multiple_choice
from nep.files import confined, write_jsonl, write_text
from nep.rows.question import AskedQuestion
from nep.rows.score import variant_label

TEMPLATE = Path(multiple_choice.__file__).with_name("_template_yaml")


@dataclass(frozen=True)
class Task:
    """One way of asking all questions of a benchmark: how the prompt ends, and on which videos, if any."""

    benchmark: str
    variant: Variant
    control: Control | None = None

    @property
    def label(self) -> str:
        """Name of the variant in tables: `direct`, `reason_shuffled_frames`, …"""
        return variant_label(self.variant, self.control)

    @property
    def name(self) -> str:
        """Name in lmms-eval."""
        return f"nep_{self.benchmark}_{self.label}"


@dataclass(frozen=True)
class Asked:
    """The questions of a task, and the video of each by its id (None: none is shown)."""

    task: Task
    questions: Sequence[AskedQuestion]
    videos: Mapping[str, Path | None]

    @property
    def shows_images(self) -> bool:
        """Whether the questions' images are shown."""
        return self.task.control != "text_only"


def planned_tasks(evaluate: Evaluate) -> list[Task]:
    """Tasks of our own benchmarks: FutureBench on the real videos, then on those of each control; SeedBench-R1."""
    controls = [None, *evaluate.controls] if FUTUREBENCH in evaluate.tasks else []
    futurebench = [Task(FUTUREBENCH, variant, control) for control in controls for variant in evaluate.variants]
    levels = [f"{SEEDBENCH}_{level}" for level in evaluate.seedbench_levels]
    return futurebench + [Task(level, variant) for level in levels for variant in evaluate.variants]


def write_task_folder(folder: Path, asked: Sequence[Asked], prompts: Path, evaluate: Evaluate, run_dir: Path) -> None:
    """Write the YAML and data files of all tasks; images of questions lie below `run_dir`."""
    for one in asked:
        task = one.task
        data = folder / f"{task.name}.jsonl"
        write_jsonl(data, (document(row, one, run_dir) for row in one.questions))
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


def document(row: AskedQuestion, asked: Asked, run_dir: Path) -> dict[str, Any]:
    """A question as a flat row of a task's data file."""
    task, video = asked.task, asked.videos[row.id]
    image = row.image if asked.shows_images else None
    return {
        "task": task.benchmark,
        "question_id": row.id,
        "video_id": row.video_id,
        "kind": row.kind,
        "variant": task.variant,
        "control": task.control,
        "question": row.question,
        "options": row.options,
        "options_inline": row.options_inline,
        "answer": row.answer,
        "media": video and str(video),
        "image": image and str(confined(run_dir, image)),
    }
