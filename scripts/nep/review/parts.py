"""Both parts of a video as files of their own: what the page shows before the question is answered has no future."""

import threading
from pathlib import Path
from typing import Literal

from nep.files import confined, sha256_of_json
from nep.layout.segments import segment_path
from nep.own_benchmark.rows import OwnQuestion
from nep.records.parse import find_video
from nep.rows.cut import LostVideo
from nep.rows.quarantine import Rejection
from nep.split.recipe import Recipe
from nep.split.task import SplitTask, split_video

PartName = Literal["first", "second"]
# As the split stage cuts by default; without sound, as models see the parts.
RECIPE = Recipe(crf=18, preset="veryfast", for_browsers=True)
LIMIT_S = 300


class Parts:
    """Cuts videos below `videos` when a part is asked for, and keeps the parts in `folder`."""

    def __init__(self, videos: Path, folder: Path) -> None:
        self._videos = videos
        self._folder = folder.resolve()
        self._lock = threading.Lock()

    def file(self, question: OwnQuestion, part: PartName) -> Path:
        """The part's file. Raises Rejection where the video is missing or cannot be cut."""
        source = self._videos / find_video(self._videos, question.video_path)
        about = source.stat()
        made_of = sha256_of_json([question.cut, about.st_size, about.st_mtime_ns])[:8]
        identity = f"{question.video_id}-{made_of}"
        first, second = (confined(self._folder, segment_path(name, identity)) for name in ("first", "second"))
        with self._lock:
            if not (first.is_file() and second.is_file()):
                self._cut(identity, source, question.cut)
        return first if part == "first" else second

    def _cut(self, identity: str, source: Path, cut: float) -> None:
        row = split_video(
            SplitTask(
                identity=identity,
                source=source.resolve(),
                split_time=cut,
                already_cut=False,
                run_dir=self._folder,
                scratch=self._folder / f"{identity}.tmp",
                recipe=RECIPE,
                limit_s=LIMIT_S,
            )
        )
        if isinstance(row, LostVideo):
            raise Rejection(row.reason, row.detail)
