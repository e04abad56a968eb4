"""CPU seconds of cutting a video into both parts: the project's way, ffmpeg, smartcut, and the floor.

    make bench-data     or, with .venv-bench made:     PYTHONPATH=scripts .venv/bin/python benchmarks/data_split.py

On 720p H.264 clips with B-frames (see clips.py), at the same random times, all in turn:
- nep: one task of the split stage, whole: cut, check, checksums (`nep.split.task.split_video`).
- ffmpeg ultrafast: one ffmpeg process that decodes once and encodes both parts, at the same constant
  rate factor.
- smartcut: the package, in its own environment, both parts from one open file.
- floor: what no exact cut can do without, in one process and unchecked: every packet copied to one of two files, the
  GOP that holds t decoded, its frames from t on encoded as nep encodes them.
Writes `benchmarks/results/data_split.json`.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import av

from clips import content, make_clips
from measure import ROOT, WORK, Cost, cost_of, write_result
from nep.errors import InputError
from nep.rows.cut import Cut
from nep.split.mp4 import create_mp4
from nep.split.recipe import Recipe
from nep.split.stream_copy import stretch_encoder
from nep.split.task import SplitTask, split_video
from nep.video.stream import open_video
from nep.video.tools import run_ffmpeg

PEER = ROOT / ".venv-bench/bin/python"
RECIPE = Recipe(crf=18, preset="veryfast")
TARGETS = {"ffmpeg ultrafast": 20, "smartcut": 5, "floor": 1.5}
RSS_LIMIT = 200 * 2**20


def main() -> None:
    """Measure, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=8, help="random split times a clip")
    cuts = parser.parse_args().cuts
    if not PEER.is_file():
        raise InputError(f"{PEER} is missing: `make bench-data` makes it")
    out = WORK / "cuts"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    clips = {name: measure(path, cuts, random.Random(name), out) for name, path in make_clips().items()}
    ratios = [ratio for name, costs in clips.items() for ratio in ratios_of(name, costs)]
    peak = max(cost["peak_rss"] for costs in clips.values() for cost in costs["nep"])
    bounds = [{"what": "peak RSS of a worker", "measured": peak / 2**20, "limit": RSS_LIMIT / 2**20, "unit": "MiB"}]
    result = {"recipe": vars(RECIPE), "content": content(), "clips": clips, "ratios": ratios, "bounds": bounds}
    write_result("data_split", result)
    for ratio in ratios:
        print("{clip:>6}  {against:17} {ratio:6.2f}  (target {target})".format(**ratio))
    print(f"peak RSS of a worker: {peak / 2**20:.0f} MiB")


def measure(clip: Path, cuts: int, chance: random.Random, out: Path) -> dict[str, list[dict[str, float]]]:
    """Costs by candidate, one a cut; at each cut all candidates in turn."""
    with open_video(clip) as (_, stream):
        length = float(stream.duration * stream.time_base)
    costs: dict[str, list[dict[str, float]]] = {"nep": [], "ffmpeg ultrafast": [], "smartcut": [], "floor": []}
    for _ in range(cuts):
        time = round(chance.uniform(0.05, 0.95) * length, 3)
        costs["nep"].append(described(cost_of(partial(by_nep, clip, time, out), warm_up)))
        costs["ffmpeg ultrafast"].append(described(cost_of(partial(by_ffmpeg, clip, time, out), warm_up)))
        costs["smartcut"].append(by_smartcut(clip, time, out))
        costs["floor"].append(described(cost_of(partial(floor, clip, time, out), warm_up)))
    return costs


def ratios_of(clip: str, costs: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """CPU seconds of all cuts together, as ratios: peers to nep, and nep to the floor."""
    total = {name: statistics.fsum(cost["cpu_s"] for cost in each) for name, each in costs.items()}
    rows = []
    for name, target in TARGETS.items():
        at_most = name == "floor"
        ratio = total["nep"] / total[name] if at_most else total[name] / total["nep"]
        rows.append(
            {"what": "cut", "against": name, "clip": clip, "ratio": ratio, "target": target, "at_most": at_most}
        )
    return rows


def by_nep(clip: Path, time: float, out: Path) -> None:
    """A whole task of the split stage."""
    run = out / "nep"
    task = SplitTask("clip", clip, time, False, run, run / "scratch", RECIPE, 120)
    row = split_video(task)
    if not isinstance(row, Cut) or row.way != "copy":
        raise RuntimeError(f"{clip} at {time} s: {row}")


def by_ffmpeg(clip: Path, time: float, out: Path) -> None:
    """Both parts by one process."""
    graph = f"[0:v]split=2[a][b];[a]select='lt(t,{time})'[x];[b]select='gte(t,{time})'[y]"
    quality = ("-preset", "ultrafast", "-crf", str(RECIPE.crf))
    encode = ("-c:v", "libx264", *quality, "-fps_mode", "passthrough", "-y")
    run_ffmpeg(
        [
            *("-nostdin", "-v", "error", "-i", str(clip), "-filter_complex", graph),
            *("-map", "[x]", *encode, str(out / "ffmpeg-first.mp4")),
            *("-map", "[y]", *encode, str(out / "ffmpeg-second.mp4")),
        ]
    )


def by_smartcut(clip: Path, time: float, out: Path) -> dict[str, float]:
    """Both parts by the package, which measures itself without its imports."""
    command = [PEER, ROOT / "benchmarks/smartcut_peer.py", clip, str(time), out / "smartcut-#.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def floor(clip: Path, time: float, out: Path) -> None:
    """Copy all packets; decode the GOP that holds `time`; encode its frames from there on."""
    with open_video(clip) as (container, stream):
        cut = round(time / stream.time_base)
        encoder = None
        targets = [create_mp4(out / f"floor-{part}.mp4", stream.time_base) for part in ("first", "second")]
        written = [target.add_stream_from_template(stream) for target in targets]
        gop: list[av.Packet] = []
        holds = False
        for packet in container.demux(stream):
            if packet.is_keyframe or not packet.size:
                if holds:
                    encoder = decode_and_encode(stream, gop, cut)
                gop, holds = [], False
            if packet.size:
                gop.append(packet)
                holds |= packet.pts >= cut and encoder is None
                copy(packet, targets, written, packet.pts >= cut)
        for target in targets:
            target.close()


def decode_and_encode(stream: av.VideoStream, gop: list[av.Packet], cut: int) -> av.VideoCodecContext:
    """Decode a whole GOP and encode its frames from `cut` on; what comes out is dropped."""
    frames = [frame for packet in gop for frame in stream.codec_context.decode(packet)]
    frames += stream.codec_context.decode(None)
    stream.codec_context.flush_buffers()
    encoder = stretch_encoder(stream, frames[0], 1, RECIPE.crf)
    for frame in frames:
        if frame.pts >= cut:
            frame.pict_type = 0
            encoder.encode(frame)
    encoder.encode(None)
    return encoder


def copy(packet: av.Packet, targets: list[Any], written: list[Any], second: bool) -> None:
    """Mux a copy of a packet: the packet itself may still have to be decoded."""
    data = av.Packet(bytes(packet))
    data.pts, data.dts, data.time_base, data.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    data.is_keyframe = packet.is_keyframe
    data.stream = written[second]
    targets[second].mux(data)


def warm_up() -> None:
    """Imports have been done by now; the encoder's library is loaded."""
    av.CodecContext.create("libx264", "w")


def described(cost: Cost) -> dict[str, float]:
    """As the result file holds it."""
    return {"cpu_s": cost.cpu_s, "peak_rss": cost.peak_rss}


if __name__ == "__main__":
    main()
