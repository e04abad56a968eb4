"""What is said of a benchmark that lmms-eval brings itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Logged:
    """A question as lmms-eval logged it: task, its `dataset_name`, number, completion, the entry under the metric."""

    task: str
    config: str | None
    doc: int
    completion: str
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a logged question says.

    Attributes:
        video_id: None where the log names no video.
        kinds: the groups that the question is counted in, the narrowest first.
        unreadable: whether lmms-eval's rules found no answer.
        counted: whether lmms-eval's aggregate counts it.
    """

    question_id: str
    video_id: str | None
    kinds: tuple[str, ...]
    answer: str
    correct: bool
    unreadable: bool
    counted: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: lmms-eval's own folder and group or task, the metric that counts, and how a logged question is read.

    Attributes:
        percent: what makes percent of lmms-eval's figure.
        judged: tasks whose every answer goes to a judge over HTTP (OPENAI_API_URL, OPENAI_API_KEY).
        may_judge: tasks that ask it only where their rules cannot read an answer.
        extra: what a task needs beyond its data, by task.
        repaired: whether tasks are asked by our own YAML, which includes lmms-eval's and mends what keeps them from
            running.
    """

    name: str
    folder: str
    entry: str
    metric: str
    read: Callable[[Logged], Reading]
    percent: float = 1.0
    judged: tuple[str, ...] = ()
    may_judge: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    repaired: bool = False
