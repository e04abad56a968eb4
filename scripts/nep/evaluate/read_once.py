"""Clips that lmms-eval's Qwen wrappers read: they decode and resize a clip anew for each question about it."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from qwen_vl_utils import vision_process

KEPT_BYTES = 1 << 30


class RecentClips:
    """`qwen_vl_utils`' reader of one clip, which keeps what it read last, up to `limit` bytes of frames."""

    def __init__(self, read: Callable[..., Any], limit: int = KEPT_BYTES) -> None:
        self._read = read
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, clip: dict[str, Any], **options: Any) -> Any:
        """What the reader gives for a clip and its budget; its frames are shared and must not be written to."""
        if not isinstance(clip["video"], str):
            return self._read(clip, **options)
        key = (*sorted(clip.items()), *sorted(options.items()))
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._read(clip, **options)
            self._bytes += _frame_bytes(self._kept[key])
        found = self._kept[key]
        while self._bytes > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _frame_bytes(dropped)
        return _with_own_metadata(found)


def read_clips_once() -> None:
    """Put `RecentClips` before the reader of `qwen_vl_utils`, for this process."""
    vision_process.fetch_video = RecentClips(vision_process.fetch_video)


def _with_own_metadata(found: Any) -> Any:
    """The same tensors; everything else is copied, as processors write to the metadata."""
    if isinstance(found, torch.Tensor):
        return found
    return tuple(map(_with_own_metadata, found)) if isinstance(found, tuple) else copy.deepcopy(found)


def _frame_bytes(found: Any) -> int:
    if isinstance(found, torch.Tensor):
        return found.nbytes
    return sum(map(_frame_bytes, found)) if isinstance(found, tuple) else 0
