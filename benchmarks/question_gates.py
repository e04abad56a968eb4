"""What each gate of `questions` catches: precision and recall against the truth, with models that err.

    PYTHONPATH=scripts:tests .venv/bin/python benchmarks/question_gates.py

lets a scripted writer, which looks at frames of demo videos where it is shown any, write one question about two events
of each; four of five questions have one known fault. No question gets new wrong answers, so that each gate is seen by
itself. Writes `benchmarks/results/question_gates.json`, prints its table; `--show` prints it again.
"""

import argparse
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.annotator import Annotator, Noise, Seen
from support.question_answers import QUESTION_ANSWERS, chosen, guess, options, right_options, story, written

from measure import RESULTS, WORK, commit, machine
from nep.annotate.rows import AnnotatedVideo
from nep.config.asked_endpoint import AskedEndpoint
from nep.config.demo_videos import DemoVideos
from nep.config.own_benchmark import GainBounds, OwnBenchmark
from nep.demo.hub_layout import DemoVideo, demo_videos, encode_video
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.own_benchmark.choose import broken_bound
from nep.own_benchmark.rows import OwnQuestion
from nep.own_benchmark.stage import Shard, write_shard
from nep.rows.base import rows_as

RESULT = RESULTS / "question_gates.json"
SEED, VIDEOS, SIZE = 11, 100, 84
KEY = "sk-of-the-scripted-annotator"
SPEC = DemoVideos(train=VIDEOS - 1, test=1, size=SIZE, fps=12, processes=1)
# Faults of questions, in turn over the videos, and the gate that is there for each, in the order of the gates.
GATES = {
    "wrong answer": "not_what_happens",
    "two right answers": "two_right_options",
    "told by the text": "solved_without_video",
    "not in the video": "not_seen_in_second_part",
    "none": "passed",
}
FAULTS = tuple(GATES)
# Shares of answers in which the checking model, the vision model errs.
CASES = {
    "none": (0.0, 0.0),
    "vision errs 10 %": (0.0, 0.1),
    "vision errs 20 %": (0.0, 0.2),
    "check errs 5 %": (0.05, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print the table of what was recorded, and run nothing")
    if not parser.parse_args().show:
        os.environ["OPENAI_API_KEY"] = KEY
        os.environ.pop("NEP_STORE", None)
        write_json(RESULT, {"machine": machine(), "commit": commit(), "videos": VIDEOS, "cases": measure()})
    print(table(read_json(RESULT)["cases"]))


def measure() -> dict[str, Any]:
    """Gates by fault, for each case, on the same videos."""
    folder = WORK / "question_gates"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "videos").mkdir(parents=True)
    rows, faults = [], {}
    for video in demo_videos(SPEC, SEED):
        fault = FAULTS[video.number % len(FAULTS)]
        row = annotated(video, fault)
        (folder / "videos" / row.video_path).write_bytes(encode_video(video, SPEC))
        rows.append(row)
        faults[row.id] = fault
    write_jsonl(folder / "events.jsonl", (row.model_dump(mode="json") for row in rows))
    cases = {}
    for name, errors in CASES.items():
        gates = gates_of(folder, folder / "runs" / name, *errors)
        cases[name] = {fault: Counter(gates[key] for key in faults if faults[key] == fault) for fault in FAULTS}
        print(f"{name}: {cases[name]}", flush=True)
    return cases


def annotated(video: DemoVideo, fault: str) -> AnnotatedVideo:
    """The video as it is, or with other lamps in its second part; the fault stands in the caption, for the writer."""
    world = video.scenario
    told = [*world.before, *(reversed(world.after) if fault == "not in the video" else world.after)]
    times = [world.event_time(step) for step in range(len(told))]
    return AnnotatedVideo(
        id=f"lamps-{video.number:03d}",
        video_path=f"{video.number:03d}.mp4",
        duration=world.duration,
        caption="Lamps light up.",
        events=[
            {"start": time, "end": time + 0.1, "description": f"{colour} ({fault})"}
            for colour, time in zip(told, times, strict=True)
        ],
        split_scene=world.events_before,
        cut=world.split_time,
        placed=world.split_time,
        boundary=None,
        caption_part1="Lamps.",
        caption_part2="Lamps.",
        reasoning="Lamps.",
        prediction="Lamps.",
    )


def gates_of(folder: Path, run: Path, check_errs: float, vision_errs: float) -> dict[str, str]:
    """By video the gate at which its question was left out, or "passed"."""
    noise = Noise(seed=SEED)

    def check(seen: Seen) -> dict[str, Any]:
        errs = noise.hits(check_errs, "check", seen.identity)
        return {"right": [guess(seen)]} if errs else right_options(seen)

    def choose(seen: Seen) -> dict[str, Any]:
        if seen.frames:
            return {"letter": guess(seen)} if noise.hits(vision_errs, "look", seen.identity) else chosen(seen)
        # Without frames it knows that no lamp lights up twice in a row.
        possible = [letter for letter, run in options(seen).items() if len(set(run)) == len(run)]
        return {"letter": possible[0]} if len(possible) == 1 else {"letter": guess(seen)}

    answers: dict[str, Callable[[Seen], dict[str, Any]]] = {
        **QUESTION_ANSWERS,
        "WrittenQuestion": faulty,
        "RightOptions": check,
        "ChosenOption": choose,
    }
    with Annotator(answers=answers, key=KEY) as server:
        endpoint = AskedEndpoint(url=server.url, model="scripted", concurrent=16)
        how = OwnBenchmark(text=endpoint, vision=endpoint, kinds=["hop2"], rounds=0, size=SIZE)
        out = run / "1-of-1.jsonl"
        write_shard(
            folder / "events.jsonl", folder / "videos", how, SEED, Shard(1, 1, run), out, run / "usage.json", ""
        )
    rows = read_jsonl(out)
    gates = {row["id"].removesuffix("-hop2"): row["reason"] for row in rows if "reason" in row}
    for question in rows_as(OwnQuestion, [row for row in rows if "reason" not in row], str(out)):
        gates[question.video_id] = str(broken_bound(question, GainBounds()) or "passed")
    return gates


def faulty(seen: Seen) -> dict[str, Any]:
    """The question with the fault that its events name."""
    good = written(seen)
    first, *others = good["distractors"]
    a, b, *_ = story(seen)[1]
    if "(wrong answer)" in seen.text:
        return {**good, "answer": first, "distractors": [good["answer"], *others]}
    if "(two right answers)" in seen.text:
        return {**good, "distractors": [f"First {a}, after it {b}", *others]}
    if "(told by the text)" in seen.text:
        return {
            **good,
            "distractors": [f"{colour}; then {colour}".capitalize() for colour in dict.fromkeys(story(seen)[0][:3])],
        }
    return good


def table(cases: dict[str, dict[str, dict[str, int]]]) -> str:
    """Markdown: by case and gate, faulty questions, those left out, precision, recall; what passed."""
    lines = ["| errors | gate | bad | left out | precision | recall |", "| --- | --- | --- | --- | --- | --- |"]
    for case in CASES:
        by_fault = cases[case]
        for fault, gate in GATES.items():
            total = sum(counts.get(gate, 0) for counts in by_fault.values())
            members, caught = sum(by_fault[fault].values()), by_fault[fault].get(gate, 0)
            if gate == "passed":
                lines.append(f"| {case} | passed: {caught} of {members} good ones | {total - caught} |  |  |  |")
            else:
                precision = f"{100 * caught / total:.0f} %" if total else "–"
                lines.append(
                    f"| {case} | {gate} | {members} | {total} | {precision} | {100 * caught / members:.0f} % |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
