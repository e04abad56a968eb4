"""One cut by the package `smartcut`, in its own environment: prints its CPU seconds and peak RSS as JSON.

    .venv-bench/bin/python benchmarks/smartcut_peer.py VIDEO SECONDS OUT_WITH_#.mp4

Counted from the opening of the video to both parts written; imports are not.
"""

import json
import resource
import sys
from fractions import Fraction

from smartcut.cut_video import smart_cut
from smartcut.media_container import MediaContainer


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Cut, and print what it cost."""
    video, seconds, out = sys.argv[1], Fraction(sys.argv[2]), sys.argv[3]
    before = cpu_seconds()
    source = MediaContainer(video)
    error = smart_cut(source, [(Fraction(0), seconds), (seconds, source.duration)], out, segment_mode=True)
    source.close()
    if error is not None:
        raise error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cpu_s": cpu_seconds() - before, "peak_rss": peak}))


if __name__ == "__main__":
    main()
