"""What each gate of `shots` and `annotate` catches: precision and recall against the truth, with a noisy annotator.

    PYTHONPATH=scripts:tests .venv/bin/python benchmarks/annotate_gates.py

renders worlds of the demo, among them some that cannot be foretold (not all lamps were lit before the cut) and some
copies at another quality, and lets a scripted annotator annotate them, which looks at the frames and errs as each case
says. A draft, what the annotator told of a video, is bad if a colour is wrong, or if the cut that follows from its
times is not between the lamps that it should divide. Writes `benchmarks/results/annotate_gates.json`, prints its table;
`--show` prints it again.
"""

import argparse
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.annotate_run import AnnotateRun
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator, Noise, Seen

from measure import RESULTS, WORK, commit, machine
from nep.annotate.cut import event_boundary
from nep.annotate.frames import even_times, read_frames
from nep.annotate.rows import TimedEvent
from nep.config.demo_videos import DemoVideos
from nep.config.shots import Shots
from nep.demo.hub_layout import DemoVideo, demo_videos, encode_video
from nep.demo.world import EVENTS_AFTER, LIT_FRACTION, Scenario
from nep.files import read_json, read_jsonl, write_json
from nep.records.schema import record_id
from nep.rows.base import read_rows
from nep.rows.quarantine import Reason
from nep.shots.rows import VideoShots
from nep.shots.stage import merge_shots, shots_shard
from nep.video.tools import run_ffmpeg

RESULT = RESULTS / "annotate_gates.json"
SEED, VIDEOS, UNSUITABLE, COPIES = 11, 40, 8, 4
SPEC = DemoVideos(train=VIDEOS + UNSUITABLE - 1, test=1, size=84, fps=12, processes=1)
FRAMES, SIZE = 32, 84
ENDPOINT = {"concurrent": 16, "timeout_s": 5, "max_reasks": 3, "down_after_s": 120}
KEY = "sk-of-the-scripted-annotator"
# The gates in the order in which a draft meets them.
GATES = (Reason.ANSWER_INVALID, Reason.UNSUITABLE, Reason.CUT_OUTSIDE, Reason.NOT_SHOWN)
CASES: dict[str, tuple[str, Noise]] = {
    "none, published": ("published", Noise()),
    "none, timed_events": ("timed_events", Noise()),
    "wrong events 5 %, published": ("published", Noise(wrong_events=0.05)),
    "wrong events 5 %, timed_events": ("timed_events", Noise(wrong_events=0.05)),
    "wrong events 5 %, judge errs 2 %": ("timed_events", Noise(wrong_events=0.05, wrong_looks=0.02)),
    "wrong times 15 % by 0.6 s, published": ("published", Noise(wrong_times=0.15, off_s=0.6)),
    "wrong times 15 % by 0.6 s, timed_events": ("timed_events", Noise(wrong_times=0.15, off_s=0.6)),
    "broken JSON 20 %, other form 10 %": ("timed_events", Noise(broken_json=0.2, wrong_form=0.1)),
    "failures 20 %": ("timed_events", Noise(failures=0.2)),
    "429 storms (3 of 12)": ("timed_events", Noise(storm_every=12, storm_length=3)),
    "stalls of 10 s, 2 %": ("timed_events", Noise(stalls=0.02, stall_s=10)),
}


@dataclass(frozen=True)
class World:
    """A video with its truth; `suitable`: all lamps are lit before the cut."""

    scenario: Scenario
    suitable: bool


@dataclass
class Gate:
    """Drafts that reached a gate, those that it left out, and how many of each were bad."""

    reached: int = 0
    reached_bad: int = 0
    left_out: int = 0
    left_out_bad: int = 0

    def meet(self, bad: bool, left_out: bool) -> None:
        """Count one draft."""
        self.reached += 1
        self.reached_bad += bad
        self.left_out += left_out
        self.left_out_bad += left_out and bad


