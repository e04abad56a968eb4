"""The data card: what records, split and convert made of a source, read, counted and rendered as one page."""

import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nep.files import read_json, write_text
from nep.layout.datasets import VALIDATION
from nep.report import plots
from nep.report.annotation import Annotation, read_annotation
from nep.report.frames import FIRST_FRAMES, SECOND_FRAMES, Frame, alternate, part_frames
from nep.report.histogram import Histogram, category_histogram, count_histogram, share_histogram
from nep.report.manifests import Row, checked
from nep.report.quarantine import quarantine_counts, read_quarantined
from nep.report.rendering import format_duration, template
from nep.report.written import Written, read_written
from nep.rows.base import read_rows
from nep.rows.cut import Cut, cuts_by_id, read_split
from nep.rows.quarantine import Quarantined
from nep.rows.record import Record

SAMPLES = 6
MOST_SOURCES = 40
MOST_QUARANTINE_EXAMPLES = 3
LENGTH_BOUNDS_S = (30, 60, 120, 180)
LENGTH_NAMES = ("0–30 s", "30–60 s", "1–2 min", "2–3 min", "longer")
TEXTS = {
    "caption": "Whole video",
    "caption_part1": "First part",
    "caption_part2": "Second part",
    "reasoning": "Reasoning",
    "prediction": "Prediction",
    "critique": "Critique",
}
PLOTTED_TEXTS = ("caption", "caption_part1", "caption_part2")
WAY_NAMES = {
    "copy": "Packets copied, frames around the cut re-encoded",
    "whole": "Published already cut, all packets copied",
    "encode": "Whole video encoded",
}
FILE_KEYS = ("rows", "left_out")
NUMBER = re.compile(r"\b\d+\b")


@dataclass(frozen=True)
class CardData:
    """What the card shows of the run at `root`; `cuts` are the cut videos by id, `convert` that stage's manifest.

    `written` is None where no questions were written, `annotation` where the source brought its annotations.
    """

    root: Path
    records: list[Record]
    cuts: dict[str, Cut]
    quarantined: list[Quarantined]
    convert: Row
    written: Written | None
    annotation: Annotation | None


@dataclass(frozen=True)
class SourceRow:
    """One source: records, cut videos, these by length (in the order of LENGTH_NAMES), and their sum in seconds."""

    source: str
    records: int
    cuts: int
    lengths: list[int]
    seconds: float


@dataclass(frozen=True)
class TextRow:
    """Words of one text of the records: how many records have it, and the 5 %, 50 %, 95 % quantiles and the maximum."""

    name: str
    records: int
    quantiles: list[float]
    longest: int


@dataclass(frozen=True)
class WayRow:
    """Videos cut in one way, their frames, and how many of these were re-encoded."""

    way: str
    videos: int
    frames: int
    encoded: int


@dataclass(frozen=True)
class SetRow:
    """One data set. `validation` is None where it has no validation file; `left_out` counts both files, by reason."""

    name: str
    published_as: str | None
    rows: int
    validation: int | None
    left_out: dict[str, int]


@dataclass(frozen=True)
class Rate:
    """A share of right answers and its 95 % interval, in percent; `within_bound` as convert judged it."""

    accuracy: float
    ci_low: float
    ci_high: float
    within_bound: bool = True


@dataclass(frozen=True)
class ChoiceRow:
    """A multiple-choice file without its videos: a baseline trained on `asked` of its questions (None where convert
    had too few videos), and rules on the form of the options."""

    path: str
    questions: int
    asked: int | None
    method: str | None
    text_only: Rate | None
    rules: dict[str, Rate]


@dataclass(frozen=True)
class SetAside:
    """Records that one stage set aside for one reason, and the first of them."""

    stage: str
    reason: str
    count: int
    examples: list[Quarantined]


@dataclass(frozen=True)
class Sample:
    """One record with frames of both parts; `cut` and `duration` in seconds."""

    record: Record
    duration: float
    cut: float | None
    first: list[Frame]
    second: list[Frame]


def write_data_card(root: Path, run_name: str, out: Path) -> None:
    """Write the card of the run at `root`. Raises InputError that names a file that is missing or does not fit."""
    write_text(out, render_card(collect_card(root), run_name))


