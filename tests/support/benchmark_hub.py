"""Tiny data sets in the exact form of lmms-eval's own benchmarks, as a hub serves them."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from support.hub_server import HubFile

MVBENCH_FOLDER = "star/Charades_segment"


def video_mme(clip: bytes) -> dict[str, HubFile]:
    """Two questions, parquet, and two zips of videos."""
    rows = [
        {
            "video_id": f"{number:03d}",
            "duration": duration,
            "domain": "Knowledge",
            "sub_category": "Geography",
            "url": "https://example.org",
            "videoID": f"vid{number}",
            "question_id": f"{number:03d}-1",
            "task_type": "Counting Problem",
            "question": "How many lamps are there?",
            "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
            "answer": answer,
        }
        for number, duration, answer in ((1, "short", "A"), (2, "long", "B"))
    ]
    return {
        "README.md": card({"videomme": "videomme/test-*"}, "test"),
        "videomme/test-00000-of-00001.parquet": parquet(rows),
        "videos_chunked_01.zip": zipped({"data/vid1.mp4": clip}),
        "videos_chunked_02.zip": zipped({"data/vid2.mp4": clip}),
    }


def mvbench(clip: bytes, configs: Iterable[str]) -> dict[str, HubFile]:
    """One question for each config, JSON, the videos unpacked in the repository."""
    row = b'[{"video": "a.mp4", "question": "What next?", "candidates": ["Red.", "Blue."], "answer": "Blue."}]'
    configs = sorted(configs)
    tables = {f"json/{config}.json": HubFile(row) for config in configs}
    return {
        "README.md": card({config: f"json/{config}.json" for config in configs}, "train"),
        **tables,
        f"{MVBENCH_FOLDER}/a.mp4": HubFile(clip, lfs=True),
    }


def long_video_bench(clip: bytes) -> dict[str, HubFile]:
    """Two questions, parquet, and one tar in two parts."""
    rows = [
        {
            "video_id": f"v{number}",
            "question": "Which lamp is lit?",
            "question_category": category,
            "duration_group": group,
            "duration": 2.0,
            "video_path": f"v{number}.mp4",
            "id": f"v{number}_0",
            "correct_choice": 0,
            **{f"option{place}": text for place, text in enumerate(("Red.", "Blue.", "N/A", "N/A", "N/A"))},
        }
        for number, group, category in ((1, 15, "S2E"), (2, 600, "T3O"))
    ]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for number in (1, 2):
            entry = tarfile.TarInfo(f"videos/v{number}.mp4")
            entry.size = len(clip)
            tar.addfile(entry, io.BytesIO(clip))
    content = stream.getvalue()
    half = len(content) // 2
    return {
        "README.md": card({"default": "validation-*"}, "validation"),
        "validation-00000-of-00001.parquet": parquet(rows),
        "videos.tar.part.aa": HubFile(content[:half], lfs=True),
        "videos.tar.part.ab": HubFile(content[half:], lfs=True),
    }


def temporal_bench(clip: bytes) -> dict[str, HubFile]:
    """A question of each task, parquet, and one zip of videos."""
    row = {
        "idx": 0,
        "dataset": "Charades",
        "category": "",
        "question": "A or B?",
        "video_name": "short/a.mp4",
        "GT": "A",
    }
    splits = ("test_short_qa", "test_long_qa", "test_short_caption")
    tables = {f"{split}-00000-of-00001.parquet": parquet([row]) for split in splits}
    files = "".join(f"  - split: {split}\n    path: {split}-*\n" for split in splits)
    readme = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    return {"README.md": HubFile(readme.encode()), **tables, "short.zip": zipped({"short/a.mp4": clip})}


def card(paths: dict[str, str], split: str) -> HubFile:
    lines = ["---", "configs:"]
    for config, path in paths.items():
        lines += [f"- config_name: {config}", "  data_files:", f"  - split: {split}", f"    path: {path}"]
    return HubFile("\n".join([*lines, "---", ""]).encode())


def parquet(rows: list[dict[str, Any]]) -> HubFile:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return HubFile(stream.getvalue(), lfs=True)


def zipped(members: dict[str, bytes]) -> HubFile:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return HubFile(stream.getvalue(), lfs=True)
