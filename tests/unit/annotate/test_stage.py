"""The stage against a real HTTP server that looks at the frames: right annotations, gates, kept answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.annotate_run import worlds
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator, Noise, Seen

from nep.annotate.stage import merge_annotations
from nep.annotate.steps import steps_of
from nep.config.annotate import Annotate
from nep.demo.world import tell
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.rows.quarantine import Quarantined, Reason

Start = Callable[..., Any]
VIDEOS = 4


def set_aside(identity: str, reason: Reason, detail: str) -> dict[str, Any]:
    """A quarantine row as it is written."""
    return Quarantined(id=identity, stage="annotate", reason=reason, detail=detail).to_json()


def changed_answers(title: str, **changes: Any) -> dict[str, Callable[[Seen], dict[str, Any]]]:
    """The scripted answers, one of them with other values."""
    return {**ANNOTATE_ANSWERS, title: lambda seen: {**ANNOTATE_ANSWERS[title](seen), **changes}}


@pytest.mark.parametrize("recipe", ["published", "timed_events"])
def test_the_annotation_of_a_world_is_the_truth(annotated: Start, recipe: str) -> None:
    with Annotator(answers=ANNOTATE_ANSWERS) as server:
        run = annotated(server, recipe=recipe, hindsight=True)
    assert not run.rejected
    truth = worlds(VIDEOS)
    assert run.annotated.keys() == truth.keys()
    for identity, row in run.annotated.items():
        world = truth[identity]
        assert [event.description for event in row.events] == [f"{tell([colour])}." for colour in world.events]
        assert (row.caption_part1, row.caption_part2) == (f"{tell(world.before)}.", f"{tell(world.after)}.")
        assert world.event_time(row.split_scene - 1) < row.cut < world.event_time(row.split_scene)
        assert (row.prediction, row.conclusion, row.verified) == (row.caption_part2, "right", True)
        assert row.hindsight == tell(world.after)
    steps = steps_of(Annotate(vision={"url": "http://a", "model": "b"}, recipe=recipe, hindsight=True))
    assert {step: count["requests"] for step, count in run.usage.items()} == {step.name: VIDEOS for step in steps}


def test_a_changed_prompt_asks_that_step_again_and_what_depends_on_it(annotated: Start, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    for file in Path("config/prompts/annotate").glob("*.md"):
        (prompts / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    with Annotator(answers=ANNOTATE_ANSWERS) as server:
        first = annotated(server, recipe="timed_events", prompts=str(prompts))
        assert annotated(server, recipe="timed_events", prompts=str(prompts)).requests == 0
        (prompts / "critique.md").write_text("Compare them otherwise.", encoding="utf-8")
        assert annotated(server, recipe="timed_events", prompts=str(prompts)).requests == VIDEOS
        # The same answers as before: what depends on them is asked with the same words, and kept.
        (prompts / "watch.md").write_text("Watch otherwise.", encoding="utf-8")
        again = annotated(server, recipe="timed_events", prompts=str(prompts))
    assert again.requests == VIDEOS
    assert again.annotated == first.annotated


@pytest.mark.parametrize(
    ("title", "changes", "reason", "said"),
    [
        ("CutPlan", {"suitable": "no", "reasoning": "Pure chance."}, Reason.UNSUITABLE, "Pure chance."),
        ("CutPlan", {"caption_part2": "Red; then red."}, Reason.NOT_SHOWN, "the second part does not show"),
        ("CutPlan", {"optimal_split_point": "nowhere"}, Reason.ANSWER_INVALID, "optimal_split_point must be"),
        (
            "WatchedEvents",
            {"events": [{"start": 0, "end": 1, "description": "Red."}]},
            Reason.TOO_FEW_EVENTS,
            "must have 2 events at least",
        ),
        (
            "WatchedEvents",
            {"events": [{"start": 0, "end": 900, "description": "Red."}]},
            Reason.ANSWER_INVALID,
            "event 1 ends at 900 s",
        ),
        ("AboutTheVideo", {"reasoning": "<|im_end|>"}, Reason.ANSWER_INVALID, "the text is empty"),
    ],
)
def test_a_gate_sets_a_video_aside_with_its_reason(
    annotated: Start, title: str, changes: dict[str, Any], reason: Reason, said: str
) -> None:
    with Annotator(answers=changed_answers(title, **changes)) as server:
        run = annotated(server, recipe="timed_events")
    assert not run.annotated
    assert {row["reason"] for row in run.rejected.values()} == {reason}
    assert all(said in row["detail"] and row["stage"] == "annotate" for row in run.rejected.values())


def test_a_cut_that_contradicts_the_events_is_set_aside(annotated: Start) -> None:
    with Annotator(answers=changed_answers("PlacedCut", time_s=0.8)) as server:
        run = annotated(server)
    assert {row["reason"] for row in run.rejected.values()} == {Reason.CUT_OUTSIDE}


def test_faults_of_the_endpoint_change_no_annotation(annotated: Start, tmp_path: Path) -> None:
    with Annotator(answers=ANNOTATE_ANSWERS) as server:
        whole = annotated(server, recipe="timed_events")
    noise = Noise(failures=0.1, broken_json=0.2, wrong_form=0.1, storm_every=20, storm_length=1)
    with Annotator(noise, answers=ANNOTATE_ANSWERS) as server:
        endpoint = {"model": "noisy", "max_reasks": 6}
        noisy = annotated(server, recipe="timed_events", endpoint=endpoint)
        assert server.statuses[500] and server.statuses[429]
    assert noisy.annotated == whole.annotated and not noisy.rejected


def test_a_video_without_an_answer_is_asked_about_again(annotated: Start) -> None:
    with Annotator(Noise(refused=1), answers=ANNOTATE_ANSWERS) as server:
        assert {row["reason"] for row in annotated(server).rejected.values()} == {Reason.ANSWER_REFUSED}
        server.noise = Noise()
        assert not annotated(server).rejected


def shard_rows(folder: Path, rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    write_jsonl(folder / "1-of-1.jsonl", rows)
    write_json(folder / "usage.json", {"watch": {"requests": 1, "money": 0.5}})
    return folder / "1-of-1.jsonl", folder / "usage.json"


def test_shards_are_merged_into_the_published_form(annotated: Start, tmp_path: Path) -> None:
    with Annotator(answers=ANNOTATE_ANSWERS) as server:
        run = annotated(server, recipe="timed_events")
    aside = set_aside("z", Reason.UNSUITABLE, "Chance.")
    rows, usage = shard_rows(tmp_path, [*(row.model_dump(mode="json") for row in run.annotated.values()), aside])
    merge_annotations([rows], [usage, usage], 0.5, tmp_path / "out")
    assert [row["video_path"] for row in read_json(tmp_path / "out/next_event_prediction.json")] == [
        row["video_path"] for row in read_jsonl(tmp_path / "out/events.jsonl")
    ]
    assert read_jsonl(tmp_path / "out/rejected.jsonl") == [aside]
    assert read_json(tmp_path / "out/usage.json")["watch"]["money"] == 1.0


def test_too_many_videos_without_an_answer_end_the_run(tmp_path: Path) -> None:
    rows = [set_aside(name, Reason.ANSWER_INVALID, "No JSON.") for name in "ab"]
    with pytest.raises(InputError, match=r"(?s)0 of 2 videos are annotated, 2 got no answer.*for example a: ans"):
        merge_annotations([shard_rows(tmp_path, rows)[0]], [], 1.0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prompt_that_is_missing_is_named(annotated: Start, tmp_path: Path) -> None:
    with Annotator(answers=ANNOTATE_ANSWERS) as server, pytest.raises(InputError, match=r"caption\.md: no such file"):
        annotated(server, prompts=str(tmp_path))


def test_the_key_reaches_no_file(annotated: Start, tmp_path: Path) -> None:
    with Annotator(answers=ANNOTATE_ANSWERS, key="sk-of-this-test") as server:
        assert annotated(server, recipe="timed_events").annotated
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files and not any(b"sk-of-this-test" in path.read_bytes() for path in files)
