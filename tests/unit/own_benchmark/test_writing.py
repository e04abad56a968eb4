"""Questions about demo videos by the scripted annotator: what comes out, and each gate."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.annotator import ANSWERS, Annotator, Seen
from support.asking import KEY, endpoint
from support.question_answers import QUESTION_ANSWERS, guess, options, right_options, tell

from nep.annotate.rows import AnnotatedVideo
from nep.config.demo_videos import DemoVideos
from nep.config.own_benchmark import OwnBenchmark
from nep.demo.hub_layout import DemoVideo, encode_video
from nep.demo.world import Scenario, draw_scenario
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_jsonl
from nep.own_benchmark.choose import choose_questions
from nep.own_benchmark.rows import OwnQuestion
from nep.own_benchmark.stage import Shard, merge_questions, write_shard
from nep.own_benchmark.write import Draft
from nep.rows.base import rows_as
from nep.rows.question import Kind

SPEC = DemoVideos(train=1, test=1, size=64)
SEED = 3
Answer = Callable[[Seen], dict[str, Any]]


def scenario(number: int) -> Scenario:
    return draw_scenario(random.Random(f"questions/{number}"))


def annotated(number: int, **changes: Any) -> AnnotatedVideo:
    """A demo video as an annotator without faults has it."""
    world = scenario(number)
    events = [
        {
            "description": f"The {colour} lamp lights up.",
            "start": world.event_time(step),
            "end": world.event_time(step) + 0.1,
        }
        for step, colour in enumerate(world.events)
    ]
    texts = dict.fromkeys(("caption", "caption_part1", "caption_part2", "reasoning", "prediction"), "Lamps light up.")
    values = {
        "id": f"unknown-lamps{number}-00000000",
        "video_path": f"lamps{number}.mp4",
        "duration": world.duration,
        "events": events,
        "split_scene": world.events_before,
        "cut": world.split_time,
        "placed": world.split_time,
        "boundary": None,
        **texts,
    }
    return AnnotatedVideo.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(2):
        (folder / f"lamps{number}.mp4").write_bytes(encode_video(DemoVideo(number, scenario(number)), SPEC))
    return folder


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)


@pytest.fixture
def ask(videos: Path, tmp_path: Path) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Writes the questions of a shard and gives its rows; `annotator` is the server of the last call."""

    def run(
        rows: list[AnnotatedVideo], answers: dict[str, Answer] | None = None, folder: str = "run", **how: Any
    ) -> list[dict[str, Any]]:
        root = tmp_path / folder
        write_jsonl(root / "events.jsonl", (row.model_dump(mode="json") for row in rows))
        with Annotator(answers={**ANSWERS, **(answers or {})}, remember=True) as annotator:
            run.annotator = annotator
            asked = endpoint(annotator, model="scripted", max_reasks=1)
            config = OwnBenchmark(**{"text": asked, "vision": asked, "size": 64, **how})
            shard = Shard(1, 1, root)
            write_shard(
                root / "events.jsonl", videos, config, SEED, shard, root / "1-of-1.jsonl", root / "u.json", "code"
            )
        return read_jsonl(root / "1-of-1.jsonl")

    yield run


def only(ask: Callable[..., list[dict[str, Any]]], kind: Kind = "hop2", **more: Any) -> dict[str, Any]:
    """The row of one kind about the first video."""
    (row,) = ask([annotated(0)], kinds=[kind], **more)
    return row


def knowing(seen: Seen, solved: Callable[[Seen], bool] = lambda _: True) -> dict[str, Any]:
    """Knows the right answer without frames where `solved`."""
    truth = tell(scenario(0).after[:2])
    if seen.frames or not solved(seen):
        return QUESTION_ANSWERS["ChosenOption"](seen) if seen.frames else {"letter": guess(seen)}
    return {"letter": next(letter for letter, run in options(seen).items() if tell(run) == truth)}