def collect_card(root: Path) -> CardData:
    """Read what records, split and convert left at `root`."""
    convert = root / "convert" / "manifest.json"
    split_rows = read_split(root / "split" / "manifest.jsonl")
    (manifest,) = checked([read_json(convert)], convert, ("files", "records"))
    checked(list(manifest["files"].values()), convert, FILE_KEYS)
    return CardData(
        root=root,
        records=read_rows(Record, root / "records" / "records.jsonl"),
        cuts=cuts_by_id(split_rows),
        quarantined=read_quarantined(root, split_rows),
        convert=manifest,
        written=read_written(root),
        annotation=read_annotation(root),
    )


def render_card(card: CardData, run_name: str) -> str:
    """The page as HTML text."""
    sources, ways, choices = source_rows(card), way_rows(card), choice_rows(card.convert["files"])
    return template("data_card.html").render(
        run_name=run_name,
        facts=_facts(card),
        sources=sources,
        length_names=LENGTH_NAMES,
        lengths=length_histogram(sources),
        already_cut=sum(record.already_cut for record in card.records),
        positions=position_histogram(card),
        texts=text_rows(card.records),
        text_histograms=text_histograms(card.records),
        ways=ways,
        whys=why_counts(card),
        encoded=encoded_histogram(card),
        divided=card.convert["records"],
        sets=set_rows(card.convert["files"]),
        choices=choices,
        methods=sorted({row.method for row in choices if row.method}),
        rules=list(dict.fromkeys(rule for row in choices for rule in row.rules)),
        written=card.written,
        annotation=card.annotation,
        set_aside=set_aside(card.quarantined),
        samples=select_samples(card),
        geometry=plots,
    )


def source_rows(card: CardData) -> list[SourceRow]:
    """The sources, the largest first; those after `MOST_SOURCES` are one row."""
    counts = Counter(record.source for record in card.records)
    ranked = sorted(counts, key=lambda source: (-counts[source], source))
    others = f"{len(ranked) - MOST_SOURCES:,} other sources"
    groups: dict[str, list[Record]] = {source: [] for source in ranked[:MOST_SOURCES]}
    for record in card.records:
        groups.setdefault(record.source if record.source in groups else others, []).append(record)
    return [_source_row(name, records, card.cuts) for name, records in groups.items()]


def lengths_of(durations: list[float]) -> list[int]:
    """How many durations (seconds) lie in each length class; a bound belongs to the longer class."""
    counts = Counter(bisect_right(LENGTH_BOUNDS_S, duration) for duration in durations)
    return [counts[place] for place in range(len(LENGTH_NAMES))]


def length_histogram(sources: list[SourceRow]) -> Histogram:
    """Cut videos of all sources by length class."""
    counts = {name: sum(row.lengths[place] for row in sources) for place, name in enumerate(LENGTH_NAMES)}
    return category_histogram("Length", "cut videos by length", f"{sum(counts.values()):,} videos", counts)


def position_histogram(card: CardData) -> Histogram | None:
    """Where in the video the cut lies; videos that were published already cut have no known place."""
    shares = [
        record.split_time / card.cuts[record.id].duration
        for record in card.records
        if record.id in card.cuts and record.split_time is not None
    ]
    return (
        share_histogram("Place of the cut", "split time as a share of the video's length", shares) if shares else None
    )


def text_rows(records: list[Record]) -> list[TextRow]:
    """Lengths of the texts that any record has."""
    words = {name: _words(records, name) for name in TEXTS}
    return [
        TextRow(TEXTS[name], len(counts), np.percentile(counts, (5, 50, 95)).tolist(), max(counts))
        for name, counts in words.items()
        if counts
    ]


def text_histograms(records: list[Record]) -> list[Histogram]:
    """Words of each caption that any record has."""
    words = {name: _words(records, name) for name in PLOTTED_TEXTS}
    return [
        count_histogram(TEXTS[name], "captions by number of words", counts, "words")
        for name, counts in words.items()
        if counts
    ]


def way_rows(card: CardData) -> list[WayRow]:
    """Ways of cutting that occur."""
    by_way = {way: [row for row in card.cuts.values() if _way(row) == way] for way in WAY_NAMES}
    return [
        WayRow(
            way=WAY_NAMES[way],
            videos=len(rows),
            frames=sum(row.source_frames for row in rows),
            encoded=sum(row.encoded_frames for row in rows),
        )
        for way, rows in by_way.items()
        if rows
    ]


