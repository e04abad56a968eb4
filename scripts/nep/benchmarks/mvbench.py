"""MVBench: twenty tasks, each a kind of its own."""

from nep.benchmarks.benchmark import Benchmark, Logged, Reading


def read(logged: Logged) -> Reading:
    """A question. An empty answer is left out of lmms-eval's mean: it is neither right nor wrong there."""
    entry = logged.entry
    return Reading(
        question_id=f"{logged.task}/{logged.doc}",
        video_id=None,
        kinds=(logged.config,),
        answer=entry["gt_answer"],
        correct=entry["score"] == 1,
        unreadable=entry["pred_answer"] == "",
        counted=entry["pred_answer"] != "",
    )


BENCHMARK = Benchmark("mvbench", "mvbench", "mvbench", "mvbench_accuracy", read)
