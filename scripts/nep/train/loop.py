"""The training loop of SFT and GRPO: resume, take the steps, log, validate, save, stop when told, publish."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tqdm import tqdm

from nep.config.training import Training
from nep.errors import InputError
from nep.files import read_jsonl
from nep.model.samples import say_altered
from nep.train.anomalies import Anomalies, finite
from nep.train.checkpoint import Checkpoints
from nep.train.distributed import DistributedContext
from nep.train.engine import Engine
from nep.train.run_state import Outputs, recipe_fingerprint, work_folder
from nep.train.runtime.options import TrainingOptions
from nep.train.runtime.step_log import StepLog
from nep.train.runtime.trackers import Tracked, start_tracker
from nep.train.schedule import is_due

# A row of a log.
Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What is known of a step that was taken.

    Attributes:
        metrics, timings: rows of the logs, without `step`; `metrics` has at least `loss` and `grad_norm`.
        records: ids of what the step learned from, over all processes.
        bar: what the progress bar shows.
    """

    metrics: Row
    timings: Row
    records: Sequence[str]
    bar: dict[str, str]


class Trainer(ABC):
    """What a stage puts into the loop. Every process calls each method at the same places.

    Attributes:
        measure, best: key of the validation's rows, and whether its lowest or highest value is the best.
        steps: how many the run takes. validates: whether there is anything held out.
        altered: control tokens taken out of a row's texts, by its id.
        without_video: how many rows were left out because their video is not in the cache.
    """

    measure: ClassVar[str]
    best: ClassVar[Literal["lowest", "highest"]]
    steps: int
    validates: bool
    altered: dict[str, list[str]]
    without_video: int

    @abstractmethod
    def run(self, start: int, past: Sequence[Row], work: Path, stop_if_told: Callable[[int], None]) -> Iterator[Step]:
        """Take the steps after `start`, one at a time; `past` are the metrics of those before.

        `work`: the folder for what a resumed run needs beside its checkpoints. `stop_if_told`, called with the number
        of steps taken where none is under way, may end the run.
        """

    @abstractmethod
    def validate(self, between: Callable[[], None]) -> Row:
        """A row of the validation's log, without `step`. `between` is called before each batch: it may end the run."""

    @abstractmethod
    def results(self, final: Row) -> Row:
        """What the manifest says beside what the loop knows; `final` are the metrics of the last step."""


def train(
    stage: str,
    options: TrainingOptions[Training],
    distributed: DistributedContext,
    read: Sequence[Path],
    start_trainer: Callable[[Engine], Trainer],
    may_be_shared: bool = True,
) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage.

    `read`: the files that decide the result beside model and vision cache. Raises InputError for settings that cannot
    be met, Preempted when told to stop.
    """
    training, paths, main = options.recipe, options.paths, distributed.is_main_process
    fingerprint = recipe_fingerprint(stage, training, options.seed, read, paths)
    work = work_folder(paths, stage, options.experiment, fingerprint)
    outputs = Outputs(stage, fingerprint, paths, work, may_be_shared)
    if outputs.fetch(distributed):
        return

    engine = Engine(paths.model, training, distributed, options.seed)
    trainer = start_trainer(engine)
    if main:
        say_altered(trainer.altered)
    if training.publish == "best" and not trainer.validates:
        raise InputError(f"{stage}.publish: 'best' needs held-out rows, and there are none; use 'last'")

    checkpoints = Checkpoints(work, engine, trainer.measure, trainer.best)
    start = checkpoints.restore()
    names = ("metrics", "validation", "timings")
    logs = metrics, validation, timings = [StepLog(work / f"{name}.jsonl", start, main) for name in names]
    anomalies = Anomalies(work / "anomalies.jsonl", start, distributed)
    for row in validation.kept:
        checkpoints.validated(row)
    tracked = Tracked(paths.run, options.experiment, stage, fingerprint, training.result_settings())
    tracker = start_tracker(training.tracker, tracked, main)
    tracker.follow(*logs)

    def validate_where_due(step: int) -> None:
        if not is_due(step, training.validate_every, trainer.steps) or step in validation.kept_steps:
            return
        row = {"step": step, **trainer.validate(lambda: checkpoints.stop_if_told(step, trainer.steps))}
        validation.write(row)
        checkpoints.validated(row)

    validate_where_due(start)
    bar = tqdm(total=trainer.steps, initial=start, desc=stage, unit="step", file=sys.stderr, disable=not main)
    steps = trainer.run(start, metrics.kept, work, lambda step: checkpoints.stop_if_told(step, trainer.steps))
    for number, step in enumerate(steps, start + 1):
        anomalies.check(number, step.metrics["loss"], step.metrics["grad_norm"], step.records)
        metrics.write({"step": number, **{name: finite(value) for name, value in step.metrics.items()}})
        timings.write({"step": number, **step.timings})
        bar.update()
        bar.set_postfix(step.bar)
        checkpoints.after_step(number, trainer.steps)
        validate_where_due(number)
    bar.close()
    tracker.close()

    final = read_jsonl(metrics.path)[-1]
    results = {
        "steps": trainer.steps,
        "final_loss": final["loss"],
        "skipped_steps": len(anomalies),
        "published_step": checkpoints.restore_published(trainer.steps),
        "without_video": trainer.without_video,
        "altered": trainer.altered,
        **trainer.results(final),
    }
    outputs.publish(engine, results)
