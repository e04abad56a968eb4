"""Sampling and sizes against qwen_vl_utils, whose rules they are."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from qwen_vl_utils import vision_process

from nep.config.vision import Vision
from nep.model.frame_sampling import (
    FRAME_FACTOR,
    PixelBudget,
    fps_count,
    frame_budget,
    resized_size,
    sampled_indices,
    uniform_count,
)


@given(total=st.integers(2, 20_000), fps=st.floats(0.1, 30), limit=st.integers(2, 384), source=st.floats(1, 120))
@settings(derandomize=True, deadline=None)
def test_fps_count_is_smart_nframes(total: int, fps: float, limit: int, source: float) -> None:
    limit = limit * 2
    expected = vision_process.smart_nframes({"fps": fps, "max_frames": limit}, total, source)
    assert fps_count(fps, limit, total, source) == expected


@given(total=st.integers(2, 20_000), frames=st.integers(1, 384))
@settings(derandomize=True, deadline=None)
def test_uniform_count_is_accepted_unchanged(total: int, frames: int) -> None:
    count = uniform_count(2 * frames, total)
    assert vision_process.smart_nframes({"nframes": count}, total, 24.0) == count
    assert count == max(2, min(2 * frames, total) // 2 * 2)


@given(
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
    factor=st.sampled_from([28, 32]),
    minimum=st.integers(784, 20_000),
    more=st.floats(0, 1e6),
)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_resized_size_is_smart_resize(height: int, width: int, factor: int, minimum: int, more: float) -> None:
    try:
        expected = vision_process.smart_resize(height, width, factor, minimum, minimum + more)
    except ValueError:
        expected = (0, 0)
    if 0 in expected:
        with pytest.raises(ValueError, match="pixels"):
            resized_size(height, width, factor, PixelBudget(minimum, minimum + more))
        return
    assert resized_size(height, width, factor, PixelBudget(minimum, minimum + more)) == expected


def test_budget_is_capped_as_in_fetch_video() -> None:
    vision = Vision(min_pixels=3136, max_pixels=10_000_000)
    assert frame_budget(vision, 2, 28).maximum == 768 * 28 * 28
    assert frame_budget(vision, 768, 28).maximum == 128_000 * 28 * 28 * 0.9 / 768 * 2
    assert frame_budget(Vision(), 32, 28) == PixelBudget(3136, 16384)


@given(total=st.integers(0, 5000), frames=st.integers(1, 64), sampling=st.sampled_from(["uniform", "fps"]))
@settings(derandomize=True, deadline=None)
def test_indices_ascend_from_first_to_last(total: int, frames: int, sampling: str) -> None:
    vision = Vision(sampling=sampling, frames=2 * frames)
    if total < FRAME_FACTOR:
        with pytest.raises(ValueError, match="at least 2"):
            sampled_indices(vision, total, 24.0)
        return
    indices = sampled_indices(vision, total, 24.0)
    assume(indices)
    assert (indices[0], indices[-1]) == (0, total - 1)
    assert all(left < right for left, right in itertools.pairwise(indices))
    assert len(indices) % 2 == 0
    assert len(indices) <= max(2, min(2 * frames, total))
