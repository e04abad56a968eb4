"""CPU seconds of one training sample: from the vision cache, and by LLaMA-Factory's path from the clip's file.

    make bench-data     or, with .venv-interop made:     PYTHONPATH=scripts .venv/bin/python benchmarks/data_sample.py

The same clips, sampling (2 frames/s, at most 128) and pixel budget (112 x 112 a frame). nep: the sample's messages are
tokenised, its features (`features`) or its frames (`frames`, patchified) read from the cache, and a micro-batch of one
is made of them, as the trainer does. LLaMA-Factory: see llamafactory_peer.py. One thread each, in turn. Writes
`benchmarks/results/data_sample.json`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText

from clips import content, make_clips
from measure import ROOT, WORK, write_result
from nep.config.encode import Encode
from nep.config.tiny_model import TinyModel
from nep.config.vision import Vision
from nep.demo.tiny_checkpoint import build_model, build_processor, save_checkpoint
from nep.encode.index import merge_encode
from nep.encode.needed import needed_clips
from nep.encode.stage import encode_shard
from nep.errors import InputError
from nep.files import write_json
from nep.model.family import load_processor
from nep.model.packing import pack_row, tree_of
from nep.model.samples import SampleBuilder
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.dataset import DatasetRow

PEER = ROOT / ".venv-interop/bin/python"
VISION = Vision(sampling="fps", fps=2.0, frames=128, max_pixels=112 * 112)
CPU = torch.device("cpu")
TARGET = 100
# Frozen, the vision side is read from the cache; trained, its pixels are made from cached frames.
FROZEN = {"features": ["vision_tower", "projector"], "frames": []}
MESSAGES = [
    {"role": "user", "content": "<video>What is going to happen next in this video?"},
    {"role": "assistant", "content": "The red light goes out and the blue one begins to blink."},
]


def main() -> None:
    """Measure, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=5, help="LLaMA-Factory's samples a clip; nep's are 50 times as many"
    )
    rounds = parser.parse_args().rounds
    if not PEER.is_file():
        raise InputError(f"{PEER} is missing: `make bench-data` makes it")
    torch.set_num_threads(1)
    clips = make_clips()
    run = prepare(WORK / "sample", clips)
    seconds, ratios = {}, []
    for name in clips:
        slow = by_llamafactory(run, run / "segments" / f"{key_of(name)}.mp4", rounds)
        seconds[name] = {"LLaMA-Factory": slow}
        for kind in FROZEN:
            fast = by_nep(run, key_of(name), kind, rounds * 50)
            seconds[name][kind] = fast
            names = {"what": f"sample ({kind})", "against": "LLaMA-Factory", "clip": name}
            ratios.append({**names, "ratio": slow / fast, "target": TARGET})
    settings = {"vision": VISION.model_dump(), "content": content(), "rounds": rounds}
    write_result("data_sample", {**settings, "cpu_s": seconds, "ratios": ratios})
    for row in ratios:
        print("{clip:>6}  {what:18} {ratio:7.0f} times less than {against} (target {target})".format(**row))


def prepare(run: Path, clips: dict[str, Path]) -> Path:
    """A run with a random checkpoint of the demo's model, and the clips in its vision cache."""
    shutil.rmtree(run, ignore_errors=True)
    processor = build_processor(turn["content"] for turn in MESSAGES)
    save_checkpoint(build_model(TinyModel(), processor, seed=0), processor, run / "models/base")
    write_json(run / "models/base.manifest.json", {"fingerprint": "benchmark"})
    rows = []
    for name, path in clips.items():
        relative = f"segments/{key_of(name)}.mp4"
        (run / relative).parent.mkdir(exist_ok=True)
        os.link(path, run / relative)
        clip = {"video_id": key_of(name), "source": "benchmark", "view": "full", "videos": (relative,)}
        rows.append(DatasetRow(id=key_of(name), **clip))
    encode_shard(
        needed=needed_clips((run, row) for row in rows),
        vision=VISION,
        encode=Encode(shards=1),
        model=run / "models/base",
        model_manifest=run / "models/base.manifest.json",
        shard=1,
        shards=1,
        run_dir=run,
        out=run / "encode/shards/1-of-1.json",
        code="benchmark",
    )
    merge_encode([run / "encode/shards/1-of-1.json"], run, run / "encode/index.jsonl")
    return run


def by_nep(run: Path, key: str, kind: str, rounds: int) -> float:
    """Median CPU seconds of tokens and visual inputs as one row."""
    processor = load_processor(run / "models/base")
    model = AutoModelForImageTextToText.from_pretrained(run / "models/base", dtype=torch.float32)
    cache = VisionCache(run / "encode", "benchmark")
    builder = SampleBuilder(processor, model, cache)
    visuals = Visuals(cache, processor, FROZEN[kind], CPU)

    def sample() -> None:
        dialogue = builder.dialogue(key, MESSAGES, [f"{key}/full"])
        pack_row([tree_of([dialogue])], visuals, True, CPU)

    return median_cpu_of(sample, rounds)


def by_llamafactory(run: Path, clip: Path, rounds: int) -> float:
    """Median CPU seconds as its own process measures them."""
    command = [PEER, ROOT / "benchmarks/llamafactory_peer.py", run / "models/base", clip, VISION.max_pixels, rounds]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    return statistics.median(json.loads(done.stdout.splitlines()[-1]))


def median_cpu_of(call: Callable[[], None], rounds: int) -> float:
    """Of `rounds` calls, after one that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        before = time.process_time()
        call()
        seconds.append(time.process_time() - before)
    return statistics.median(seconds[1:])


def key_of(name: str) -> str:
    """A clip's id."""
    return name.replace(" ", "-")


if __name__ == "__main__":
    main()
