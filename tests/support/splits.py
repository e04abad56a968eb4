"""One video through the split, as a worker process does it."""

from pathlib import Path
from typing import Any

from nep.split.recipe import Recipe
from nep.split.task import SplitTask, split_video


def split(
    source: Path,
    time: float | None,
    run: Path,
    *,
    already_cut: bool = False,
    crf: int = 10,
    audio: str = "drop",
    incomplete: str = "note",
    first_alone: bool = False,
) -> dict[str, Any]:
    """The manifest row of `source`, cut at `time` below `run`, as it is written."""
    task = SplitTask(
        identity="clip",
        source=source,
        split_time=time,
        already_cut=already_cut,
        run_dir=run,
        scratch=run / "work" / "clip.tmp",
        recipe=Recipe(crf=crf, preset="ultrafast", audio=audio, incomplete=incomplete),
        limit_s=60,
        first_alone=first_alone,
    )
    return split_video(task).to_json()
