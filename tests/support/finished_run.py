"""A finished run in small, to be published: its manifests are right, its videos are noise."""

import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from support.rows import cut, segment

from nep.config.convert import Convert
from nep.config.vision import Vision
from nep.data.convert import convert_run
from nep.files import sha256_of_file, sha256_of_json, write_json, write_text
from nep.model_manifest import model_manifest
from nep.records.parse import parse_files, write_parsed
from nep.rows.base import write_rows

TRAINED, ASKED = ("video_dataset/kitchen/a.mp4", "video_dataset/kitchen/b.mp4"), "video_dataset/street/c.mp4"
VIDEO_BYTES = 20_000
CARD = "---\nlibrary_name: transformers\npipeline_tag: video-text-to-text\n---\n# A model\n"
OPTIONS = {"A": "The lamp goes out.", "B": "A cup falls.", "C": "The door opens.", "D": "It rains."}


def write_finished_run(run: Path, models: tuple[str, ...] = ("nep/grpo",)) -> Path:
    """Write download, records, split, convert, models, scores and cards below `run`."""
    _write_download(run)
    annotations = run / "download/annotations"
    files = (annotations / "next_event_prediction.json", annotations / "futurebench.json")
    parsed = parse_files(*files, run / "download/videos")
    write_parsed(parsed, run / "records")
    write_rows(run / "split/manifest.jsonl", [_cut(run, record.id) for record in parsed.records])
    sources = (run / "records/records.jsonl", run / "records/questions.jsonl", run / "split/manifest.jsonl")
    convert_run(*sources, Convert(hops=[1]), 5, run / "convert")
    for number, model in enumerate(models):
        _write_model(run, model, number)
    return run


def _write_download(run: Path) -> None:
    videos = {path: _noise(path, VIDEO_BYTES) for path in (*TRAINED, ASKED)}
    for path, content in videos.items():
        (run / "download/videos" / path).parent.mkdir(parents=True, exist_ok=True)
        (run / "download/videos" / path).write_bytes(content)
    digests = {path: sha256_of_file(run / "download/videos" / path) for path in videos}
    noted = {"count": len(videos), "bytes": len(videos) * VIDEO_BYTES, "sha256": sha256_of_json(digests)}
    write_json(run / "download/videos.json", noted)
    write_json(run / "download/annotations/next_event_prediction.json", [_annotation(path) for path in videos])
    asked = {"Question": "What happens next?", "Options": OPTIONS, "Answer": "B"}
    question = {"id": "q-1", "video_path": ASKED, "question_type": "hop1", "qa": asked}
    write_json(run / "download/annotations/futurebench.json", [question])


def _annotation(path: str) -> dict:
    captions = {"caption_part1": "A cook lights the stove.", "caption_part2": "She drops an egg."}
    events = ["She fills a pan.", "She lights the stove.", "She drops an egg."]
    return {
        "video_path": path,
        "caption": "A cook at work.",
        "events": [{"scene": f"Scene {place}", "description": text} for place, text in enumerate(events, start=1)],
        "video_split": {"split_caption": captions, "scenes_timestep": [{"Scene 2": {"start": 0.0, "end": 1.5}}]},
    }


def _cut(run: Path, identity: str):
    parts = {}
    for part in ("first", "second"):
        file = run / f"segments/{part}/{identity}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_noise(f"{part} {identity}", VIDEO_BYTES // 2))
        parts[part] = segment(identity, part, 24).model_copy(update={"sha256": sha256_of_file(file)})
    return cut(identity, **parts)


def _write_model(run: Path, place: str, number: int) -> None:
    folder, name = run / place / "model", place.replace("/", "-")
    folder.mkdir(parents=True)
    weights = np.random.default_rng(number).random((200, 200), np.float32)
    save_file({"embed": weights}, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", {"model_type": "qwen2_5_vl"})
    write_json(run / place / "manifest.json", model_manifest(folder))
    write_json(run / "evaluate" / name / "scores.json", {"vision": Vision().model_dump()})
    write_text(run / "report/cards" / name / "README.md", CARD)


def _noise(seed: str, length: int) -> bytes:
    return random.Random(seed).randbytes(length)
