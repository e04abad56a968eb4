"""Video-MME."""

from nep.benchmarks.benchmark import Benchmark, Logged, Reading


def read(logged: Logged) -> Reading:
    """A question; kinds are lengths of videos."""
    entry = logged.entry
    return Reading(
        question_id=entry["question_id"],
        video_id=entry["videoID"],
        kinds=(entry["duration"],),
        answer=entry["answer"],
        correct=entry["pred_answer"] == entry["answer"],
        unreadable=entry["pred_answer"] not in ("A", "B", "C", "D"),
    )


BENCHMARK = Benchmark("videomme", "videomme", "videomme", "videomme_perception_score", read)
