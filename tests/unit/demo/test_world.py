"""The demo's world: what its frames show, and that order is what its questions need."""

import random

import numpy as np
import pytest

from nep.demo.questions import LETTERS, future_questions
from nep.demo.world import COLOURS, LAMPS, Scenario, draw_scenario, frame_at, tell

SIZE = 112


@pytest.fixture(params=range(6))
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return draw_scenario(random.Random(request.param))


def brightest_lamp(frame: np.ndarray, scenario: Scenario) -> str:
    """Colour of the lamp with most pixels of its full colour, by plain pixel counting."""
    counts = {
        colour: int((np.abs(frame.astype(int) - COLOURS[colour]).sum(axis=-1) < 40).sum())
        for colour in scenario.colours
    }
    return max(counts, key=counts.__getitem__)


def test_each_event_is_the_lamp_that_lights_up_at_its_time(scenario: Scenario) -> None:
    seen = [
        brightest_lamp(frame_at(scenario, scenario.event_time(step), SIZE), scenario)
        for step in range(len(scenario.events))
    ]
    assert seen == scenario.events


def test_first_part_shows_every_lamp_and_ends_before_the_next_event(scenario: Scenario) -> None:
    assert set(scenario.before) == set(scenario.colours)
    assert scenario.event_time(scenario.events_before - 1) < scenario.split_time
    assert scenario.split_time < scenario.event_time(scenario.events_before)
    assert 3 <= scenario.duration <= 10


def test_neither_place_nor_frame_gives_the_direction_away() -> None:
    """At the moment of an event, the two directions give the same frame and different futures."""
    scenario = draw_scenario(random.Random(0))
    mirrored = Scenario(**{**vars(scenario), "direction": -scenario.direction})
    assert np.array_equal(
        frame_at(scenario, scenario.event_time(0), SIZE), frame_at(mirrored, mirrored.event_time(0), SIZE)
    )
    assert scenario.events[1] != mirrored.events[1]


def test_questions_have_one_right_answer_and_options_of_the_same_lamps(scenario: Scenario) -> None:
    items = future_questions(scenario, random.Random(0))
    assert [item["question_type"] for item in items] == ["hop1", "hop2", "hop3", "hop5"]
    for item, truth in zip(items, (1, 2, 3, 2), strict=True):
        options = item["qa"]["Options"]
        assert len(set(options.values())) == len(LETTERS) == LAMPS
        assert options[item["qa"]["Answer"]] == tell(scenario.after[:truth])
        assert {text.split(";")[0] for text in options.values()} == {colour.capitalize() for colour in scenario.colours}
