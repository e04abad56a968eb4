"""Rows of `samples.jsonl`: what a model answered to each question of its evaluation."""

from nep.rows.base import SparseRow


class Sample(SparseRow):
    """One answer; keys with a default are those that not every benchmark has.

    Attributes:
        task, subtask: the benchmark, and lmms-eval's own task where that has several.
        variant, control: how it was asked, and what was shown in the place of the video.
        kind, kinds: the question's kind, and all groups that its benchmark counts it in.
        parsed: what was read of the completion; None where nothing is, or where lmms-eval's rules read it.
        correct: None where a benchmark gives a part of a point.
        error: what the model raised instead of an answer.
        legacy_parsed, legacy_correct: the same by the published rule, the first capital letter.
        unreadable, counted: whether lmms-eval's rules found no answer, and whether its aggregate counts the sample.
    """

    task: str
    question_id: str
    variant: str
    control: str | None
    completion: str
    parsed: str | None
    correct: bool | None
    error: str | None
    subtask: str | None = None
    video_id: str | None = None
    kind: str | None = None
    kinds: tuple[str, ...] = ()
    question: str | None = None
    options: dict[str, str] | None = None
    answer: str | None = None
    legacy_parsed: str | None = None
    legacy_correct: bool | None = None
    unreadable: bool | None = None
    counted: bool | None = None
