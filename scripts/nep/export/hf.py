"""Hugging Face `datasets`: every data set of a run as a configuration of one folder that `load_dataset` reads."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from nep.errors import InputError
from nep.files import atomic_path, read_json, write_text
from nep.layout.datasets import dataset_file
from nep.rows.base import Writable, read_rows
from nep.rows.dataset import GrpoRow, read_sft
from nep.rows.question import AskedQuestion

BESIDE_THE_RUN = "Videos are named by paths below the run's folder, two folders above this one."
TEXT = pa.string()
PATHS = pa.list_(TEXT)
CLIP = [*((name, TEXT) for name in ("id", "video_id", "source", "view")), ("videos", PATHS)]
DIALOGUE = [*CLIP, ("messages", pa.list_(pa.struct([("role", TEXT), ("content", TEXT)])))]
ASKED = [*CLIP, ("kind", TEXT), ("problem", TEXT), ("answer", TEXT)]
QUESTION = [
    *((name, TEXT) for name in ("id", "video_id", "kind", "question")),
    ("options", pa.struct([(letter, TEXT) for letter in "ABCD"])),
    ("options_inline", pa.bool_()),
    ("answer", TEXT),
    ("video", TEXT),
]
RECORD = [
    ("source", TEXT),
    ("split_time", pa.float64()),
    *((name, TEXT) for name in ("caption", "caption_part1", "caption_part2")),
    ("events", pa.list_(pa.struct([("scene", pa.int64()), ("description", TEXT)]))),
]
WITH_EVENTS = "grpo, with events"
# Columns by what a set is for.
SCHEMAS = {
    "sft": pa.schema(DIALOGUE),
    "sft, mixed": pa.schema([*DIALOGUE, ("component", TEXT)]),
    "grpo": pa.schema(ASKED),
    WITH_EVENTS: pa.schema([*ASKED, ("events", PATHS)]),
    "futurebench": pa.schema([*QUESTION, ("record", pa.struct(RECORD))]),
    "seedbench_r1": pa.schema([*QUESTION, ("image", TEXT), ("record", pa.struct([("source", TEXT)]))]),
}


def export_run(run: Path, folder: Path, about_videos: str = BESIDE_THE_RUN) -> None:
    """Write parquet files below `folder`, and its data card. Sets and splits without rows are left out.

    `about_videos`: the sentence of the card that says where they are. Raises InputError for a row whose columns or
    types are not those of SCHEMAS.
    """
    manifest = read_json(run / "convert/manifest.json")
    counts: dict[tuple[str, str], dict[str, int]] = {}
    with atomic_path(folder) as out:
        for name in sorted(manifest["files"]):
            for purpose, split, rows in _splits(run / "convert", name):
                dataset = _configuration(name, manifest["files"])
                if rows:
                    target = out / _data_file(dataset, split)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    values = [_columns(row, purpose) for row in rows]
                    pq.write_table(to_table(values, SCHEMAS[purpose], name), target)
                    counts.setdefault((purpose, dataset), {})[split] = len(rows)
        if not counts:
            raise InputError(f"{run / 'convert/manifest.json'}: no data set has a row; nothing to export")
        write_text(out / "README.md", data_card(counts, manifest, about_videos))


def to_table(rows: list[dict[str, Any]], schema: pa.Schema, name: str) -> pa.Table:
    """Rows as an Arrow table. Raises InputError that names the file and the row that does not fit."""
    for row in rows:
        if set(row) != set(schema.names):
            odd = ", ".join(sorted(set(row) ^ set(schema.names)))
            raise InputError(
                f"{name}: row {row.get('id')!r}: columns {', '.join(schema.names)} expected; differs: {odd}"
            )
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{name}: a value has not the type of its column ({error})") from None


def data_card(counts: dict[tuple[str, str], dict[str, int]], manifest: dict[str, Any], about_videos: str) -> str:
    """README.md: the header by which `load_dataset` finds configurations and splits, what the columns are, what was
    left out, and what questions give away without their video.

    `manifest`: the convert stage's. Licence and language are left to whoever publishes the folder.
    """
    videos = manifest["records"]
    header = {
        "pretty_name": "Next-event prediction",
        "task_categories": ["video-text-to-text"],
        "size_categories": [size_category(sum(sum(splits.values()) for splits in counts.values()))],
        "tags": ["next-event-prediction", "video"],
        "configs": [
            {
                "config_name": dataset,
                "data_files": [{"split": split, "path": _data_file(dataset, split)} for split in splits],
            }
            for (_, dataset), splits in counts.items()
        ],
    }
    sizes = [
        f"| `{dataset}` | {purpose} | {', '.join(f'{split} {rows}' for split, rows in splits.items())} |"
        for (purpose, dataset), splits in counts.items()
    ]
    columns = [
        f"| {purpose} | {', '.join(f'`{column.name}`: {column.type}' for column in SCHEMAS[purpose])} |"
        for purpose in sorted({purpose for purpose, _ in counts})
    ]
    left_out = _reasons(videos["left_out"])
    lines = [
        "---",
        yaml.safe_dump(header, sort_keys=False).rstrip(),
        "---",
        "# Next-event prediction",
        "",
        "Each video is cut at a moment; the first part is shown, and what comes after it is asked for.",
        about_videos,
        f"{videos['train']:,} videos are for training, {videos['validation']:,} for validation.",
        *([f"In neither: {left_out}."] if left_out else []),
        "",
        "| configuration | for | rows |",
        "|---|---|---|",
        *sizes,
        "",
        "| for | columns |",
        "|---|---|",
        *columns,
        *_left_out_lines(manifest["files"]),
        *_without_video_lines(manifest["files"]),
    ]
    return "\n".join(lines) + "\n"


def size_category(rows: int) -> str:
    """The hub's name for a number of rows."""
    bounds = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    return next((name for bound, name in bounds if rows < bound), "n>10M")


