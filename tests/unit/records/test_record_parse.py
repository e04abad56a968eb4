import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_clips import ANNOTATIONS, QUESTIONS, mini_folder
from nep.errors import InputError
from nep.files import read_jsonl
from nep.records.parse import Parsed, parse_files, write_parsed
from nep.records.schema import record_id, source_of
from nep.rows.base import rows_as
from nep.rows.record import Record

REPO = Path(__file__).parents[3]
PATH = "video_dataset/youtube/one.mp4"


def annotation(path: str = PATH, **changes: Any) -> dict[str, Any]:
    row = {
        "video_path": path,
        "full_video_path": f"V1-33K/{path}",
        "caption": "Whole.",
        "events": [{"scene": "Scene 2", "description": "Second."}, {"scene": "Scene 1", "description": "First."}],
        "mc_qa": [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "A. This"}],
        "video_split": {
            "split_caption": {"caption_part1": "Part one.", "caption_part2": "Part two."},
            "scenes_timestep": [{"Scene 1": {"start": 0, "end": 2}}, {"Scene 2": {"start": 2, "end": 4}}],
        },
        "ds_reasoning": {"rewritten_reasoning_content": "Because.", "rewritten_prediction_content": "So."},
        "o3_critique": {"Critique": "Fair.", "Conclusion": "right"},
    }
    return {**row, **changes}


def question(path: str = PATH, **changes: Any) -> dict[str, Any]:
    row = {"id": "q1", "video_path": path, "question_type": "hop1", "qa": asked()}
    return {**row, **changes}