def test_questions_of_all_kinds_ask_what_happens_and_are_measured(ask: Callable[..., Any], tmp_path: Path) -> None:
    rows = ask([annotated(0), annotated(1)])
    questions = rows_as(OwnQuestion, [row for row in rows if "reason" not in row], "rows")
    kinds = {"hop1": 1, "hop2": 2, "hop3": 3, "interpolation": 2}
    assert {question.kind for question in questions} <= kinds.keys()
    # A guess may be right three times of four, and wrong answers then run out for one lamp of eight.
    assert len(questions) >= 6
    for question in questions:
        world = scenario(int(question.video_path[5]))
        truth = world.after[: kinds[question.kind]]
        assert question.text.options[question.text.answer] == tell(truth)
        assert question.happens == tuple(f"The {colour} lamp lights up." for colour in truth)
        assert (question.second_part.right, question.first_part.right) == (4, 4)
        assert question.text_only == question.without_video
        assert question.text_only.right < 3
        assert question.visual_gain == 1 - question.without_video.share
    asked = [Seen(body) for body in ask.annotator.bodies]
    assert len({seen.system for seen in asked if seen.frames}) == 2
    for seen in asked:
        lit = [event.colour for event in seen.events]
        if "frames of the first part" in seen.system:
            assert lit in [scenario(number).before for number in range(2)], "nothing of the future is shown"
        elif seen.frames:
            assert lit[-3:] in [scenario(number).after for number in range(2)]
        elif seen.schema["title"] == "ChosenOption":
            assert "Events" not in seen.text

    root = tmp_path / "run"
    merge_questions([root / "1-of-1.jsonl"], [root / "u.json"], root / "merged")
    manifest = choose_questions(
        root / "merged" / "questions.jsonl", [], OwnBenchmark(benchmark_fraction=1.0), root / "merged"
    )
    assert manifest["chosen"]["benchmark"]["questions"] == len(questions)
    usage = read_json(root / "merged" / "usage.json")
    assert set(usage) == {"write", "check", "text_only", "without_video", "first_part", "second_part"} | (
        {"distract"} & usage.keys()
    )
    # One model for both: what it said without the video is not paid for a second time.
    assert (usage["without_video"]["requests"], usage["without_video"]["cached"]) == (0, 4 * len(questions))


def test_a_second_start_asks_nothing_and_neither_does_one_that_lost_its_notes(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    rows = ask([annotated(0)])
    assert ask.annotator.requests > 0
    again = ask([annotated(0)])
    assert (again, ask.annotator.requests) == (rows, 0)
    shutil.rmtree(tmp_path / "run" / "work" / "questions")
    assert (ask([annotated(0)]), ask.annotator.requests) == (rows, 0)


def test_a_kind_without_its_events_is_left_out(ask: Callable[..., Any]) -> None:
    last = len(scenario(0).events) - 1
    rows = ask([annotated(0, split_scene=last)], kinds=["hop2", "hop3", "interpolation"])
    assert [row["reason"] for row in rows] == ["too_few_events"] * 3
    assert rows[0]["detail"].startswith("hop2 asks about 2 events, found 1 after the cut")
    assert ask.annotator.requests == 0


def test_a_question_of_a_bad_form_is_asked_again_with_its_fault(ask: Callable[..., Any]) -> None:
    def long(seen: Seen) -> dict[str, Any]:
        good = QUESTION_ANSWERS["WrittenQuestion"](seen)
        return (
            good if seen.reasks else {**good, "answer": good["answer"] + " after a long time in which nothing happens"}
        )

    assert "reason" not in only(ask, answers={"WrittenQuestion": long, "ChosenOption": honest})
    told = [message["content"] for body in ask.annotator.bodies for message in body["messages"]]
    assert any("differ too much in length" in str(text) for text in told)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"answer": "<|im_end|> Red"}, "stands for media or turns"),
        ({"distractors": ["Red; then red"] * 3}, "two options say the same"),
        ({"question": ""}, "empty"),
    ],
)
def test_a_question_that_stays_bad_is_left_out(ask: Callable[..., Any], change: dict[str, Any], fault: str) -> None:
    row = only(ask, answers={"WrittenQuestion": lambda seen: {**QUESTION_ANSWERS["WrittenQuestion"](seen), **change}})
    assert row["reason"] == "answer_invalid"
    assert fault in row["detail"]
    assert ask.annotator.titles == {"WrittenQuestion": 2}


def test_an_answer_that_does_not_happen_is_left_out(ask: Callable[..., Any]) -> None:
    def swapped(seen: Seen) -> dict[str, Any]:
        good = QUESTION_ANSWERS["WrittenQuestion"](seen)
        return {**good, "answer": good["distractors"][0], "distractors": [good["answer"], *good["distractors"][1:]]}

    row = only(ask, answers={"WrittenQuestion": swapped})
    assert row["reason"] == "not_what_happens"
    assert "NewDistractors" not in ask.annotator.titles


def honest(seen: Seen) -> dict[str, Any]:
    """Never right more than once of four without frames: it always takes A."""
    return QUESTION_ANSWERS["ChosenOption"](seen) if seen.frames else {"letter": "A"}


