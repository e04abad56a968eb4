"""Letting the sound of an MP4 file begin later than its frames: an edit list for this track alone.

FFmpeg's own option writes one for every track, and with one for the frames some readers lose the last of them.
"""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

_BOXES_OF_BOXES = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_EDIT_LIST_BYTES = 48


def delay_sound(path: Path, seconds: Fraction) -> None:
    """Let the sound track begin `seconds` late in a file whose index (moov, version 0) is before its frames."""
    data = bytearray(path.read_bytes())
    boxes = list(_boxes(data, 0, len(data), ()))
    (header,) = (start for start, names in boxes if names == (b"moov", b"mvhd"))
    (handler,) = (start for start, names in boxes if names[-1] == b"hdlr" and data[start + 16 : start + 20] == b"soun")
    track = max(start for start, names in boxes if names == (b"moov", b"trak") and start < handler)
    shown = next(start for start, names in boxes if names[-1] == b"tkhd" and start > track)
    movie = next(start for start, names in boxes if names == (b"moov",))
    (scale,) = struct.unpack_from(">I", data, header + 20)
    (length,) = struct.unpack_from(">I", data, shown + 28)
    delay = round(seconds * scale)
    for table in (start for start, names in boxes if names[-1] == b"stco"):
        (count,) = struct.unpack_from(">I", data, table + 12)
        offsets = struct.unpack_from(f">{count}I", data, table + 16)
        struct.pack_into(f">{count}I", data, table + 16, *(offset + _EDIT_LIST_BYTES for offset in offsets))
    (whole,) = struct.unpack_from(">I", data, header + 24)
    struct.pack_into(">I", data, header + 24, max(whole, delay + length))
    struct.pack_into(">I", data, shown + 28, delay + length)
    for box in (movie, track):
        (size,) = struct.unpack_from(">I", data, box)
        struct.pack_into(">I", data, box, size + _EDIT_LIST_BYTES)
    # An empty edit, then all of the track; a unit more, as its length is rounded.
    edits = struct.pack(">IiIIiI", delay, -1, 1 << 16, length + 1, 0, 1 << 16)
    content = struct.pack(">I4sI4sII", _EDIT_LIST_BYTES, b"edts", _EDIT_LIST_BYTES - 8, b"elst", 0, 2) + edits
    (size,) = struct.unpack_from(">I", data, shown)
    data[shown + size : shown + size] = content
    path.write_bytes(data)


def _boxes(data: bytearray, start: int, end: int, inside: tuple[bytes, ...]) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Start of every box and its name, after the names of those that it is in; up to the frames and sounds."""
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        if name == b"mdat":
            return
        yield start, (*inside, name)
        if name in _BOXES_OF_BOXES:
            yield from _boxes(data, start + 8, start + size, (*inside, name))
        start += size
