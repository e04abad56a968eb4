"""TempCompass: four ways of asking, one of them answered in a sentence that only a judge model reads."""

from nep.benchmarks.benchmark import Benchmark, Logged, Reading


def read(logged: Logged) -> Reading:
    """A question; kinds are what it is about and how it is asked."""
    entry = logged.entry
    return Reading(
        question_id=f"{logged.task}/{logged.doc}",
        video_id=entry["video_id"],
        kinds=(entry["dim"], logged.config),
        answer=entry["gt-answer"],
        correct=entry["rating"] == 1,
        unreadable=not entry.get("match_success", True) and not entry.get("chatgpt_response"),
    )


BENCHMARK = Benchmark(
    "tempcompass",
    "tempcompass",
    "tempcompass",
    "avg_accuracy",
    read,
    judged=("tempcompass_captioning",),
    may_judge=("tempcompass_multi_choice", "tempcompass_yes_no", "tempcompass_caption_matching"),
)