def _left_out_lines(files: dict[str, Any]) -> list[str]:
    rows = [f"| `{name}` | {_reasons(file['left_out'])} |" for name, file in sorted(files.items()) if file["left_out"]]
    return ["", "Records that a file lacks, by reason:", "", "| file | left out |", "|---|---|", *rows] if rows else []


def _without_video_lines(files: dict[str, Any]) -> list[str]:
    asked = {name: file for name, file in sorted(files.items()) if "option_bias" in file and file["rows"]}
    if not asked:
        return []
    rules = list(dict.fromkeys(rule for file in asked.values() for rule in file["option_bias"]))
    heads = ["file", "texts alone", *(rule.replace("_", " ") for rule in rules)]
    rows = []
    for name, file in asked.items():
        read = file["text_only"]
        texts = _rate(read["accuracy"], read) if read else "too few videos"
        found = [_rate(file["option_bias"][rule]["rate"], file["option_bias"][rule]) for rule in rules]
        rows.append(f"| {' | '.join((f'`{name}`', texts, *found))} |")
    return [
        "",
        "Questions answered right without their videos, in percent with the 95 % interval (chance is 25): by a",
        "classifier that reads the texts alone, and by rules on the form of the options.",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *rows,
    ]


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in counts.items())


def _rate(value: float, bounds: dict[str, Any]) -> str:
    return f"{value:.1f} ({bounds['ci_low']:.1f}–{bounds['ci_high']:.1f})"


def _configuration(name: str, names: Iterable[str]) -> str:
    """The name under which `load_dataset` knows a file of the convert stage; SFT and GRPO have sets of one name."""
    dataset = Path(name).name.split(".")[0]
    shared = name.startswith("grpo/") and dataset_file("sft", dataset) in names
    return f"{dataset}_grpo" if shared else dataset


def _splits(convert: Path, name: str) -> Iterator[tuple[str, str, list[Writable]]]:
    """(purpose, split, rows) of one file of the convert stage."""
    path = convert / name
    if name.startswith("sft/"):
        rows = read_sft(path)
        purpose = "sft, mixed" if rows and rows[0].component else "sft"
        yield purpose, "validation" if ".validation." in name else "train", rows
    elif name.startswith("grpo/"):
        rows = read_rows(GrpoRow, path)
        purpose = WITH_EVENTS if any(row.events for row in rows) else "grpo"
        for split in ("train", "validation"):
            yield purpose, split, [row for row in rows if row.part == split]
    else:
        yield path.name.split(".")[0], "test", read_rows(AskedQuestion, path)


def _columns(row: Writable, purpose: str) -> dict[str, Any]:
    empty = {"events": []} if purpose == WITH_EVENTS else {}
    # Of the part, the split of the exported data set tells.
    return {key: value for key, value in (empty | row.to_json()).items() if key != "part"}


def _data_file(dataset: str, split: str) -> str:
    return f"data/{dataset}/{split}.parquet"
