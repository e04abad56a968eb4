"""Which frames of a clip are used, and at what size: the rules of qwen_vl_utils and lmms-eval's qwen2_5_vl."""

import math
from dataclasses import dataclass

import torch

from nep.config.vision import Vision

FRAME_FACTOR = 2
FPS_MIN_FRAMES = 4
# qwen_vl_utils: a frame has at most 768 tokens, a clip at most 90 % of 128,000 tokens, whatever the budget asks for.
FRAME_MAX_TOKENS = 768
CLIP_MAX_TOKENS = 128_000 * 0.9
MAX_ASPECT_RATIO = 200


@dataclass(frozen=True)
class PixelBudget:
    """Bounds on the area of one frame, in pixels."""

    minimum: float
    maximum: float


def uniform_count(frames: int, total: int) -> int:
    """Number of frames at equal distances: min(frames, total), floored to even, at least 2 (lmms-eval's wrapper)."""
    return max(FRAME_FACTOR, min(frames, total) // FRAME_FACTOR * FRAME_FACTOR)


def fps_count(fps: float, max_frames: int, total: int, source_fps: float) -> int:
    """Number of frames at `fps` frames a second: at least 4, at most `max_frames` or all, floored to even.

    qwen_vl_utils.smart_nframes with `fps` and `max_frames`.
    """
    count = min(min(max(total / source_fps * fps, FPS_MIN_FRAMES), max_frames), total)
    return math.floor(count / FRAME_FACTOR) * FRAME_FACTOR


def sampled_indices(vision: Vision, total: int, source_fps: float) -> list[int]:
    """Indices, ascending, of the frames used of a clip of `total` frames at `source_fps` frames a second.

    The first and the last frame are always among them. Raises ValueError for a clip of fewer than two frames.
    """
    if total < FRAME_FACTOR:
        raise ValueError(f"{total} frames, at least {FRAME_FACTOR} are needed")
    if vision.sampling == "uniform":
        count = uniform_count(vision.frames, total)
    else:
        count = fps_count(vision.fps, vision.frames, total, source_fps)
    return linspace_indices(count, total)


def linspace_indices(count: int, total: int) -> list[int]:
    """`count` indices at equal distances from 0 to `total` - 1, rounded half to even, as qwen_vl_utils computes them.

    In torch's float32, because other arithmetic rounds some near-ties to the neighbouring frame.
    """
    return torch.linspace(0, total - 1, count).round().long().tolist()


def frame_budget(vision: Vision, count: int, factor: int) -> PixelBudget:
    """Bounds on a frame's area for a clip of `count` frames; `factor` is patch size × merge size in pixels.

    The configured bounds, lowered where qwen_vl_utils.fetch_video caps them (frame and clip token limits).
    """
    cap = min(FRAME_MAX_TOKENS * factor**2, CLIP_MAX_TOKENS * factor**2 / count * FRAME_FACTOR)
    return PixelBudget(vision.min_pixels, min(vision.max_pixels, max(cap, int(vision.min_pixels * 1.05))))


def resized_size(height: int, width: int, factor: int, budget: PixelBudget) -> tuple[int, int]:
    """(height, width) in pixels: multiples of `factor`, area within the budget, aspect ratio kept as far as possible.

    qwen_vl_utils.smart_resize. Raises ValueError where one side is more than 200 times the other, or would become 0.
    """
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise ValueError(f"{width}×{height} pixels: one side is more than {MAX_ASPECT_RATIO} times the other")
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > budget.maximum:
        shrink = math.sqrt(height * width / budget.maximum)
        new_height = math.floor(height / shrink / factor) * factor
        new_width = math.floor(width / shrink / factor) * factor
    elif new_height * new_width < budget.minimum:
        grow = math.sqrt(budget.minimum / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    if 0 in (new_height, new_width):
        raise ValueError(f"{width}×{height} pixels do not fit into {budget.maximum:g} with sides of {factor} or more")
    return new_height, new_width
