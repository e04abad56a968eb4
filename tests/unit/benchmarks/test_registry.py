"""Each benchmark has what the report shows of it, and reads what lmms-eval logs."""

from typing import Any, get_args

import pytest

from nep.benchmarks.benchmark import Logged
from nep.benchmarks.lmms_tasks import external_tasks
from nep.benchmarks.registry import LMMS_EVAL, NAMES
from nep.benchmarks.shown import FOLDER, shown
from nep.config.evaluate import Benchmark
from nep.stats.accuracy import KINDS, OVERALL

# Of each benchmark: an answer that lmms-eval's rules read as right, and one that they cannot read.
LOGGED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "videomme": (
        {"question_id": "1-1", "videoID": "v", "duration": "short", "answer": "B", "pred_answer": "B"},
        {"pred_answer": ""},
    ),
    "mvbench": ({"gt_answer": "B", "pred_answer": "B", "score": 1}, {"pred_answer": "", "score": 0}),
    "longvideobench_val_v": (
        {"id": "l", "duration_group": 15, "question_category": "S2E", "answer": "B", "parsed_pred": "B"},
        {"parsed_pred": "A"},
    ),
    "tempcompass": (
        {"video_id": "v", "dim": "order", "gt-answer": "yes", "rating": 1, "match_success": True},
        {"rating": 0, "match_success": False},
    ),
    "temporalbench": (
        {"item": {"idx": 3, "video_name": "v.mp4", "GT": "B"}, "pred": "B"},
        {"pred": "neither"},
    ),
}


def test_every_benchmark_is_shown_and_nothing_else() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(NAMES) == set(get_args(Benchmark))
    for task in NAMES:
        assert shown(task).title != task
        for table in shown(task).published:
            assert {split for row in table.rows.values() for split in row} <= {OVERALL, *KINDS, *shown(task).splits}
    assert shown("zz_new").title == "zz_new"


@pytest.mark.parametrize("name", LMMS_EVAL)
def test_a_logged_question_is_read(name: str) -> None:
    task = external_tasks(name)[0]
    right, change = LOGGED[name]
    read = LMMS_EVAL[name].read(Logged(task.name, task.config, 7, "B", right))
    assert (read.correct, read.unreadable, read.counted) == (True, False, True)
    assert all(read.kinds)
    unread = LMMS_EVAL[name].read(Logged(task.name, task.config, 7, "no idea", {**right, **change}))
    assert (unread.question_id, unread.correct, unread.unreadable) == (read.question_id, False, True)
    # lmms-eval leaves an empty answer to MVBench out of its mean.
    assert unread.counted == (name != "mvbench")
