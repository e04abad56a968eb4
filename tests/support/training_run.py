"""A small run folder for the trainers' tests: tiny checkpoint, vision cache of random frames, SFT and GRPO rows.

The cache is written in the encode stage's layout with the tiny model's own tower, so that features and pixels agree.
"""

import random
import shutil
from pathlib import Path
from typing import Any

from nep.files import write_json, write_jsonl

FRAMES, HEIGHT, WIDTH = 4, 56, 56
SHARD = "1-of-1"
INSTRUCTION = "Think inside <think> </think>, then give the letter inside <answer> </answer>."


def make_run(run: Path, checkpoint: Path, videos: int = 6, questions: int = 8) -> Path:
    """Write `models/`, `encode/` and `convert/` below `run`. Same arguments, same bytes."""
    shutil.copytree(checkpoint, run / "models" / "base")
    write_json(run / "models" / "base.manifest.json", {"fingerprint": "tiny"})
    names = [f"video-{index}" for index in range(videos)]
    write_cache(run / "encode", checkpoint, names)
    write_json(run / "convert" / "sft" / "next_event.json", [sft_row(name, index) for index, name in enumerate(names)])
    write_json(run / "convert" / "sft" / "next_event.validation.json", [sft_row(names[0], 3)])
    rows = [grpo_row(names[index % videos], index) for index in range(questions)]
    write_jsonl(run / "convert" / "grpo" / "next_event_mc.jsonl", rows)
    return run


def sft_row(name: str, index: int) -> dict[str, Any]:
    """A row whose answer length varies with `index`."""
    words = ["The red ball rolls away.", "A cup falls.", "The door opens."]
    return {
        "id": f"{name}/sft",
        "video_id": name,
        "source": "demo",
        "view": "first",
        "messages": [
            {"role": "user", "content": "<video>What happens next in the video?"},
            {"role": "assistant", "content": " ".join(words[: index % 3 + 1])},
        ],
        "videos": [f"segments/first/{name}.mp4"],
    }


def grpo_row(name: str, index: int) -> dict[str, Any]:
    """A multiple-choice row; every fourth one belongs to the validation part."""
    return {
        "id": f"question-{index}",
        "video_id": name,
        "source": "demo",
        "view": "first",
        "problem": f"<video>What happens next?\nA. A cup falls.\nB. The door opens.\n{INSTRUCTION}",
        "answer": random.Random(index).choice("AB"),
        "videos": [f"segments/first/{name}.mp4"],
        "kind": "hop1",
        "part": "validation" if index % 4 == 3 else "train",
    }


def write_cache(folder: Path, checkpoint: Path, names: list[str]) -> None:
    """Frames, features and index of random clips."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32)
    noise = torch.Generator().manual_seed(0)
    frames, features, index = {}, {}, []
    for name in names:
        key = f"{name}/first"
        clip = torch.randint(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=noise)
        inputs = processor.video_processor(
            videos=[clip.permute(0, 3, 1, 2)], do_resize=False, do_sample_frames=False, return_tensors="pt"
        )
        with torch.no_grad():
            encoded = model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"])
        frames[key], features[key] = clip, encoded.pooler_output[0].contiguous()
        index.append(
            {
                "key": key,
                "video_id": name,
                "view": "first",
                "shard": SHARD,
                "frames": FRAMES,
                "height": HEIGHT,
                "width": WIDTH,
                "pts": [0.25 * number for number in range(FRAMES)],
                "fps": 12.0,
                "modality": "video",
                "placeholder": [["", len(features[key])]],
                "grid": inputs["video_grid_thw"][0].tolist(),
                "second_per_grid": 0.5,
                "sha256": "0" * 64,
                "features": "float32",
            }
        )
    for kind, tensors in (("frames", frames), ("features", features)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / kind / f"{SHARD}.safetensors")
    write_jsonl(folder / "index.jsonl", index)
