"""A run as records, split and convert leave it, for the data card."""

from pathlib import Path
from typing import Any

from support.synthetic_run import cut_row, quarantine, write_lines, write_value

RATE = {"rate": 31.5, "ci_low": 20.0, "ci_high": 44.0, "within_bound": True}
MANIFEST = {
    "records": {"split": 7, "left_out": {"not_split": 1}, "train": 5, "validation": 2},
    "files": {
        "sft/next_event.json": {"rows": 5, "left_out": {"no_second_video": 1}, "published_as": "video_fp_sft_data"},
        "sft/next_event.validation.json": {"rows": 2, "left_out": {"no_second_video": 1, "no_caption": 2}},
        "grpo/next_event_mc.jsonl": {
            "rows": 4,
            "left_out": {},
            "text_only": {"n": 3, "accuracy": 33.25, "ci_low": 9.5, "ci_high": 70.0, "method": "a reader of texts"},
            "option_bias": {"longest": {**RATE, "rate": 87.5, "within_bound": False}, "shortest": RATE},
        },
        "futurebench.jsonl": {"rows": 4, "left_out": {}, "text_only": None, "option_bias": {"longest": RATE}},
    },
}


def record_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of records.jsonl."""
    record = {
        "id": f"clip-{number:03d}",
        "video": f"video_dataset/source{number % 3}/{number}.mp4",
        "source": f"source{number % 3}",
        "split_time": 0.5 + number % 4,
        "already_cut": False,
        "caption": "one two three",
        "caption_part1": "word " * (number + 1),
        "caption_part2": "and then",
    }
    return {**record, **changes}


def write_run(root: Path, records: list[dict[str, Any]], manifest: Any = MANIFEST, **cut: Any) -> Path:
    """A run as records, split and convert leave it; the first record is quarantined by the split."""
    cuts = [{**cut_row(record["id"], 64), **cut} for record in records[1:]]
    lost = quarantine(records[0]["id"], "split", "undecodable_video", "moov atom not found")
    write_lines(root / "records" / "records.jsonl", records)
    write_lines(
        root / "records" / "rejected.jsonl",
        [quarantine(f"bad-{number}", "records", "missing_video", f"no file {number}") for number in range(5)],
    )
    write_lines(root / "split" / "manifest.jsonl", [{"status": "quarantined", **lost}, *cuts])
    write_value(root / "convert" / "manifest.json", manifest)
    return root
