from collections.abc import Callable

import pytest
from support.rows import lost

from nep.data.inputs import LeftOut, check_no_leak, evaluation_videos, part_of, select_inputs
from nep.errors import InputError
from nep.rows.dataset import DatasetRow
from nep.rows.question import Question
from nep.rows.record import Record

Make = Callable


def test_quarantined_videos_are_in_no_data_set(make_record: Make, split_row: Make) -> None:
    good, bad = make_record(1), make_record(2)
    rows = [split_row(good), lost(bad.id)]
    inputs = select_inputs([good, bad], [], rows, 0.0, True)
    assert [item.record.id for item in inputs.training] == [good.id]
    assert list(inputs.split) == [good.id]
    assert inputs.left_out == {"not_split": 1}


def test_a_record_that_the_split_has_not_seen_is_bad_input(make_record: Make, split_row: Make) -> None:
    known, unknown = make_record(1), make_record(2)
    with pytest.raises(InputError, match=unknown.id):
        select_inputs([known, unknown], [], [split_row(known)], 0.0, True)


@pytest.mark.parametrize("hold_out", [True, False])
def test_evaluation_videos_are_held_out_where_asked(
    make_record: Make, make_question: Make, split_row: Make, hold_out: bool
) -> None:
    records = [make_record(number) for number in range(4)]
    rows = [split_row(record) for record in records]
    inputs = select_inputs(records, [make_question(records[2])], rows, 0.0, hold_out)
    assert (records[2].id in {item.record.id for item in inputs.training}) is not hold_out
    assert records[2].id in inputs.split


def row(identity: str, record: Record) -> DatasetRow:
    return DatasetRow(id=identity, video_id=record.id, source=record.source, view="first", videos=())


def known(records: list[Record], question: Question) -> tuple[dict[str, str], set[str]]:
    """The whole video of each record, and the videos that the question is about."""
    return {record.id: record.whole_video for record in records}, evaluation_videos(records, [question])


def test_the_whole_video_of_a_cut_evaluation_video_is_held_out(
    make_record: Make, make_question: Make, split_row: Make
) -> None:
    whole = make_record(1)
    cut = make_record(2, video="first_part_video/youtube/Clip1.MP4", already_cut=True, split_time=None)
    other = make_record(3)
    records = [whole, cut, other]
    inputs = select_inputs(records, [make_question(cut)], [split_row(record) for record in records], 0.0, True)
    assert [item.record.id for item in inputs.training] == [other.id]
    with pytest.raises(InputError, match=whole.id):
        check_no_leak("sft/x.json", [row("r", whole)], *known(records, make_question(cut)))


def test_a_leak_names_file_and_video(make_record: Make, make_question: Make) -> None:
    records = [make_record(1), make_record(2)]
    rows = [row("fine", records[0])]
    check_no_leak("grpo/x.jsonl", rows, *known(records, make_question(records[1])))
    rows.append(row("leak", records[1]))
    with pytest.raises(InputError, match=rf"grpo/x.jsonl: row leak: video {records[1].id}"):
        check_no_leak("grpo/x.jsonl", rows, *known(records, make_question(records[1])))


def test_parts_follow_the_id_alone_and_the_fraction() -> None:
    ids = [f"record-{number}" for number in range(2000)]
    validation = {identity for identity in ids if part_of(identity, 0.1) == "validation"}
    assert 150 < len(validation) < 250
    assert validation <= {identity for identity in ids if part_of(identity, 0.2) == "validation"}
    assert not [identity for identity in ids if part_of(identity, 0.0) == "validation"]


def test_clips_are_those_of_the_split_and_the_source(make_record: Make, split_row: Make) -> None:
    whole = make_record(1)
    cut = make_record(2, video="first_part_video/youtube/x.mp4", already_cut=True, split_time=None)
    rows = [split_row(whole), split_row(cut, second=None)]
    inputs = select_inputs([whole, cut], [], rows, 0.0, True)
    items = {item.record.id: item for item in inputs.training}
    assert items[whole.id].clips == {
        "first": f"segments/first/{whole.id}.mp4",
        "second": f"segments/second/{whole.id}.mp4",
        "full": f"download/videos/{whole.video}",
    }
    assert items[cut.id].clips == {"first": f"segments/first/{cut.id}.mp4"}
    with pytest.raises(LeftOut, match="no_full_video"):
        items[cut.id].clip("full")
