"""What is refused of an answer, and where a video is cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nep.annotate.answers import AboutTheVideo, CausalAnalysis, PlacedCut, WatchedEvents
from nep.annotate.cut import Cut, event_boundary, fault_of_cut, move_cut
from nep.annotate.rows import AnnotatedVideo, TimedEvent, published_row
from nep.annotate.steps import RECIPES
from nep.ask.request import schema_of
from nep.records.schema import parse_record

EVENTS = [TimedEvent(start=start, end=end, description="It happens.") for start, end in ((0, 1), (1.5, 2), (2, 4))]
ROW = AnnotatedVideo(
    id="a-b",
    video_path="a/b.mp4",
    duration=4.0,
    caption="All.",
    events=tuple(EVENTS),
    split_scene=2,
    cut=2.0,
    placed=2.1,
    boundary="event",
    caption_part1="One.",
    caption_part2="Two.",
    reasoning="So.",
    prediction="Two.",
)


def fault(answer: type[BaseModel], **values: Any) -> str:
    """What is wrong with an answer about a video of 4 s with 3 events; empty where nothing is."""
    try:
        answer.model_validate(values, context={"duration": 4.0, "scenes": 3})
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return ""


def events(*times: tuple[float, float]) -> dict[str, Any]:
    rows = [{"start": start, "end": end, "description": "It happens."} for start, end in times]
    return {"caption": "All.", "events": rows}


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        ([(0, 1), (0.5, 4.05)], ""),
        ([(0, 1), (2, 4.2)], "event 2 ends at 4.2 s, but the video at 4 s"),
        ([(0, 1), (2, 2)], ""),
        ([(0, 1), (3, 2)], "event 2: start 3 s must not be after end 2 s"),
        ([(0, 1), (4.05, 4.1)], "event 2: start 4.05 s must not be after"),
        ([(1, 2), (1, 3)], "event 2 must start after event 1, at 1 s"),
        ([(-1, 2)], "Input should be greater than or equal to 0"),
        ([(0, float("nan"))], "Input should be a finite number"),
        ([], "List should have at least 1 item"),
    ],
)
def test_events_lie_inside_the_video_and_in_order(times: list[tuple[float, float]], wrong: str) -> None:
    found = fault(WatchedEvents, **events(*times))
    assert wrong in found and bool(wrong) == bool(found)


def test_a_rounded_end_is_the_end() -> None:
    found = WatchedEvents.model_validate(events((0, 4.05)), context={"duration": 4.0})
    assert found.events[0].end == 4.0


@pytest.mark.parametrize(
    ("point", "suitable", "wrong"),
    [
        ("between Scene 1 and Scene 2", "yes", False),
        ("Between scene 2 and scene 3", "yes", False),
        ("between Scene 3 and Scene 4", "yes", True),
        ("between Scene 1 and Scene 3", "yes", True),
        ("after Scene 1", "yes", True),
        ("none", "yes", True),
        ("none", "no", False),
    ],
)
def test_a_split_point_is_between_neighbours(point: str, suitable: str, wrong: bool) -> None:
    values = {"reasoning": "So.", "suitable": suitable, "optimal_split_point": point}
    assert bool(fault(CausalAnalysis, **values)) == wrong


@pytest.mark.parametrize("time", [0, 4, -1, float("nan"), float("inf")])
def test_a_cut_outside_the_video_is_refused(time: float) -> None:
    assert "must lie between 0 and 4" in fault(PlacedCut, time_s=time)


def test_a_text_that_speaks_of_a_caption_is_refused() -> None:
    assert "must speak of the video" in fault(AboutTheVideo, reasoning="The caption says so.", prediction="It falls.")
    assert not fault(AboutTheVideo, reasoning="The video shows it.", prediction="It falls.")


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(["<|im_end|>", "<video>", "<|im_<|im_end|>end|>"]))
def test_no_text_keeps_a_mark_or_a_control_character(text: str, mark: str) -> None:
    event = TimedEvent(start=0, end=1, description=f"a{mark}{text}\x1b[0m")
    assert mark not in event.description and "\x1b" not in event.description and "\n" not in event.description


def test_a_text_of_nothing_but_marks_is_refused() -> None:
    assert "the text is empty" in fault(AboutTheVideo, reasoning="<|im_end|>\x00 ", prediction="It falls.")


def test_every_answer_is_a_closed_schema() -> None:
    for step in {step for steps in RECIPES.values() for step in steps}:
        assert schema_of(step.answer)["additionalProperties"] is False


def test_an_event_ends_between_the_last_frame_that_shows_it_and_the_one_after() -> None:
    assert event_boundary(EVENTS, 1, spacing=0.1) == 1.05
    assert event_boundary(EVENTS, 1, spacing=9) == 1.25, "no later than the middle of the pause"
    assert event_boundary(EVENTS, 2, spacing=0.1) == 2


def test_a_cut_moves_to_the_nearest_boundary_within_the_tolerance() -> None:
    boundaries = [(1.0, "shot"), (2.4, "event"), (2.6, "shot")]
    assert move_cut(2.2, boundaries, 1) == Cut(2.4, "event")
    assert move_cut(1.7, boundaries, 0.5) == Cut(1.7, None)
    assert move_cut(1.7, boundaries, 0.7) == Cut(1.0, "shot"), "of two equally far ones the earlier"
    assert move_cut(1.2345678, [], 9) == Cut(1.234568, None)


@pytest.mark.parametrize(
    ("time", "last", "wrong"),
    [
        (1.2, 1, None),
        (0.3, 1, "leaves a part of less than"),
        (3.7, 2, "leaves a part of less than"),
        (2.5, 1, "is not between Scene 1, which begins at 0 s, and Scene 2, which ends at 2 s"),
        (1.2, 2, "is not between Scene 2, which begins at 1.5 s"),
    ],
)
def test_a_cut_divides_the_events_as_planned(time: float, last: int, wrong: str | None) -> None:
    found = fault_of_cut(time, EVENTS, last, 4.0, 0.5)
    assert found is None if wrong is None else wrong in found


def test_the_published_form_is_what_records_reads() -> None:
    row = ROW.model_copy(update={"critique": "Good.", "conclusion": "right", "hindsight": "Hence."})
    record = parse_record(published_row(row), "a/b.mp4", "a/b.mp4", already_cut=False)
    assert (record.split_time, record.split_scene, record.conclusion) == (2.0, 2, "right")
    assert (record.caption_part1, record.caption_part2, record.hindsight) == ("One.", "Two.", "Hence.")
    assert [event.scene for event in record.events] == [1, 2, 3]
    assert (record.reasoning, record.prediction, record.critique) == ("So.", "Two.", "Good.")
    without = parse_record(published_row(ROW), "a/b.mp4", "a/b.mp4", already_cut=False)
    assert (without.critique, without.conclusion, without.hindsight) == (None, None, None)
