"""Decoded frames as the pixels that a viewer sees."""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from nep.video.orientation import orientation_of


class RgbConverter:
    """Decoded frames of one video to upright uint8 RGB (H, W, 3), with the frame's own colour matrix and range."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert one frame."""
        # PyAV applies the frame's matrix only if source and target differ; its default, BT.601, is then the target.
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if frame.color_range == ColorRange.JPEG else ColorRange.UNSPECIFIED,
        )
        return np.ascontiguousarray(orientation_of(frame).upright(rgb.to_ndarray()))
