"""Whether a part holds exactly the frames that it should, by decoding it."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from nep.rows.quarantine import Reason, Rejection
from nep.video.probe import Probe, probe


def verify_part(part: Path, expected: Sequence[int], time_base: Fraction, name: str) -> Probe:
    """Decode `part` and compare its time stamps with `expected` (units of `time_base` seconds), moved to start at 0.

    Returns the part's probe. Raises Rejection (split_not_exact) that says where the two differ.
    """
    found = probe(part, unreadable=Reason.SPLIT_NOT_EXACT)
    if len(found.pts) != len(expected):
        raise Rejection(
            Reason.SPLIT_NOT_EXACT, f"the {name} part has {len(found.pts)} frames, its source {len(expected)} there"
        )
    for number, (got, wanted) in enumerate(zip(found.pts, expected, strict=True)):
        if got * found.time_base != (wanted - expected[0]) * time_base:
            raise Rejection(
                Reason.SPLIT_NOT_EXACT,
                f"frame {number} of the {name} part is at {float(got * found.time_base):.6f} s "
                f"instead of {float((wanted - expected[0]) * time_base):.6f} s",
            )
    return found
