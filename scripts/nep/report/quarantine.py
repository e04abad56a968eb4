"""What the stages set aside."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nep.rows.base import read_rows
from nep.rows.cut import Cut, LostVideo, lost_videos
from nep.rows.quarantine import Quarantined

# What stages set aside: those that only plain videos go through, and the one that all records do.
OF_PLAIN_VIDEOS = (
    "shots/rejected.jsonl",
    "annotate/rejected.jsonl",
    "questions/rejected.jsonl",
    "questions/left_out.jsonl",
)
REJECTED = "records/rejected.jsonl"


def read_quarantined(root: Path, split_rows: list[Cut | LostVideo]) -> list[Quarantined]:
    """What the stages set aside, in their order; `split_rows` are the rows of the split manifest."""
    files = [*(root / name for name in OF_PLAIN_VIDEOS if (root / name).is_file()), root / REJECTED]
    return [*(row for file in files for row in read_rows(Quarantined, file)), *lost_videos(split_rows)]


def quarantine_counts(quarantined: Sequence[Quarantined]) -> list[tuple[str, str, int]]:
    """(stage, reason, number of records), the most frequent first."""
    counts = Counter((row.stage, row.reason) for row in quarantined)
    return [(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
