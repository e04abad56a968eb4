"""LongVideoBench, its validation questions on videos without subtitles."""

from nep.benchmarks.benchmark import Benchmark, Logged, Reading


def read(logged: Logged) -> Reading:
    """A question; kinds are its video's length and its category.

    lmms-eval draws a letter at random where it finds none. Its figure is a mean over groups of length and category,
    each question in one of either: the share of right ones.
    """
    entry = logged.entry
    return Reading(
        question_id=entry["id"],
        video_id=None,
        kinds=(f"{entry['duration_group']} s", entry["question_category"]),
        answer=entry["answer"],
        correct=entry["parsed_pred"] == entry["answer"],
        unreadable=not set(logged.completion) & set("ABCDE"),
    )


BENCHMARK = Benchmark("longvideobench_val_v", "longvideobench", "longvideobench_val_v", "lvb_acc", read, percent=100.0)
