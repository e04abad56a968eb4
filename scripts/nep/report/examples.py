"""The examples of the page: which questions are shown, with frames of their videos and every model's answer."""

from dataclasses import dataclass
from pathlib import Path

from nep.files import confined
from nep.report.collect import Asked, ModelName, Run, Stage
from nep.report.frames import FIRST_FRAMES, SECOND_FRAMES, Frame, alternate, frames_of, part_frames
from nep.report.tables import answers_to, headline_variants, result_tables
from nep.rows.cut import Cut
from nep.rows.sample import Sample

LONGEST_COMPLETION = 1600
# Characters of data URIs on a page; examples after that have no images.
IMAGE_CHARACTERS = 8_000_000
# What the last model did against the one before it. Shares keep failures on the page when successes abound.
OUTCOME_SHARES = {"gained": 0.5, "kept": 0.25, "lost": 0.125, "missed": 0.125}


@dataclass(frozen=True)
class Answer:
    """What one model said to a question; `error` is what it raised instead, None where it answered.

    `correct` is None where a benchmark gives a part of a point.
    """

    experiment: str
    stage: Stage
    completion: str
    parsed: str | None
    correct: bool | None
    error: str | None = None

    @property
    def verdict(self) -> str:
        """right, partly, wrong, unreadable, or failed."""
        if self.error is not None:
            return "failed"
        if self.correct is None:
            return "partly"
        if self.correct:
            return "right"
        return "unreadable" if self.parsed is None else "wrong"


@dataclass(frozen=True)
class Example:
    """One question with the frames before and after the cut, and every model's answer. `cut` in seconds, if known.

    `answers` are those of the run's models in their order; None where a model was not asked.
    """

    task: str
    question_id: str
    outcome: str
    kind: str
    question: str
    options: dict[str, str]
    answer: str
    first: list[Frame]
    second: list[Frame]
    cut: float | None
    what_happened: str | None
    answers: list[Answer | None]


def select_examples(run: Run) -> list[Example]:
    """`report.examples` questions of each benchmark's headline variant, the same ones for the same run; of models with
    several seeds the first one's answers.

    The first have frames, as many as `IMAGE_CHARACTERS` lets onto a page.
    """
    examples, left = [], IMAGE_CHARACTERS
    for task, variant in headline_variants(result_tables(run)).items():
        answers = [answers_to(model, task, variant) for model in run.first_checkpoints]
        for question, outcome in _chosen(run, answers):
            samples = [rows.get(question) for rows in answers]
            example = _example(run, question, outcome, samples, with_frames=left > 0)
            left -= sum(len(frame.uri) for frame in (*example.first, *example.second))
            examples.append(example)
    return examples


def compared_models(models: list[ModelName]) -> tuple[int, int]:
    """Indices of the two models whose answers decide the order: SFT and GRPO of the first experiment that has both,
    otherwise base and the first trained model."""
    places = {model: index for index, model in enumerate(models)}
    for experiment, stage in models:
        if stage == "grpo" and (experiment, "sft") in places:
            return places[ModelName(experiment, "sft")], places[ModelName(experiment, "grpo")]
    return 0, 1


def outcome_of(before: bool, after: bool) -> str:
    """Name of the pair (right before, right after)."""
    return {(False, True): "gained", (True, True): "kept", (True, False): "lost", (False, False): "missed"}[
        before, after
    ]


def choose_questions(outcomes: dict[str, str], kinds: dict[str, str], count: int) -> list[str]:
    """`count` question ids ordered by outcome; within an outcome the kinds alternate, in the order of a hash of the id.

    Each outcome gets its share, from five places on at least one; places that one cannot fill go to the others, in the
    order of `OUTCOME_SHARES`.
    """
    queues = {
        outcome: alternate([question for question in outcomes if outcomes[question] == outcome], kinds)
        for outcome in OUTCOME_SHARES
    }
    least = int(count > len(OUTCOME_SHARES))
    taken = {
        outcome: min(len(queues[outcome]), max(least, int(share * count))) for outcome, share in OUTCOME_SHARES.items()
    }
    for outcome, queue in queues.items():
        taken[outcome] += min(len(queue) - taken[outcome], count - sum(taken.values()))
    return [question for outcome, queue in queues.items() for question in queue[: taken[outcome]]]


def _chosen(run: Run, answers: list[dict[str, Sample]]) -> list[tuple[str, str]]:
    """(question, outcome) of one benchmark's examples, among those that both compared models were asked."""
    before, after = (answers[place] for place in compared_models([model.name for model in run.first_checkpoints]))
    outcomes = {
        question: outcome_of(before[question].correct, after[question].correct)
        for question in before.keys() & after.keys()
        if None not in (before[question].correct, after[question].correct)
    }
    kinds = {question: after[question].kind or "" for question in outcomes}
    return [
        (question, outcomes[question]) for question in choose_questions(outcomes, kinds, run.config.report.examples)
    ]


def _example(run: Run, question_id: str, outcome: str, samples: list[Sample | None], with_frames: bool) -> Example:
    asked = run.asked(next(sample for sample in samples if sample is not None))
    cut = run.cuts.get(asked.video_id)
    whole = cut is not None and cut.second is not None
    return Example(
        task=asked.task,
        question_id=question_id,
        outcome=outcome,
        kind=asked.kind or "",
        question=asked.question or "",
        options=asked.options or {},
        answer=asked.answer or "",
        first=_seen_frames(run.root, cut, asked) if with_frames else [],
        second=part_frames(run.root, cut.second, SECOND_FRAMES) if with_frames and whole else [],
        cut=cut.first.frames / cut.fps if whole else None,
        what_happened=asked.what_happened,
        answers=[
            sample and _answer(model.name, sample) for model, sample in zip(run.first_checkpoints, samples, strict=True)
        ],
    )


def _seen_frames(root: Path, cut: Cut | None, asked: Asked) -> list[Frame]:
    """The first part of a cut video; of a question of SeedBench-R1 its video, if any, and its image."""
    if cut:
        return part_frames(root, cut.first, FIRST_FRAMES)
    media = [(asked.video, FIRST_FRAMES - 1), (asked.image, 1)]
    return [frame for path, count in media if path for frame in frames_of(confined(root, path), count)]


def _answer(model: ModelName, sample: Sample) -> Answer:
    text = sample.completion.strip()
    shown = text if len(text) <= LONGEST_COMPLETION else text[:LONGEST_COMPLETION].rstrip() + " …"
    return Answer(model.experiment, model.stage, shown, sample.parsed, sample.correct, sample.error)
