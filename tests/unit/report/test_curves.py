"""Geometry of the curves."""

import itertools
import math
import re
from pathlib import Path

import pytest
from support.synthetic_run import SyntheticRun, write_lines

from nep.config.whole import load_config
from nep.report.collect import collect_run
from nep.report.curves import HEIGHT, WIDTH, format_value, moving_mean, nice_ticks, series_colour, stage_panels, thin


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 3.2), (-2.5, 7), (0, 0), (5, 5), (1e-7, 3e-6), (990, 1010)])
def test_ticks_enclose_the_values_at_equal_distances(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 7
    steps = {round((after - before) / (ticks[1] - ticks[0]), 6) for before, after in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_moving_mean_is_centred_and_shorter_at_the_ends() -> None:
    assert moving_mean([0.0, 3.0, 6.0, 0.0], 3) == [1.5, 3.0, 3.0, 3.0]
    assert moving_mean([1.0, 2.0], 1) == [1.0, 2.0]


def test_thinning_keeps_ends_mean_and_limit() -> None:
    points = [(float(step), math.sin(step / 50)) for step in range(1000)]
    thinned = thin(points, 100)
    assert len(thinned) == 100
    assert (thinned[0][0], thinned[-1][0]) == (0.0, 999.0)
    assert sum(y for _, y in thinned) / 100 == pytest.approx(sum(y for _, y in points) / 1000)
    assert thin(points[:5], 100) == points[:5]


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [
        (0.5, True, "50 %"),
        (0.025, True, "2.5 %"),
        (0.29731, False, "0.297"),
        (0.0, False, "0"),
        (4e-5, False, "4.0e-05"),
    ],
)
def test_values_have_three_digits(value: float, percent: bool, text: str) -> None:
    assert format_value(value, percent) == text


def test_panels_lie_in_their_box_and_leave_out_what_was_not_logged(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=1)
    root = synthetic.write(tmp_path)
    rows = [{"step": step, "reward": 0.5, "kl": None, "entropy": math.nan} for step in range(40)]
    write_lines(root / "next_event" / "grpo" / "metrics.jsonl", rows)
    panels = stage_panels(collect_run(root, load_config(synthetic.config)))
    held_out = ["Validation reward", "Validation accuracy", "Without the video"]
    assert [panel.title for panel in panels] == ["SFT loss", "SFT validation loss", "Reward", *held_out]
    assert [curve.colour for panel in panels for curve in panel.curves] == ["sft"] * 2 + ["grpo"] * 4
    for panel in panels:
        numbers = [float(text) for text in re.findall(r"[\d.]+", panel.curves[0].line)]
        assert all(0 <= x <= WIDTH for x in numbers[::2])
        assert all(0 <= y <= HEIGHT for y in numbers[1::2])


def test_several_experiments_have_a_colour_each(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=1, experiments={"a": ("sft",), "b": ("sft",)})
    panels = stage_panels(collect_run(synthetic.write(tmp_path), load_config(synthetic.config)))
    assert len(panels) == 2
    for panel in panels:
        assert [(curve.experiment, curve.colour) for curve in panel.curves] == [
            ("a", series_colour(0)),
            ("b", series_colour(1)),
        ]
    assert len({series_colour(place) for place in range(24)}) == 24
