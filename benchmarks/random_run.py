"""Run folders with a random model, random clips and rows of given lengths, and the trainers run on them."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file

from measure import ROOT, WORK
from nep.config.tiny_model import TinyModel
from nep.demo.tiny_checkpoint import build_model, build_processor, save_checkpoint
from nep.encode.features import FeatureEncoder
from nep.files import write_json, write_jsonl
from nep.model.clip import Clip
from nep.model.family import load_processor, placeholder_of
from nep.rows.base import write_rows
from nep.rows.clip import EncodedClip
from nep.train.runtime.options import RunPaths

WORDS = [first + second + third for first in "bdfglmnprst" for second in ("a", "e", "i", "o") for third in "lmnrst"]
FPS, SIDE, SHARD = 2.0, 112, "1-of-1"
ANSWER_WORDS = 8
# Logits 4 times as wide: of 2,048 tokens, one of logit 0 is drawn once in millions.
SHARPER = 4.0


def make_model(folder: Path, size: dict[str, int]) -> None:
    """A random checkpoint that never ends a completion: the logit of its end token is 0, those of the others wide."""
    processor = build_processor([" ".join(WORDS)])
    model = build_model(TinyModel(**size), processor, seed=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[processor.tokenizer.eos_token_id] = 0
        model.model.language_model.norm.weight *= SHARPER
    save_checkpoint(model, processor, folder)


def make_run(
    run: Path,
    model: Path,
    rows: int,
    words: int,
    frames: int = 0,
    answer_words: int = ANSWER_WORDS,
    held_out: int = 0,
) -> RunPaths:
    """Data sets of `rows` rows, each a question of so many words, below `run`, the last `held_out` of them for
    validation; with `frames`, each has a clip of that many."""
    names = [f"video-{number}" for number in range(rows)]
    write_json(run / "model.manifest.json", {"fingerprint": "random"})
    if frames:
        _write_cache(run / "encode", model, names, frames)
    else:
        write_jsonl(run / "encode/index.jsonl", [])
    questions = [_row(name, words, answer_words, bool(frames)) for name in names]
    train, validation = questions[: rows - held_out], questions[rows - held_out :]
    graded = [_for_grpo(row, "train") for row in train] + [_for_grpo(row, "validation") for row in validation]
    write_jsonl(run / "convert/grpo/next_event_mc.jsonl", graded)
    write_json(run / "convert/sft/next_event.json", [_for_sft(row) for row in train])
    write_json(run / "convert/sft/next_event.validation.json", [_for_sft(row) for row in validation])
    return RunPaths(
        convert=run / "convert",
        encode=run / "encode",
        index=run / "encode/index.jsonl",
        model=model,
        model_manifest=run / "model.manifest.json",
        run=run,
        out=run / "out",
    )


def train(
    stage: Literal["sft", "grpo"],
    recipe: dict[str, Any],
    paths: RunPaths,
    device: str = "cpu",
    checkpoint_minutes: int = 60,
) -> None:
    """Run a trainer from the start, with one thread; its logs are then below `paths.out`."""
    for old in (paths.run / "work", paths.out):
        shutil.rmtree(old, ignore_errors=True)
    options = {
        "--recipe": json.dumps({**recipe, "threads": 1}),
        "--checkpoint-minutes": checkpoint_minutes,
        "--keep-checkpoints": "1",
        "--tracker": "none",
        "--seed": "0",
        "--experiment": "bench",
        "--convert-dir": paths.convert,
        "--encode-dir": paths.encode,
        "--index": paths.index,
        "--model": paths.model,
        "--model-manifest": paths.model_manifest,
        "--run-dir": paths.run,
        "--out-dir": paths.out,
    }
    command = [sys.executable, f"scripts/train_{stage}.py", *(str(word) for item in options.items() for word in item)]
    hidden = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    with (paths.run / f"{stage}.log").open("w") as log:
        subprocess.run(command, cwd=ROOT, env={**environment(), **hidden}, check=True, stdout=log, stderr=log)


def environment() -> dict[str, str]:
    """One thread, no network."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(WORK / "hf")}


def _row(name: str, words: int, answer_words: int, has_clip: bool) -> dict[str, Any]:
    draw = random.Random(name)
    return {
        "id": name,
        "video_id": name,
        "source": "random",
        "view": "first",
        "videos": [f"{name}.mp4"] if has_clip else [],
        "problem": "<video>" * has_clip + " ".join(draw.choices(WORDS, k=words)),
        "answer": " ".join(draw.choices(WORDS, k=answer_words)),
    }


def _for_grpo(row: dict[str, Any], part: str) -> dict[str, Any]:
    return {**row, "kind": "hop1", "part": part}


def _for_sft(row: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": row["problem"]}, {"role": "assistant", "content": row["answer"]}]
    return {**{key: row[key] for key in ("id", "video_id", "source", "view", "videos")}, "messages": messages}


def _write_cache(folder: Path, model: Path, names: list[str], frames: int) -> None:
    """Clips of noise with the features of the model's own tower, in the layout of the encode stage."""
    processor, encoder = load_processor(model), FeatureEncoder(model, "float32")
    noise = np.random.default_rng(0)
    index, tensors = [], {"frames": {}, "features": {}}
    for name in names:
        clip = Clip(
            frames=noise.integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8),
            pts=tuple(number / FPS for number in range(frames)),
            indices=tuple(range(frames)),
            source_fps=FPS,
            total=frames,
        )
        placeholder, inputs = placeholder_of(processor, clip)
        key = f"{name}/first"
        tensors["frames"][key] = torch.from_numpy(clip.frames)
        (tensors["features"][key],) = encoder.features([(placeholder, inputs)])
        index.append(
            EncodedClip(
                key=key,
                video_id=name,
                view="first",
                shard=SHARD,
                frames=frames,
                height=SIDE,
                width=SIDE,
                pts=clip.pts,
                fps=FPS,
                modality=placeholder.modality,
                placeholder=placeholder.runs,
                grid=placeholder.grid,
                second_per_grid=placeholder.second_per_grid,
                sha256="",
                features="float32",
            )
        )
    for kind, made in tensors.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        save_file(made, folder / kind / f"{SHARD}.safetensors")
    write_rows(folder / "index.jsonl", index)
