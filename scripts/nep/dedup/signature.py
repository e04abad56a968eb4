"""Perceptual signatures, and the search for the same video under another name.

A signature holds a video's image at a few fixed times as coarse grids of colours. Two videos are compared by the
correlation of their grids at the time where these differ most: copies agree at all times.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# From the start, not relative to the duration: the first part of a video is found in the whole one.
TIMES_S = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0)
GRID = 6
# A grid of a smaller standard deviation (of 255) says nothing: a fade, a blank wall.
FLAT = 3.0
MIN_COMMON_TIMES = 2
_ROWS_AT_ONCE = 4096

# By time in seconds: uint8 (GRID, GRID, 3), RGB.
Signature = dict[float, NDArray[np.uint8]]


class NearDuplicate(NamedTuple):
    """Two ids whose videos look the same, and the distance: 1 - correlation at the time where they differ most."""

    training: str
    evaluation: str
    distance: float


def near_duplicates(
    training: Mapping[str, Signature], evaluation: Mapping[str, Signature], max_distance: float
) -> list[NearDuplicate]:
    """Pairs within `max_distance`, and with at least MIN_COMMON_TIMES times in common, sorted."""
    if not training or not evaluation:
        return []
    names, others = list(training), list(evaluation)
    theirs = [_normalised([evaluation[name] for name in others], time) for time in TIMES_S]
    found = []
    for start in range(0, len(names), _ROWS_AT_ONCE):
        part = names[start : start + _ROWS_AT_ONCE]
        ours = [_normalised([training[name] for name in part], time) for time in TIMES_S]
        distances = _distances(ours, theirs)
        for row, column in np.argwhere(distances <= max_distance):
            found.append(NearDuplicate(part[row], others[column], round(float(distances[row, column]), 4)))
    return sorted(found)


def to_json(signature: Signature) -> dict[str, str]:
    """A signature as JSON: base64 of each grid's bytes, by its time."""
    return {f"{time:g}": base64.b64encode(grid.tobytes()).decode() for time, grid in signature.items()}


def from_json(value: Mapping[str, str]) -> Signature:
    """The signature that `to_json` was given."""
    return {
        float(time): np.frombuffer(base64.b64decode(grid), np.uint8).reshape(GRID, GRID, 3)
        for time, grid in value.items()
    }


def _normalised(signatures: Sequence[Signature], time: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Grids at a time as vectors (N, GRID * GRID * 3) of mean 0 and length 1, and which of them say anything."""
    empty = np.zeros((GRID, GRID, 3), np.uint8)
    values = np.stack([signature.get(time, empty).ravel() for signature in signatures]).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1)
    telling = lengths > FLAT * np.sqrt(values.shape[1])
    return values / np.where(telling, lengths, 1)[:, None], telling


def _distances(
    ours: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]],
    theirs: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> NDArray[np.float32]:
    """Largest 1 - correlation over the times that two videos have in common; infinite where these are too few."""
    shape = (len(ours[0][0]), len(theirs[0][0]))
    largest = np.zeros(shape, np.float32)
    common = np.zeros(shape, np.int8)
    for (left, left_telling), (right, right_telling) in zip(ours, theirs, strict=True):
        both = np.outer(left_telling, right_telling)
        np.maximum(largest, 1 - left @ right.T, out=largest, where=both)
        common += both
    return np.where(common >= MIN_COMMON_TIMES, largest, np.float32(np.inf))
