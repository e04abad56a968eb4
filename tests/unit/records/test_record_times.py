import math

import pytest

from nep.records.times import parse_scene_number, parse_seconds, parse_split_scene, parse_split_time
from nep.rows.quarantine import Reason, Rejection


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (8, 8.0),
        (8.6, 8.6),
        ("8.6", 8.6),
        (" 8 ", 8.0),
        (".5", 0.5),
        ("00:08.60", 8.6),
        ("1:02", 62.0),
        ("90:00", 5400.0),
        ("0:00:08.0", 8.0),
        ("00:00:01.6", 1.6),
        ("1:02:03.25", 3723.25),
        ("1:02:03.4000001", 3723.4000001),
        (0, 0.0),
    ],
)
def test_every_form_of_a_time_is_read(value: object, seconds: float) -> None:
    assert parse_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-1",
        math.nan,
        math.inf,
        True,
        "soon",
        "1:75",
        "1:60:00",
        "1:2:3:4",
        "",
        None,
        [1],
        "1e3",
        "12,5",
        10**400,
        "9" * 5000,
        "1:" + "0" * 5000,
    ],
)
def test_what_is_no_time_is_rejected_with_the_value(value: object) -> None:
    with pytest.raises(Rejection) as caught:
        parse_seconds(value)
    assert caught.value.reason is Reason.BAD_SPLIT_TIME
    assert repr(value) in caught.value.detail


@pytest.mark.parametrize(
    ("scenes", "seconds", "scene"),
    [
        ([{"Scene 2": {"start": 1, "end": 8}}, {"Scene 3": {"start": "00:08.5", "end": 10}}], 8.5, 2),
        ([{"Scene 2": [1, 8]}, {"Scene 3": ["8.5", "10"]}], 8.5, 2),
        ([{"Scene 2": None, "start": 1, "end": 8}, {"Scene 3": None, "start": 8.5, "end": 10}], 8.5, 2),
        ([{"scene": "Scene 2", "start": 1, "end": 8}, {"scene": "Scene 3", "start": 8.5, "end": 10}], 8.5, 2),
        ([{"scene": 2, "start_time": 1, "end_time": 8}, {"scene": 3, "start_time": 8.5}], 8.5, 2),
        ([[1, 8], [8.5, 10]], 8.5, None),
        ({"Scene 2": {"start": 1, "end": 8}, "Scene 3": {"start": 8.5, "end": 10}}, 8.5, 2),
        ([{"Scene 2": {"start": 1, "end": 8}, "Scene 3": {"start": 8.5, "end": 10}}], 8.5, 2),
        ([{"Scene 1": [0, 3]}, {"Scene 2": [3, 5]}, {"Scene 3": [5, 9]}], 5.0, 1),
        ([{"Scene 2": {"start": 1, "end": 8}}, {"Scene 3": {"end": 10}}], 8.0, 2),
        ([{"Scene 2": {"start": 1, "end": 8}}, {"Scene 3": {"start": "", "end": 10}}], 8.0, 2),
        ([{"Scene 2": {"start": 1, "end": 8}}, {"Scene 3": {}}], 8.0, 2),
        ([{"Scene 2": {"start": 1.5, "end": 8}}], 1.5, 2),
        ([{"Scene 1": {"start": 0, "end": 8}}], 8.0, 1),
        ([{"Scene 2": {"start": 1, "end": 8}}, None], 1.0, 2),
    ],
)
def test_the_split_is_the_start_of_the_last_scene_else_the_end_of_the_first(
    scenes: object, seconds: float, scene: int | None
) -> None:
    assert parse_split_time(scenes) == seconds
    assert parse_split_scene(scenes) == scene


@pytest.mark.parametrize("scenes", [None, [], {}, "", [{}], [{"Scene 2": None}], [{"Scene 2": {}}, {"Scene 3": {}}]])
def test_no_time_stamp_is_a_missing_split_time(scenes: object) -> None:
    with pytest.raises(Rejection) as caught:
        parse_split_time(scenes)
    assert caught.value.reason is Reason.MISSING_SPLIT_TIME


@pytest.mark.parametrize(
    "scenes",
    [
        [{"Scene 1": {"start": 0, "end": 0}}],
        [{"Scene 1": {"start": 0, "end": 3}}, {"Scene 2": {"start": "soon"}}],
        [{"Scene 1": {"start": 0, "end": -3}}],
        [{"Scene 1": [1, 2, 3]}],
        "just before the end",
        [3.5],
        7,
        [[[1, 2], [3, 4]], [[5, 6], 7]],
    ],
)
def test_a_time_stamp_that_cannot_be_read_is_a_bad_split_time(scenes: object) -> None:
    with pytest.raises(Rejection) as caught:
        parse_split_time(scenes)
    assert caught.value.reason is Reason.BAD_SPLIT_TIME


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("Scene 3", 3),
        ("scene 12: kitchen", 12),
        (4, 4),
        ("Scene 0", None),
        ("Scene " + "9" * 5000, None),
        ("third", None),
        (None, None),
        (True, None),
    ],
)
def test_scene_numbers(value: object, number: int | None) -> None:
    assert parse_scene_number(value) == number
