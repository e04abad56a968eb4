"""The workflow on the eight clips of `mini_clips` in the hub's layout: every stage runs, and every cut is exact."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from support.workflow import Workplace, reasons

from mini_clips import CLIPS, mini_folder
from nep.files import read_json, read_jsonl

pytestmark = pytest.mark.e2e


def stamps(path: Path) -> list[Fraction]:
    """Seconds from the first frame of each frame that PyAV decodes; broken packets are passed over."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                found += [frame.pts * stream.time_base for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return [stamp - found[0] for stamp in found]


def test_real_clips_go_through_the_whole_workflow(workplace: Workplace) -> None:
    config = workplace.configure("v1_mini", source={"path": str(mini_folder())})
    outcome = workplace.run(config)
    assert outcome.status == 0, outcome.text
    run = workplace.root / "results" / "v1_mini"

    records = {row["id"]: row for row in read_jsonl(run / "records" / "records.jsonl")}
    cuts = {row["id"]: row for row in read_jsonl(run / "split" / "manifest.jsonl")}
    assert len(records) == len(CLIPS)
    assert set(cuts) == set(records)
    assert reasons(run / "records" / "rejected.jsonl") == reasons(run / "split" / "manifest.jsonl") == {}
    for identity, cut in cuts.items():
        frames = stamps(run / "download" / "videos" / records[identity]["video"])
        count = sum(stamp < Fraction(str(records[identity]["split_time"])) for stamp in frames)
        assert 0 < count < len(frames)
        assert (cut["first"]["frames"], cut["second"]["frames"]) == (count, len(frames) - count), identity
        assert stamps(run / cut["first"]["path"]) == frames[:count], identity
        second = stamps(run / cut["second"]["path"])
        assert second == [stamp - frames[count] for stamp in frames[count:]], identity

    index = read_jsonl(run / "encode" / "index.jsonl")
    assert {row["video_id"] for row in index} == set(records)
    for row in index:
        assert max(row["pts"]) < records[row["video_id"]]["split_time"]
    assert read_json(run / "nep" / "sft" / "manifest.json")["samples"] == len(CLIPS)
    assert len(read_jsonl(run / "nep" / "grpo" / "metrics.jsonl")) == 2
    for model in ("base", "nep-sft", "nep-grpo"):
        samples = read_jsonl(run / "evaluate" / model / "samples.jsonl")
        assert {row["video_id"] for row in samples} == set(records)
    assert "日食" in (run / "records" / "records.jsonl").read_text(encoding="utf-8")
    assert (run / "report" / "index.html").is_file()
    assert (run / "report" / "results.csv").is_file()
