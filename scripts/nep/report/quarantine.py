"""What the stages set aside."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nep.rows.base import read_rows
from nep.rows.cut import Cut, LostVideo, lost_videos
from nep.rows.quarantine import Quarantined


def read_quarantined(root: Path, split_rows: list[Cut | LostVideo]) -> list[Quarantined]:
    """What records and split set aside; `split_rows` are the rows of the split manifest."""
    return [*read_rows(Quarantined, root / "records" / "rejected.jsonl"), *lost_videos(split_rows)]


def quarantine_counts(quarantined: Sequence[Quarantined]) -> list[tuple[str, str, int]]:
    """(stage, reason, number of records), the most frequent first."""
    counts = Counter((row.stage, row.reason) for row in quarantined)
    return [(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
