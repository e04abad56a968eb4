"""TemporalBench, by binary accuracy; lmms-eval states that of whole videos after it."""

from nep.benchmarks.benchmark import Benchmark, Logged, Reading


def read(logged: Logged) -> Reading:
    """A question; kinds are the tasks."""
    item, answer = logged.entry["item"], logged.entry["pred"]
    return Reading(
        question_id=str(item["idx"]),
        video_id=item["video_name"],
        kinds=(logged.task.removeprefix("temporalbench_"),),
        answer=item["GT"],
        correct=answer[:1].lower() == item["GT"].lower(),
        unreadable=answer[:1].upper() not in ("A", "B"),
    )


BENCHMARK = Benchmark(
    "temporalbench",
    "temporalbench",
    "temporalbench",
    "temporalbench_score",
    read,
    extra={"temporalbench_short_caption": "the sentence encoder all-MiniLM-L6-v2 and sentence-transformers"},
    repaired=True,
)
