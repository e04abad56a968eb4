"""The display matrix of an MP4's track, written over the one that is there."""

import itertools
import struct
from pathlib import Path

from nep.video.orientation import Orientation

ORIENTATIONS = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]
UPRIGHT = Orientation()
QUARTER_TURN = Orientation(transposed=True, left_right=True)


def write_orientation(path: Path, orientation: Orientation, size: tuple[int, int]) -> None:
    """Let players show the stored frames of `size` (width, height) so (16.16 and 2.30 fixed point numbers)."""
    one = 1 << 16
    across, down = (-one if flipped else one for flipped in (orientation.left_right, orientation.up_down))
    width, height = reversed(size) if orientation.transposed else size
    a, b, c, d = (0, down, across, 0) if orientation.transposed else (across, 0, 0, down)
    x, y = width * one * orientation.left_right, height * one * orientation.up_down
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30)
    path.write_bytes(data)
