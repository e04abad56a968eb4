"""The data card: what a run's data is, before any training."""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.data.draw import stable_hash
from nep.files import confined, read_json, read_jsonl, write_text
from nep.report.collect import Quarantined, Row, read_quarantined
from nep.report.examples import Frame, frames_of
from nep.report.rendering import template

LENGTHS = {"up to 30 s": 30, "30–60 s": 60, "1–2 min": 120, "2–3 min": 180, "over 3 min": float("inf")}
POSITIONS = 10
CAPTION_WORDS = (10, 20, 40, 80, 160)
SAMPLES = 6
FRAMES = 4
WAYS = {"copy": "packets copied", "encode": "encoded as a whole"}

Bars = list[tuple[str, int]]


@dataclass(frozen=True)
class Sample:
    """A video as the card shows it; `cut` in seconds, None where the source had been cut before."""

    id: str
    source: str
    first: list[Frame]
    second: list[Frame]
    cut: float | None
    caption_part1: str | None
    caption_part2: str | None


def write_data_card(run: Path, run_name: str, out: Path) -> None:
    """Write the card of the run's folder to `out`."""
    cuts = read_jsonl(run / "split/manifest.jsonl")
    good = {row["id"]: row for row in cuts if row["status"] == "ok"}
    records = [row for row in read_jsonl(run / "records/records.jsonl") if row["id"] in good]
    files = read_json(run / "convert/manifest.json")["files"]
    asked = [(path, file) for path, file in files.items() if file.get("option_bias")]
    page = template("data_card.html").render(
        run_name=run_name,
        facts=facts(records, good.values(), files),
        by_source=by_count(record["source"] for record in records),
        by_length=in_bins([row["duration"] for row in good.values()], LENGTHS),
        positions=split_positions(records, good),
        caption_words=caption_lengths(records),
        ways=[(WAYS[way], count) for way, count in by_count(row["way"] for row in good.values())],
        ways_note=ways_note(good.values()),
        files=list(files.items()),
        choices=asked,
        rules=list(asked[0][1]["option_bias"]) if asked else [],
        method=next((file["text_only"]["method"] for _, file in asked if file["text_only"]), None),
        samples=[sample(record, good[record["id"]], run) for record in chosen(records)],
        reasons=quarantine(read_quarantined(run, cuts)),
    )
    write_text(out, page)


def facts(records: Sequence[Row], cuts: Iterable[Row], files: dict[str, Any]) -> list[tuple[str, str]]:
    """(value, name) of the figures below the title."""
    seconds = sum(row["duration"] for row in cuts)
    sources = {record["source"] for record in records}
    rows = sum(file["rows"] for path, file in files.items() if ".validation." not in path)
    return [
        (f"{len(records):,}", "videos"),
        (f"{len(sources):,}", "sources"),
        (f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min", "of video"),
        (f"{rows:,}", "rows in all data sets"),
    ]


def by_count(values: Iterable[str]) -> Bars:
    """Values by how often they occur, the most frequent first."""
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))


def in_bins(values: Iterable[float], bins: dict[str, float]) -> Bars:
    """How many values lie in each bin; `bins` maps a label to the bin's upper end, which belongs to it."""
    ends = list(bins.values())
    counts = Counter(bisect.bisect_left(ends, value) for value in values)
    return [(label, counts[place]) for place, label in enumerate(bins)]


def split_positions(records: Iterable[Row], cuts: dict[str, Row]) -> Bars:
    """Histogram of split time / duration, of the videos that were cut here."""
    bins = {f"{10 * place}–{10 * place + 10} %": (place + 1) / POSITIONS for place in range(POSITIONS)}
    cut_here = [record for record in records if cuts[record["id"]]["split_pts"] is not None]
    return in_bins((record["split_time"] / cuts[record["id"]]["duration"] for record in cut_here), bins)


def caption_lengths(records: Iterable[Row]) -> Bars:
    """Histogram of the words in the caption of the second part."""
    starts = (0, *CAPTION_WORDS)
    bins = {f"{left + 1}–{right}": float(right) for left, right in itertools.pairwise(starts)}
    bins[f"over {CAPTION_WORDS[-1]}"] = float("inf")
    return in_bins((len(record["caption_part2"].split()) for record in records if record["caption_part2"]), bins)


def ways_note(cuts: Iterable[Row]) -> str:
    """The share of pictures that were encoded anew where packets were copied, and why others were not copied."""
    rows = list(cuts)
    copied = [row for row in rows if row["way"] == "copy"]
    total = sum(row["source_frames"] for row in copied)
    anew = sum(row["encoded_frames"] for row in copied)
    share = f"Of the copied videos' pictures, {100 * anew / max(total, 1):.1f} % were encoded anew, around the cut."
    notes = [share] if total else []
    why = by_count(row["why"] for row in rows if row["why"])
    notes += [f"Not copied: {', '.join(f'{reason} ({count:,})' for reason, count in why)}."] if why else []
    return " ".join(notes)


def chosen(records: Iterable[Row]) -> list[Row]:
    """SAMPLES records, sources in turn, each source's in the order of a hash of the id."""
    queues: dict[str, list[Row]] = {}
    for record in sorted(records, key=lambda record: stable_hash("data card", record["id"])):
        queues.setdefault(record["source"], []).append(record)
    turns = itertools.zip_longest(*(queues[source] for source in sorted(queues)))
    return [record for turn in turns for record in turn if record is not None][:SAMPLES]


def sample(record: Row, cut: Row, run: Path) -> Sample:
    """Frames of both parts, and what the record says of them."""
    parts = [frames_of(confined(run, cut[part]["path"]), FRAMES) if cut[part] else [] for part in ("first", "second")]
    return Sample(
        id=record["id"],
        source=record["source"],
        first=parts[0],
        second=parts[1],
        cut=None if cut["split_pts"] is None else record["split_time"],
        caption_part1=record["caption_part1"],
        caption_part2=record["caption_part2"],
    )


def quarantine(rows: Sequence[Quarantined]) -> list[tuple[str, int, Quarantined]]:
    """(reason, how many, the first of them), the most frequent first."""
    first = {row.reason: row for row in reversed(rows)}
    return [(reason, count, first[reason]) for reason, count in by_count(row.reason for row in rows)]