class Log:
    """What the annotator told of each video last, by a hash of the frames that it was shown of the whole video."""

    def __init__(self) -> None:
        self.told: dict[str, list[TimedEvent]] = {}

    def answers(self) -> dict[str, Callable[[Seen], dict[str, Any]]]:
        """The scripted answers, noting events."""

        def noted(title: str) -> Callable[[Seen], dict[str, Any]]:
            def answer(seen: Seen) -> dict[str, Any]:
                self.told[shown_key(seen)] = [
                    TimedEvent(start=event.start, end=event.end, description=event.colour) for event in seen.events
                ]
                return ANNOTATE_ANSWERS[title](seen)

            return answer

        return {**ANNOTATE_ANSWERS, **{title: noted(title) for title in ("Caption", "WatchedEvents")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print the table of what was recorded, and run nothing")
    if not parser.parse_args().show:
        os.environ["OPENAI_API_KEY"] = KEY
        os.environ.pop("NEP_STORE", None)
        write_json(RESULT, {"machine": machine(), "commit": commit(), **measure(WORK / "annotate_gates")})
    print(tables(read_json(RESULT)))


def measure(folder: Path) -> dict[str, Any]:
    """All cases on the same videos."""
    shutil.rmtree(folder, ignore_errors=True)
    worlds, copies = make_videos(folder)
    found = {"videos": len(worlds), "unsuitable": UNSUITABLE, "copies": len(copies)}
    found["near_duplicate_video"] = look_through(folder, copies)
    keys = whole_keys(folder)
    clean: dict[str, AnnotateRun] = {}
    cases = {}
    for name, (recipe, noise) in CASES.items():
        log = Log()
        start = time.monotonic()
        with Annotator(noise, answers=log.answers(), key=KEY) as server:
            run = AnnotateRun.start(
                folder, folder / "runs" / name, server, recipe=recipe, frames=FRAMES, size=SIZE, endpoint=ENDPOINT
            )
            statuses = {str(status): count for status, count in sorted(server.statuses.items())}
        clean.setdefault(recipe, run)
        cases[name] = {
            "recipe": recipe,
            "noise": {key: value for key, value in asdict(noise).items() if value != getattr(Noise(), key)},
            "seconds": round(time.monotonic() - start, 1),
            "statuses": statuses,
            "retries": sum(count["retries"] for count in run.usage.values()),
            "reasks": sum(count["reasks"] for count in run.usage.values()),
            "reasons": Counter(row["reason"] for row in run.rejected.values()),
            "differ_from_none": sum(run.annotated[name] != clean[recipe].annotated.get(name) for name in run.annotated),
            **judged(run, worlds, {identity: log.told.get(key) for identity, key in keys.items()}),
        }
        print(f"{name}: {cases[name]['seconds']} s", flush=True)
    return {**found, "cases": cases}


def make_videos(folder: Path) -> tuple[dict[str, World], set[str]]:
    """Render the videos below `folder`/videos; the truth by id, and the ids of copies."""
    videos = demo_videos(SPEC, SEED)
    # Too few lamps are lit before the cut of the last ones.
    short = [DemoVideo(v.number, replace(v.scenario, events_before=2, step_s=0.6)) for v in videos[VIDEOS:]]
    worlds = {}
    for video in (*videos[:VIDEOS], *short):
        path = folder / "videos" / video.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_video(video, SPEC))
        worlds[record_id(video.path)] = World(video.scenario, suitable=video.number < VIDEOS)
    copies = set()
    for video in videos[:COPIES]:
        name = video.path.replace("lamps_", "zz_copy_")
        source, copy = (folder / "videos" / path for path in (video.path, name))
        run_ffmpeg(["-v", "error", "-i", str(source), "-vf", "scale=64:64", "-crf", "30", "-y", str(copy)])
        copies.add(record_id(name))
    return worlds, copies


def look_through(folder: Path, copies: set[str]) -> dict[str, int]:
    """Write `shots.jsonl`; how many copies were found, and how many videos that are none were left out as one."""
    names = sorted(path.relative_to(folder / "videos").as_posix() for path in (folder / "videos").rglob("*.mp4"))
    write_json(folder / "names.json", [{"video_path": name} for name in names])
    write_json(folder / "questions.json", [])
    shots = Shots(processes=1)
    shots_shard(folder / "names.json", folder / "videos", shots, 1, 1, folder, folder / "1-of-1.jsonl", "code")
    merge_shots(
        [folder / "1-of-1.jsonl"], folder / "questions.json", shots, folder / "shots.jsonl", folder / "rejected.jsonl"
    )
    left_out = {row["id"] for row in read_jsonl(folder / "rejected.jsonl")}
    return {"bad": len(copies), "left_out": len(left_out), "left_out_bad": len(left_out & copies)}


def whole_keys(folder: Path) -> dict[str, str]:
    """What a request that shows the whole video is known by, by the video's id."""
    keys = {}
    for video in read_rows(VideoShots, folder / "shots.jsonl"):
        times = even_times(0, video.duration, min(FRAMES, video.frames))
        frames = read_frames(folder / "videos" / video.video, times, SIZE)
        keys[video.id] = hashlib.sha256("".join(frame.data_url for frame in frames).encode()).hexdigest()
    return keys


def shown_key(seen: Seen) -> str:
    """The hash of the frames of a request."""
    user = next(message for message in seen.body["messages"] if message["role"] == "user")
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    return hashlib.sha256("".join(urls).encode()).hexdigest()


def judged(run: AnnotateRun, worlds: dict[str, World], told: dict[str, list[TimedEvent] | None]) -> dict[str, Any]:
    """Every gate against the truth, and what passed all of them."""
    gates = {gate: Gate() for gate in GATES}
    passed = passed_bad = 0
    for identity in (*run.annotated, *run.rejected):
        world, reason = worlds[identity], run.rejected.get(identity, {}).get("reason")
        for gate, counts in gates.items():
            counts.meet(is_bad(gate, world, told[identity]), left_out=reason == gate)
            if reason == gate:
                break
        else:
            passed += 1
            passed_bad += any(is_bad(gate, world, told[identity]) for gate in GATES[1:])
    return {"gates": {str(gate): asdict(counts) for gate, counts in gates.items()}, "passed": passed, "bad": passed_bad}


def is_bad(gate: Reason, world: World, told: Sequence[TimedEvent] | None) -> bool:
    """Whether a draft has the fault that a gate is there for."""
    if told is None:
        return True
    if gate == Reason.UNSUITABLE:
        return not world.suitable
    # A draft of an answer without a usable form does not exist: what the annotator wrote in the end counts.
    if gate == Reason.ANSWER_INVALID:
        return not in_order(told)
    if gate == Reason.CUT_OUTSIDE:
        return not cut_is_right(world.scenario, told)
    return [event.description for event in told] != world.scenario.events or not cut_is_right(world.scenario, told)


def in_order(told: Sequence[TimedEvent]) -> bool:
    """Whether events start one after the other."""
    return all(before.start < after.start for before, after in pairwise(told))


def cut_is_right(world: Scenario, told: Sequence[TimedEvent]) -> bool:
    """Whether the boundary before the last events lies between the lamps that it should divide."""
    if len(told) != len(world.events):
        return False
    last = len(told) - EVENTS_AFTER
    begins = world.event_time(last) - LIT_FRACTION * world.step_s
    return world.event_time(last - 1) <= event_boundary(told, last, world.duration / FRAMES) <= begins


def tables(recorded: dict[str, Any]) -> str:
    """Gates and faults of the endpoint as Markdown tables."""
    copies = recorded["near_duplicate_video"]
    cases = {name: recorded["cases"][name] for name in CASES}
    lines = [
        ["noise", "gate", "reached, bad", "left out", "precision", "recall"],
        ["---"] * 6,
        ["none", "near_duplicate_video", str(copies["bad"]), str(copies["left_out"]), *rates(copies, copies["bad"])],
    ]
    for name, case in cases.items():
        for gate, counts in case["gates"].items():
            if counts["left_out"] or counts["reached_bad"]:
                numbers = [str(counts["reached_bad"]), str(counts["left_out"])]
                lines.append([name, gate, *numbers, *rates(counts, counts["reached_bad"])])
        lines.append([name, "passed all", str(case["bad"]), str(case["passed"]), "", ""])
    lines += [[], ["noise", "responses by status", "retries", "asked again", "no answer", "other rows than without"]]
    lines.append(["---"] * 6)
    for name, case in cases.items():
        statuses = ", ".join(f"{count} × {status}" for status, count in case["statuses"].items())
        lost = sum(count for reason, count in case["reasons"].items() if reason.startswith("answer_"))
        lines.append([name, statuses, *map(str, (case["retries"], case["reasks"], lost, case["differ_from_none"]))])
    return "\n".join(f"| {' | '.join(line)} |" if line else "" for line in lines)


def rates(counts: dict[str, int], bad: int) -> list[str]:
    """Precision and recall in percent, – where nothing was left out or nothing was bad."""
    caught, left_out = counts["left_out_bad"], counts["left_out"]
    return [f"{100 * caught / total:.0f} %" if total else "–" for total in (left_out, bad)]


if __name__ == "__main__":
    main()