def asked(**changes: Any) -> dict[str, Any]:
    options = {"A": "a cup", "B": "a ball", "C": "a hat", "D": "a key"}
    return {"Question": "What next?", "Options": options, "Answer": "B", **changes}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["Scene 1", "0:01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Scene 1", "scene", "start", "end", "value", "from", "Answer"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@pytest.fixture
def parse(tmp_path: Path) -> Callable[..., Parsed]:
    """Parse rows as if they had come from files; videos that they name exist unless `files` says otherwise."""

    def run(
        annotations: list[Any], questions: list[Any] | None = None, files: dict[str, bytes] | None = None
    ) -> Parsed:
        videos = tmp_path / "videos"
        for path, content in ({PATH: b"video"} if files is None else files).items():
            (videos / path).parent.mkdir(parents=True, exist_ok=True)
            (videos / path).write_bytes(content)
        videos.mkdir(exist_ok=True)
        (tmp_path / "annotations.json").write_text(json.dumps(annotations))
        (tmp_path / "questions.json").write_text(json.dumps(questions or []))
        return parse_files(tmp_path / "annotations.json", tmp_path / "questions.json", videos)

    return run


def rejection_of(parsed: Parsed) -> tuple[str, str]:
    assert len(parsed.rejected) == 1
    row = parsed.rejected[0]
    assert row.stage == "records"
    return row.reason, row.detail


def test_a_whole_row_becomes_a_record(parse: Callable[..., Parsed]) -> None:
    (record,) = parse([annotation()]).records
    assert record.model_dump(mode="json") == {
        "id": record_id(PATH),
        "video": PATH,
        "source": "youtube",
        "split_time": 2.0,
        "already_cut": False,
        "split_scene": 1,
        "caption": "Whole.",
        "caption_part1": "Part one.",
        "caption_part2": "Part two.",
        "events": [{"scene": 1, "description": "First."}, {"scene": 2, "description": "Second."}],
        "mc_qa": [{"question": "Which?", "answer": "A. This"}],
        "oe_qa": [],
        "reasoning": "Because.",
        "prediction": "So.",
        "critique": "Fair.",
        "conclusion": "right",
        "hindsight": None,
    }


def test_missing_texts_are_none(parse: Callable[..., Parsed]) -> None:
    row = annotation(caption="  ", ds_reasoning=None, o3_critique={})
    row.pop("mc_qa")
    row["video_split"].pop("split_caption")
    (record,) = parse([row]).records
    texts = (record.caption, record.caption_part1, record.caption_part2, record.reasoning, record.critique)
    assert texts == (None,) * 5
    assert record.conclusion is None
    assert record.mc_qa == ()


@pytest.mark.parametrize(
    ("conclusion", "expected"),
    [("right", "right"), ("Wrong.", "wrong"), ("partly right", None), ("not wrong", None), ("", None), (None, None)],
)
def test_only_the_two_words_conclude(
    parse: Callable[..., Parsed], conclusion: str | None, expected: str | None
) -> None:
    (record,) = parse([annotation(o3_critique={"Critique": "x", "Conclusion": conclusion})]).records
    assert record.conclusion == expected


@pytest.mark.parametrize(
    ("row", "reason", "named"),
    [
        ("a text", "bad_record", "'a text'"),
        (None, "bad_record", "None"),
        (annotation(path=None), "bad_record", "None"),
        (annotation(path=""), "bad_record", "''"),
        (annotation(path="../outside.mp4"), "bad_record", "leaves"),
        (annotation(path="/etc/passwd"), "bad_record", "leaves"),
        (annotation(path="video_dataset/a\x00b.mp4"), "bad_record", "control"),
        (annotation(path="video_dataset/\ud800.mp4"), "bad_record", "Unicode"),
        (annotation(path="video_dataset/" + "x" * 300), "bad_record", "long"),
        (annotation(path="video_dataset/youtube/none.mp4"), "missing_video", "none.mp4"),
        (annotation(video_split=None), "missing_split_time", "None"),
        (annotation(video_split={"scenes_timestep": []}), "missing_split_time", "[]"),
        (annotation(video_split={"scenes_timestep": [{"Scene 1": ["x", "y"]}]}), "bad_split_time", "'x'"),
        (annotation(video_split=[1]), "bad_record", "video_split"),
        (annotation(caption=3), "bad_record", "caption"),
        (annotation(events="none"), "bad_record", "events"),
        (annotation(events=[{"scene": "first", "description": "x"}]), "bad_record", "'first'"),
        (annotation(events=[{"scene": "Scene 1"}]), "bad_record", "Scene 1"),
        (
            annotation(events=[{"scene": 1, "description": "x"}, {"scene": 1, "description": "y"}]),
            "bad_record",
            "twice",
        ),
        (annotation(mc_qa=[{"value": "A question alone"}]), "bad_record", "mc_qa"),
        (annotation(oe_qa=[{"from": "gpt", "value": "x"}, {"from": "human", "value": "y"}]), "bad_record", "oe_qa"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_and_the_others_stay(
    parse: Callable[..., Parsed], row: Any, reason: str, named: str
) -> None:
    other = "video_dataset/youtube/other.mp4"
    parsed = parse([row, annotation(other)], files={PATH: b"video", other: b"video"})
    assert [record.video for record in parsed.records] == [other]
    found, detail = rejection_of(parsed)
    assert found == reason
    assert named in detail
    assert detail.startswith("annotations.json[0]: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the one video that rows name."""
    root = tmp_path_factory.mktemp("any")
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_bytes(b"video")
    return root


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(annotation())), st.sampled_from(["split_caption", "scenes_timestep", ""]), JSON, JSON)
def test_no_value_of_any_field_ends_the_run(folder: Path, key: str, part: str, value: Any, other: Any) -> None:
    row = annotation(**{key: value})
    if key == "video_split" and part:
        row[key] = {**annotation()[key], part: value}
    asked_row = question(**{"question_type": "hop1", "qa": asked(Options=value, Answer=other)})
    (folder / "annotations.json").write_text(json.dumps([row, annotation()]))
    (folder / "questions.json").write_text(json.dumps([asked_row, question(id=other), question(qa=other), value]))
    parsed = parse_files(folder / "annotations.json", folder / "questions.json", folder)
    write_parsed(parsed, folder / "out")
    assert len(parsed.records) == 1
    assert len(parsed.records) + len(parsed.questions) + len(parsed.rejected) == 6


def test_an_empty_video_and_a_second_record_of_a_video_are_rejected(parse: Callable[..., Parsed]) -> None:
    assert rejection_of(parse([annotation()], files={PATH: b""}))[0] == "empty_video"
    parsed = parse([annotation(), annotation(caption="Another.")], files={PATH: b"video"})
    assert [record.caption for record in parsed.records] == ["Whole."]
    assert rejection_of(parsed) == (
        "duplicate_record",
        f"annotations.json[1]: '{PATH}' has a record already: annotations.json[0]",
    )


def test_another_spelling_of_the_path_is_the_same_video(parse: Callable[..., Parsed]) -> None:
    parsed = parse([annotation(), annotation(f"V1-33K/{PATH}")])
    assert rejection_of(parsed)[0] == "duplicate_record"


def test_a_video_is_found_without_a_published_prefix_too(parse: Callable[..., Parsed]) -> None:
    (record,) = parse([annotation(f"V1-33K/{PATH}")]).records
    assert (record.video, record.source) == (PATH, "youtube")


def test_a_video_is_found_without_its_published_folder_too(parse: Callable[..., Parsed]) -> None:
    (record,) = parse([annotation()], files={"youtube/one.mp4": b"video"}).records
    assert (record.video, record.source) == ("youtube/one.mp4", "youtube")


def test_no_other_folder_is_dropped_from_a_path(parse: Callable[..., Parsed]) -> None:
    parsed = parse([annotation("missing/y.mp4"), annotation("y.mp4", caption="Mine.")], files={"y.mp4": b"video"})
    assert [(record.video, record.caption) for record in parsed.records] == [("y.mp4", "Mine.")]
    assert rejection_of(parsed)[0] == "missing_video"
    assert parsed.rejected[0].id == record_id("missing/y.mp4")


@pytest.mark.parametrize("spelt", [f"./{PATH}", PATH.replace("/", "//"), PATH.replace("/", "/./")])
def test_every_spelling_of_a_path_is_one_record(parse: Callable[..., Parsed], spelt: str) -> None:
    (record,) = parse([annotation(spelt)], [question()]).records
    assert (record.id, record.video) == (record_id(PATH), PATH)


def test_a_link_out_of_the_video_folder_is_rejected(parse: Callable[..., Parsed], tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "videos/video_dataset/youtube").mkdir(parents=True)
    (tmp_path / "videos" / PATH).symlink_to(tmp_path / "secret.mp4")
    assert rejection_of(parse([annotation()], files={}))[0] == "bad_record"


def test_placeholders_and_broken_unicode_do_not_reach_a_text(parse: Callable[..., Parsed]) -> None:
    (record,) = parse([annotation(caption="<video>A <|video_pad|>cup\ud800<image>.")]).records
    assert record.caption == "A cup\ufffd."


def test_what_is_taken_out_of_texts_is_counted_by_record(parse: Callable[..., Parsed], tmp_path: Path) -> None:
    parsed = parse([annotation(caption="A <vid<video>eo> plays<|im_end|>")], [question()])
    assert parsed.records[0].caption == "A  plays"
    write_parsed(parsed, tmp_path / "out")
    altered = json.loads((tmp_path / "out/manifest.json").read_text())["altered"]
    assert altered == {record_id(PATH): {"<video>": 2, "<|im_end|>": 1}}


@pytest.mark.parametrize(
    ("path", "source", "slug"),
    [
        ("video_dataset/youtube/日食/mirror.mp4", "youtube", "youtube-mirror-"),
        ("video_dataset/Charades/baby'reading.mp4", "Charades", "Charades-baby-reading-"),
        ("video_dataset/top.mp4", "unknown", "unknown-top-"),
        ("elsewhere/x/日食.mp4", "unknown", "unknown-video-"),
        ("first_part_video/ego4d/../x/été.mp4", "ego4d", "ego4d-ete-"),
    ],
)
def test_ids_are_ascii_and_safe_as_file_names(path: str, source: str, slug: str) -> None:
    assert source_of(path) == source
    identity = record_id(path)
    assert identity.startswith(slug)
    assert len(identity) == len(slug) + 8
    assert set(identity) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


def test_questions_are_linked_to_their_record(parse: Callable[..., Parsed]) -> None:
    parsed = parse([annotation()], [question(), question(id=7, question_type="hop5")])
    assert [(item.id, item.kind, item.video_id, item.answer) for item in parsed.questions] == [
        ("q1", "hop1", record_id(PATH), "B"),
        ("7", "interpolation", record_id(PATH), "B"),
    ]


@pytest.mark.parametrize(
    ("text", "inline"),
    [
        ("Which? A) a cup B) a ball C) a hat D) a key", True),
        ("Which?\nA. a cup\nB. a ball\nC. a hat\nD. a key", True),
        ("Which? (A) a cup (B) a ball (C) a hat (D) a key", True),
        ("Which of A) and B) follows?", False),
    ],
)
def test_inline_options(parse: Callable[..., Parsed], text: str, inline: bool) -> None:
    (item,) = parse([annotation()], [question(qa=asked(Question=text))]).questions
    assert (item.options_inline, item.question) == (inline, text)
    alone = parse([annotation()], [question(qa=asked(Question=text, Options=None))])
    if inline:
        assert alone.questions[0].options == asked()["Options"]
    else:
        assert rejection_of(alone)[0] == "bad_question"


@pytest.mark.parametrize("answer", ["B", "b", " B. ", "(B)", "B) a ball", "a ball"])
def test_forms_of_a_right_answer(parse: Callable[..., Parsed], answer: str) -> None:
    assert parse([annotation()], [question(qa=asked(Answer=answer))]).questions[0].answer == "B"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (question(qa=asked(Answer="E")), "no_right_answer"),
        (question(qa=asked(Answer="")), "no_right_answer"),
        (question(qa=asked(Answer=None)), "no_right_answer"),
        (question(qa=asked(Answer=1)), "no_right_answer"),
        (question(qa=asked(Answer="B. a cup")), "no_right_answer"),
        (question(qa=asked(Answer="A spoon")), "no_right_answer"),
        (question(qa=asked(Question="")), "bad_question"),
        (question(qa=asked(Options={"A": "x", "B": "y"})), "bad_question"),
        (question(qa=asked(Options={"A": "x", "B": "y", "C": "z", "D": ""})), "bad_question"),
        (question(qa=None), "bad_question"),
        (question(question_type="hop4"), "bad_question"),
        (question(question_type=["hop1"]), "bad_question"),
        (question(id=None), "bad_question"),
        (question(id=[1]), "bad_question"),
        ([1], "bad_question"),
        (question(path="../x.mp4"), "bad_record"),
        (question(path="video_dataset/youtube/none.mp4"), "missing_video"),
        (question(path="video_dataset/youtube/bare.mp4"), "question_without_record"),
        (question(path="video_dataset/youtube/rejected.mp4"), "question_without_record"),
    ],
)
def test_a_bad_question_is_rejected_and_the_others_stay(parse: Callable[..., Parsed], row: Any, reason: str) -> None:
    files = dict.fromkeys((PATH, "video_dataset/youtube/bare.mp4", "video_dataset/youtube/rejected.mp4"), b"video")
    rejected = annotation("video_dataset/youtube/rejected.mp4", video_split=None)
    parsed = parse([annotation(), rejected], [row, question(id="good")], files)
    assert [item.id for item in parsed.questions] == ["good"]
    assert [row.reason for row in parsed.rejected] == ["missing_split_time", reason]


def test_a_repeated_question_id_is_rejected(parse: Callable[..., Parsed]) -> None:
    assert rejection_of(parse([annotation()], [question(), question()]))[0] == "duplicate_question"


def test_a_video_that_is_published_cut_needs_no_split_time(parse: Callable[..., Parsed]) -> None:
    cut, bare = "first_part_video/youtube/one.mp4", "first_part_video/youtube/two.mp4"
    questions = [question(cut), question(bare, id="q2"), question(bare, id="q3")]
    parsed = parse([annotation(cut, video_split=None)], questions, {cut: b"video", bare: b"video"})
    assert [(record.video, record.already_cut, record.split_time) for record in parsed.records] == [
        (cut, True, None),
        (bare, True, None),
    ]
    assert parsed.records[1].caption is None
    assert [item.video_id for item in parsed.questions] == [record_id(cut), record_id(bare), record_id(bare)]


@pytest.mark.parametrize(
    ("content", "named"), [("{not json", "not JSON"), ('{"a": 1}', "expected a list"), ("\x80", "not JSON")]
)
def test_a_file_that_is_not_a_json_list_ends_the_run(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "annotations.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=named) as caught:
        parse_files(file, None, tmp_path)
    assert str(file) in str(caught.value)


def test_missing_files_and_folders_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        parse_files(tmp_path / "none.json", None, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        parse_files(tmp_path / "none.json", None, tmp_path / "none")


def test_the_order_of_the_rows_does_not_matter(parse: Callable[..., Parsed], tmp_path: Path) -> None:
    paths = [f"video_dataset/youtube/{name}.mp4" for name in "abcd"]
    files = dict.fromkeys(paths, b"video")
    for name, order in (("one", paths), ("two", paths[::-1])):
        rows = [annotation(path) for path in order]
        write_parsed(parse(rows, [question(path, id=path) for path in order], files), tmp_path / name)
    for file in ("records.jsonl", "questions.jsonl", "manifest.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_records_are_read_back_and_a_broken_row_is_named(parse: Callable[..., Parsed], tmp_path: Path) -> None:
    parsed = parse([annotation()])
    write_parsed(parsed, tmp_path)
    rows = read_jsonl(tmp_path / "records.jsonl")
    assert rows_as(Record, rows, "records.jsonl") == parsed.records
    with pytest.raises(InputError, match=r"records.jsonl, row 2: video"):
        rows_as(Record, [rows[0], {**rows[0], "video": 3}], "records.jsonl")


def test_the_script_ends_with_one_line_on_bad_input(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("[")
    script = [sys.executable, "scripts/parse_records.py", "--annotations", str(tmp_path / "annotations.json")]
    done = subprocess.run(
        [*script, "--videos", str(tmp_path), "--out-dir", str(tmp_path / "out")],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_real_annotations_give_a_record_each(tmp_path: Path) -> None:
    mini = mini_folder()
    annotations = json.loads((mini / ANNOTATIONS).read_text(encoding="utf-8"))
    for row in annotations:
        video = tmp_path / "videos" / row["video_path"]
        video.parent.mkdir(parents=True, exist_ok=True)
        video.write_bytes(b"video")
    parsed = parse_files(mini / ANNOTATIONS, mini / QUESTIONS, tmp_path / "videos")
    assert parsed.rejected == []
    assert {record.video: (record.split_time, record.split_scene) for record in parsed.records} == {
        "video_dataset/youtube/three cups.mp4": (8.6, 2),
        "video_dataset/youcook2/pour_over.mp4": (1.5, 1),
        "video_dataset/activitynet/v_juggle.mp4": (8.0, 1),
        "video_dataset/ego4d/flip-pancake.mkv": (8.0, 2),
        "video_dataset/Charades/baby'reading.mp4": (3.0, 1),
        "video_dataset/youcook2/fry carrots.avi": (1.6, 1),
        "video_dataset/youtube/日食/mirror.mp4": (5.6, 1),
        "video_dataset/activitynet/v_arm-wrestling.mp4": (5.5, 1),
    }
    assert len(parsed.questions) == 8
    assert "<image>" not in "".join(record.model_dump_json() for record in parsed.records)