def test_a_second_right_option_gets_other_wrong_ones_in_its_place(ask: Callable[..., Any]) -> None:
    first = tell(scenario(0).after[:2])

    def ambiguous(seen: Seen) -> dict[str, Any]:
        """Takes all options for right that hold lamps of this world alone."""
        ring = set(scenario(0).colours)
        runs = options(seen)
        is_first_round = all(set(run) <= ring for run in runs.values())
        return {"right": list(runs)} if is_first_round else right_options(seen)

    row = only(ask, answers={"RightOptions": ambiguous, "ChosenOption": honest}, rounds=1)
    assert row["rounds"] == 1
    assert row["text"]["options"][row["text"]["answer"]] == first

    row = only(
        ask, answers={"RightOptions": lambda seen: {"right": list("ABCD")}, "ChosenOption": honest}, folder="all"
    )
    assert row["reason"] == "two_right_options"
    assert ask.annotator.titles["NewDistractors"] == 2


def test_a_question_that_is_solved_without_the_video_gets_others_and_then_goes(ask: Callable[..., Any]) -> None:
    row = only(ask, answers={"ChosenOption": knowing})
    assert row["reason"] == "solved_without_video"
    assert "right 4 of 4 times without the video, 3 are too many" in row["detail"]
    assert ask.annotator.titles == {"WrittenQuestion": 1, "RightOptions": 3, "ChosenOption": 12, "NewDistractors": 2}

    ring = set(scenario(0).colours)

    def until_others_come(seen: Seen) -> dict[str, Any]:
        own = all(set(run) <= ring for run in options(seen).values())
        return knowing(seen) if own else honest(seen)

    row = only(ask, answers={"ChosenOption": until_others_come}, folder="others")
    assert (row["rounds"], row["text_only"]) == (1, {"right": 1, "asked": 4})


def test_new_wrong_answers_repeat_none_that_was_left(ask: Callable[..., Any]) -> None:
    def stubborn(seen: Seen) -> dict[str, Any]:
        return {"distractors": [line[2:] for line in seen.text.splitlines() if line.startswith("- ")][:3]}

    row = only(ask, answers={"ChosenOption": knowing, "NewDistractors": stubborn})
    assert row["reason"] == "answer_invalid"
    assert "were wrong answers before" in row["detail"]


def test_how_often_it_is_tried_and_what_counts_as_solved_are_keys(ask: Callable[..., Any]) -> None:
    row = only(ask, answers={"ChosenOption": honest}, tries=8, solved_from=2, rounds=0)
    assert (row["reason"], ask.annotator.titles["ChosenOption"]) == ("solved_without_video", 8)
    row = only(ask, answers={"ChosenOption": honest}, tries=8, solved_from=3, folder="more")
    assert row["text_only"] == {"right": 2, "asked": 8}


def test_a_frame_budget_is_kept(ask: Callable[..., Any]) -> None:
    only(ask, answers={"ChosenOption": honest}, frames=5, size=32)
    shown = [Seen(body).frames for body in ask.annotator.bodies]
    assert {(len(frames), frames[0].shape) for frames in shown if frames} == {(5, (32, 32, 3))}


def test_options_are_drawn_and_letters_uniform() -> None:
    drafts = [Draft(f"video{number}-hop1", "What?", "right", ("one", "two", "three")) for number in range(4000)]
    arranged = [draft.arranged(SEED) for draft in drafts]
    letters = Counter(letter for _, letter in arranged)
    assert all(900 < letters[letter] < 1100 for letter in "ABCD")
    assert all(options[letter] == "right" for options, letter in arranged)
    # So are the places of each wrong answer.
    places = Counter(letter for options, _ in arranged for letter, text in options.items() if text == "one")
    assert all(900 < places[letter] < 1100 for letter in "ABCD")
    assert arranged == [draft.arranged(SEED) for draft in drafts]
    assert arranged != [draft.arranged(SEED + 1) for draft in drafts]


def test_the_right_option_is_tried_at_each_letter_equally_often() -> None:
    draft = Draft("video-hop1", "What?", "right", ("one", "two", "three"))
    for tries in (4, 8):
        presented = draft.presentations(tries)
        assert set(Counter(letter for _, letter in presented).values()) == {tries // 4}
        assert all(options[letter] == "right" for options, letter in presented)


def test_without_a_question_the_stage_ends_and_says_why(tmp_path: Path) -> None:
    row = {"id": "a-hop1", "stage": "questions", "reason": "solved_without_video", "detail": "right 4 of 4 times"}
    (tmp_path / "1-of-1.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(
        InputError, match=r"no question passed the gates\n  solved_without_video: 1\n  for example a-hop1"
    ):
        merge_questions([tmp_path / "1-of-1.jsonl"], [], tmp_path / "out")
