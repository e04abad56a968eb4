"""Training questions that were written here as a set for GRPO: on training videos alone."""

from typing import Any

import pytest
from support.own_benchmark_run import OPTIONS, own_question

from nep.config.whole import load_config
from nep.data.catalog import check_datasets, dataset_names
from nep.data.inputs import Item
from nep.data.written_questions import WRITTEN_MC, written_questions
from nep.errors import InputError
from nep.records.schema import Record, record_id
from nep.rows.quarantine import Rejection


def item(path: str) -> Item:
    record = Record(id=record_id(path), video=path, source="unknown", split_time=1.0, already_cut=False)
    return Item(record, "train", {"first": f"segments/first/{record.id}.mp4"})


def published(path: str, **changes: Any) -> dict[str, Any]:
    return own_question(1, video_path=path, **changes).published()


def test_questions_on_training_videos_are_asked_about_their_first_parts() -> None:
    known = item("clip1.mp4")
    rows = [published("clip1.mp4"), published("clip1.mp4", id="b", kind="interpolation"), published("held_out.mp4")]
    asked, left_out = written_questions(rows, [known])
    assert [(one.id, one.kind, one.view) for one in asked] == [
        (f"{known.record.id}-written_hop1", "hop1", "first"),
        (f"{known.record.id}-written_interpolation", "interpolation", "first"),
    ]
    assert (asked[0].options, asked[0].letter) == (OPTIONS, "B")
    assert left_out == {"no_training_video": 1}


def test_a_row_of_another_form_is_refused() -> None:
    with pytest.raises(Rejection, match="question_type"):
        written_questions([{**published("clip1.mp4"), "question_type": "hop9"}], [item("clip1.mp4")])


def test_the_set_is_there_where_questions_are_written() -> None:
    assert WRITTEN_MC in dataset_names([1], written=True)["grpo"]
    values = {
        "run": "mine",
        "source": {"kind": "videos", "path": "data"},
        "model": {"kind": "folder", "path": "model"},
        "annotate": {"vision": {"url": "http://localhost/v1", "model": "large"}},
        "experiments": {"nep": {"grpo": {"datasets": {WRITTEN_MC: None}}}},
    }
    check_datasets(load_config({**values, "questions": {}}))
    with pytest.raises(InputError, match="'written_mc' is no data set of grpo"):
        check_datasets(load_config(values))
    with pytest.raises(InputError, match=r"'source\.questions' brings questions already"):
        load_config({**values, "questions": {}, "source": {**values["source"], "questions": "futurebench.json"}})
    without = {**values, "source": {"kind": "folder", "path": "data", "questions": None}, "questions": {}}
    del without["annotate"]
    with pytest.raises(InputError, match="the block 'annotate' makes"):
        load_config(without)
