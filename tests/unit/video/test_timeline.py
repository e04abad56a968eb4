"""Time stamps of frames in the order of display, from whatever a file says."""

import pytest

from nep.video.timeline import best_effort


@pytest.mark.parametrize(
    ("stamps", "step", "expected"),
    [
        # Real ones stay as they are, whatever the other clock says.
        ([(10, None), (11, 5), (19, 5)], 4, (10, 11, 19)),
        # AVI with reordered frames: PTS in the order of decoding; the last frames come without a packet.
        ([(2, 4), (8, 6), (6, 8), (10, 10), (4, 12), (12, None)], 1, (4, 6, 8, 10, 12, 14)),
        # A bare stream has no clock.
        ([(None, None)] * 4, 50, (0, 50, 100, 150)),
        # Joined broadcasts: the second begins again.
        ([(place * 40, place * 40) for place in (*range(20), *range(2))], 40, tuple(range(0, 880, 40))),
        # One stamp twice, and one missing.
        ([(0, 0), (40, 40), (40, 40), (120, 120)], 40, (0, 40, 41, 120)),
        ([(None, 0), (40, 40), (80, 80), (None, 120), (160, 160), (160, 150)], 40, (0, 40, 80, 120, 160, 161)),
    ],
)
def test_best_effort(stamps: list[tuple[int | None, int | None]], step: int, expected: tuple[int, ...]) -> None:
    assert best_effort(stamps, step) == expected