def why_counts(card: CardData) -> list[tuple[str, int]]:
    """(why a video was not copied, videos), the most frequent first; reasons that differ in a number are one."""
    counts = Counter(NUMBER.sub("…", row.why) for row in card.cuts.values() if row.why)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def encoded_histogram(card: CardData) -> Histogram | None:
    """Which share of a video's frames was re-encoded, of the videos that were cut here."""
    shares = [row.encoded_frames / row.source_frames for row in card.cuts.values() if row.second]
    return share_histogram("Re-encoded frames", "share of each video's frames", shares) if shares else None


def set_rows(files: dict[str, Row]) -> list[SetRow]:
    """The data sets of convert's manifest by path, each with its validation file."""
    validation = {path.replace(VALIDATION, ""): file for path, file in files.items() if VALIDATION in path}
    return [
        SetRow(
            name=path,
            published_as=file.get("published_as"),
            rows=file["rows"],
            validation=validation[path]["rows"] if path in validation else None,
            left_out=_sum_of_counts(file["left_out"], validation.get(path, {}).get("left_out", {})),
        )
        for path, file in sorted(files.items())
        if VALIDATION not in path
    ]


def choice_rows(files: dict[str, Row]) -> list[ChoiceRow]:
    """The files whose questions convert tried to answer without their videos."""
    return [_choice_row(path, file) for path, file in sorted(files.items()) if "option_bias" in file]


def set_aside(quarantined: list[Quarantined]) -> list[SetAside]:
    """Reasons, the most frequent first, with the first records that each struck."""
    rows = []
    for stage, reason, count in quarantine_counts(quarantined):
        struck = [row for row in quarantined if (row.stage, row.reason) == (stage, reason)]
        rows.append(SetAside(stage, reason, count, struck[:MOST_QUARANTINE_EXAMPLES]))
    return rows


def select_samples(card: CardData) -> list[Sample]:
    """`SAMPLES` records with both parts, in the order of a hash of the id, from each source in turn."""
    whole = {record.id: record for record in card.records if record.id in card.cuts and card.cuts[record.id].second}
    chosen = alternate(list(whole), {identity: record.source for identity, record in whole.items()})[:SAMPLES]
    return [_sample(card, whole[identity]) for identity in chosen]


def _sample(card: CardData, record: Record) -> Sample:
    cut = card.cuts[record.id]
    return Sample(
        record=record,
        duration=cut.duration,
        cut=record.split_time,
        first=part_frames(card.root, cut.first, FIRST_FRAMES),
        second=part_frames(card.root, cut.second, SECOND_FRAMES),
    )


def _source_row(name: str, records: list[Record], cuts: dict[str, Cut]) -> SourceRow:
    durations = [cuts[record.id].duration for record in records if record.id in cuts]
    return SourceRow(name, len(records), len(durations), lengths_of(durations), sum(durations))


def _way(row: Cut) -> str:
    return "whole" if row.way == "copy" and row.second is None else row.way


def _facts(card: CardData) -> list[tuple[str, str]]:
    seconds = sum(row.duration for row in card.cuts.values())
    return [
        (f"{len(card.records):,}", "records"),
        (f"{len({record.source for record in card.records}):,}", "sources"),
        (f"{len(card.cuts):,}", "videos cut"),
        (format_duration(seconds), "of video"),
        (f"{len(card.quarantined):,}", "rows set aside"),
    ]


def _words(records: list[Record], name: str) -> list[int]:
    return [len(text.split()) for record in records if (text := getattr(record, name))]


def _choice_row(path: str, file: Row) -> ChoiceRow:
    read = file.get("text_only")
    return ChoiceRow(
        path=path,
        questions=file["rows"],
        asked=read["n"] if read else None,
        method=read["method"] if read else None,
        text_only=_rate(read, "accuracy") if read else None,
        rules={rule: _rate(found, "rate") for rule, found in file["option_bias"].items()},
    )


def _rate(found: dict[str, Any], value: str) -> Rate:
    return Rate(found[value], found["ci_low"], found["ci_high"], found.get("within_bound", True))


def _sum_of_counts(*counts: dict[str, int]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter()).most_common())
