"""The examples of the page: which questions are shown, and the frames of their videos as data URIs."""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from nep.files import confined
from nep.report.collect import ModelName, Row, Run, Stage
from nep.report.results_table import answers_to, headline_variants, result_tables
from nep.video.orientation import orientation_of

FIRST_FRAMES = 6
SECOND_FRAMES = 4
THUMBNAIL_SIZE = (224, 168)
JPEG_QUALITY = 82
LONGEST_COMPLETION = 1600
# Characters of data URIs on a page; examples after that have no images.
IMAGE_CHARACTERS = 8_000_000
# What the last model did against the one before it. Shares keep failures on the page when successes abound.
OUTCOME_SHARES = {"gained": 0.5, "kept": 0.25, "lost": 0.125, "missed": 0.125}


@dataclass(frozen=True)
class Frame:
    """A frame as a data URI; `seconds` from the start of its part."""

    uri: str
    seconds: float


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
    """`report.examples` questions of each benchmark's headline variant, the same ones for the same run.

    The first have frames, as many as `IMAGE_CHARACTERS` lets onto a page.
    """
    examples, left = [], IMAGE_CHARACTERS
    for task, variant in headline_variants(result_tables(run)).items():
        answers = [answers_to(model, task, variant) for model in run.models]
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


def frames_of(path: Path, count: int) -> list[Frame]:
    """`count` frames at equal distances, the first and the last among them, as small JPEG data URIs.

    Empty when the file is absent or cannot be decoded: a missing frame must not end a report.
    """
    try:
        return _decode_frames(path, count)
    except (av.FFmpegError, OSError):
        return []


def alternate(questions: list[str], kinds: dict[str, str]) -> list[str]:
    """Questions in the order of a hash of their id, taken from each kind in turn."""
    hashed = sorted(questions, key=lambda question: hashlib.sha256(question.encode()).hexdigest())
    turns: dict[str, int] = {}
    order: dict[str, tuple[int, str]] = {}
    for question in hashed:
        kind = kinds[question]
        turns[kind] = turns.get(kind, 0) + 1
        order[question] = (turns[kind], kind)
    return sorted(hashed, key=order.__getitem__)


def part_frames(root: Path, part: dict[str, Any] | None, count: int) -> list[Frame]:
    """`count` frames of one part of a cut video, as its row in the split manifest names it; none where it has none."""
    return frames_of(confined(root, part["path"]), count) if part else []


def _chosen(run: Run, answers: list[dict[str, Row]]) -> list[tuple[str, str]]:
    """(question, outcome) of one benchmark's examples, among those that both compared models were asked."""
    before, after = (answers[place] for place in compared_models([model.name for model in run.models]))
    outcomes = {
        question: outcome_of(before[question]["correct"], after[question]["correct"])
        for question in before.keys() & after.keys()
        if None not in (before[question]["correct"], after[question]["correct"])
    }
    kinds = {question: after[question].get("kind") or "" for question in outcomes}
    return [
        (question, outcomes[question]) for question in choose_questions(outcomes, kinds, run.config.report.examples)
    ]


def _decode_frames(path: Path, count: int) -> list[Frame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        if not stamps:
            return []
        places = np.linspace(0, len(stamps) - 1, min(count, len(stamps))).round().astype(int)
        frames = []
        for stamp in (stamps[place] for place in places):
            container.seek(stamp, stream=stream, backward=True)
            image = _image_at(container.decode(stream), stamp)
            if image is not None:
                frames.append(Frame(_data_uri(image), float((stamp - stamps[0]) * stream.time_base)))
        return frames


def _image_at(frames: Any, stamp: int) -> Image.Image | None:
    for frame in frames:
        if frame.pts is not None and frame.pts >= stamp:
            return Image.fromarray(orientation_of(frame).upright(frame.to_ndarray(format="rgb24")))
    return None


def _data_uri(image: Image.Image) -> str:
    image.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _example(run: Run, question_id: str, outcome: str, samples: list[Row | None], with_frames: bool) -> Example:
    question = run.question_of(next(sample for sample in samples if sample is not None))
    cut = run.cuts.get(question.get("video_id"), {})
    record = question.get("record") or {}
    return Example(
        task=question["task"],
        question_id=question_id,
        outcome=outcome,
        kind=question.get("kind") or "",
        question=question.get("question") or "",
        options=question.get("options") or {},
        answer=str(question.get("answer") or ""),
        first=_seen_frames(run.root, cut, question) if with_frames else [],
        second=part_frames(run.root, cut.get("second"), SECOND_FRAMES) if with_frames else [],
        cut=cut["first"]["frames"] / cut["fps"] if cut.get("second") else None,
        what_happened=record.get("caption_part2"),
        answers=[sample and _answer(model.name, sample) for model, sample in zip(run.models, samples, strict=True)],
    )


def _seen_frames(root: Path, cut: Row, question: Row) -> list[Frame]:
    """The first part of a cut video; of a question of SeedBench-R1 its video, if any, and its image."""
    if cut:
        return part_frames(root, cut["first"], FIRST_FRAMES)
    media = [(question.get("video"), FIRST_FRAMES - 1), (question.get("image"), 1)]
    return [frame for path, count in media if path for frame in frames_of(confined(root, path), count)]


def _answer(model: ModelName, sample: Row) -> Answer:
    text = (sample["completion"] or "").strip()
    shown = text if len(text) <= LONGEST_COMPLETION else text[:LONGEST_COMPLETION].rstrip() + " …"
    return Answer(model.experiment, model.stage, shown, sample["parsed"], sample["correct"], sample["error"])
