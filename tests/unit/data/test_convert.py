import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from support.rows import lost

from mini_clips import ANNOTATIONS, QUESTIONS, mini_folder
from nep.config.convert import Convert
from nep.data.convert import convert_run
from nep.data.draw import take_first_by_hash
from nep.data.prompts import Prompts
from nep.data.sft_sets import SFT_SETS, balance_conclusions
from nep.dedup.signature import GRID, TIMES_S, Signature, to_json
from nep.errors import InputError
from nep.files import read_json, read_jsonl, sha256_of_file
from nep.records.parse import parse_files, write_parsed
from nep.rows.base import write_rows
from nep.rows.dataset import SftRow, read_sft
from nep.rows.question import SeedQuestion
from nep.rows.signature import SignedVideo

REPO = Path(__file__).parents[3]
Make = Callable[..., Any]
CONFIG = Convert(prompts=str(REPO / "config/prompts.yaml"), validation_fraction=0.2, hops=[1, 2])


@pytest.fixture
def convert(tmp_path: Path, split_row: Make) -> Make:
    """Convert records and questions that need no files; returns the output folder."""

    def run(
        records: list,
        questions: list = (),
        config: Convert = CONFIG,
        seed: int = 5,
        rows: Any = None,
        seedbench: list = (),
        signatures: dict[str, Signature] | None = None,
    ) -> Path:
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        write_rows(tmp_path / "records.jsonl", records)
        write_rows(tmp_path / "questions.jsonl", questions)
        write_rows(tmp_path / "split.jsonl", rows or [split_row(record) for record in records])
        write_rows(tmp_path / "seedbench.jsonl", seedbench)
        signed = [SignedVideo(id=name, signature=to_json(found)) for name, found in (signatures or {}).items()]
        write_rows(tmp_path / "signatures.jsonl", signed)
        names = ("records.jsonl", "questions.jsonl", "split.jsonl")
        others = {name: tmp_path / f"{name}.jsonl" for name in ("seedbench", "signatures")}
        convert_run(*(tmp_path / name for name in names), config, seed, out, **others)
        return out

    return run


def rows_by_id(path: Path) -> dict[str, dict[str, Any]]:
    rows = read_jsonl(path) if path.suffix == ".jsonl" else read_json(path)
    return {row["id"]: row for row in rows}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def content(row: dict[str, Any], role: str) -> str:
    (text,) = [message["content"] for message in row["messages"] if message["role"] == role]
    return text


def test_each_data_set_has_its_view_and_target(convert: Make, make_record: Make) -> None:
    record = make_record(3)
    out = convert([record], config=CONFIG.model_copy(update={"validation_fraction": 0.0}))
    critique = rows_by_id(out / "sft/critique.json")
    assert critique == {}
    expected = {
        "next_event": ("first", "Part two 3."),
        "distill": ("first", "<think>\nReasoning 3.\n</think>\n<answer>\nPrediction 3.\n</answer>"),
        "full_caption": ("full", "Caption 3."),
        "full_oe_qa": ("full", "Thing 3."),
        "whole_video_next": ("full", "Part two 3."),
        "previous_event": ("second", "Part one 3."),
    }
    clips = {
        "first": f"segments/first/{record.id}.mp4",
        "second": f"segments/second/{record.id}.mp4",
        "full": f"download/videos/{record.video}",
    }
    for name, (view, target) in expected.items():
        (row,) = rows_by_id(out / f"sft/{name}.json").values()
        assert (row["view"], row["video_id"], row["videos"]) == (view, record.id, [clips[view]])
        assert content(row, "assistant") == target
        assert content(row, "user").startswith("<video>")
        assert content(row, "user").count("<video>") == 1


def test_questions_come_from_the_right_place(convert: Make, make_record: Make, prompts: Any) -> None:
    out = convert([make_record(number) for number in range(30)])
    pools = prompts.question_pools
    for name in ("next_event", "distill", "full_caption", "previous_event"):
        pool = getattr(pools, "next_event" if name == "distill" else name)
        rows = rows_by_id(out / f"sft/{name}.json").values()
        assert {content(row, "user").removeprefix("<video>") for row in rows} <= set(pool)
    assert {content(row, "system") for row in rows_by_id(out / "sft/distill.json").values()} == {prompts.system.distill}
    whole = rows_by_id(out / "sft/whole_video_next.json").values()
    assert all('"Event 2 of ' in content(row, "user") for row in whole)
    answers = [content(row, "assistant") for row in rows_by_id(out / "sft/full_mc_qa.json").values()]
    assert set(answers) == {"A", "B"}
    row = next(iter(rows_by_id(out / "sft/critique.json").values()))
    number = row["video_id"].split("-")[1].removeprefix("clip")
    assert content(row, "system") == prompts.system.cft
    question, solution = content(row, "user").removeprefix("<video>Question:\n").split("\n\nSolution:\n")
    assert question in pools.next_event
    assert solution == f"Reasoning {number}.\n\nPrediction {number}."
    assert content(row, "assistant").startswith(f"Critique:\nCritique {number}.\n\nConclusion:\n")
    assert content(row, "assistant").splitlines()[-1] in ("right.", "wrong.")


def test_answered_questions_name_the_right_option(convert: Make, make_record: Make, prompts: Prompts) -> None:
    out = convert([make_record(number) for number in range(60)])
    asked = rows_by_id(out / "grpo/next_event_mc.jsonl")
    for hops, (part, suffix) in itertools.product((1, 2), {"train": "json", "validation": "validation.json"}.items()):
        reasoned = rows_by_id(out / f"sft/mc_reason_hop{hops}.{suffix}")
        wanted = {key for key, row in asked.items() if row["part"] == part and row["kind"] == f"hop{hops}"}
        assert reasoned.keys() == wanted != set()
        for key, row in reasoned.items():
            question, answer = content(row, "user"), content(row, "assistant")
            thought, letter = (
                answer.removeprefix("<think>\n").removesuffix("\n</answer>").split("\n</think>\n<answer>\n")
            )
            assert question == asked[key]["problem"]
            assert letter == asked[key]["answer"]
            assert f"\n{letter}. {thought}\n" in question
        direct = rows_by_id(out / f"sft/mc_direct_hop{hops}.{suffix}")
        assert direct.keys() == reasoned.keys()
        for key, row in direct.items():
            assert content(row, "assistant") == asked[key]["answer"]
            assert content(row, "user").splitlines()[:-1] == asked[key]["problem"].splitlines()[:-1]
            assert content(row, "user").splitlines()[-1] == prompts.instructions.direct


def test_a_further_record_changes_no_other_row(convert: Make, make_record: Make) -> None:
    records = [make_record(number) for number in range(40)]
    before = convert(records)
    after = convert([make_record(77), *records[::-1]])
    for entry in SFT_SETS:
        if not entry.balance_conclusions:
            rows = rows_by_id(before / f"sft/{entry.name}.json")
            later = rows_by_id(after / f"sft/{entry.name}.json")
            assert rows.items() <= later.items()
    assert (
        rows_by_id(before / "grpo/next_event_mc.jsonl").items()
        <= rows_by_id(after / "grpo/next_event_mc.jsonl").items()
    )


def test_the_order_of_the_input_does_not_change_a_byte(convert: Make, make_record: Make) -> None:
    records = [make_record(number) for number in range(30)]
    one, two = convert(records), convert(records[::-1])
    files = files_below(one)
    assert "manifest.json" in files and files == files_below(two)
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_another_seed_asks_otherwise(convert: Make, make_record: Make) -> None:
    records = [make_record(number) for number in range(30)]
    one, two = convert(records, seed=1), convert(records, seed=2)
    assert set(rows_by_id(one / "sft/next_event.json")) == set(rows_by_id(two / "sft/next_event.json"))
    assert (one / "sft/next_event.json").read_bytes() != (two / "sft/next_event.json").read_bytes()


def test_validation_and_evaluation_videos_are_not_trained_on(
    convert: Make, make_record: Make, make_question: Make
) -> None:
    records = [make_record(number) for number in range(60)]
    questions = [make_question(record, number) for number, record in enumerate(records[::7])]
    asked = {question.video_id for question in questions}
    out = convert(records, questions)
    grpo = rows_by_id(out / "grpo/next_event_mc.jsonl").values()
    validation = {row["video_id"] for row in grpo if row["part"] == "validation"}
    trained = {row["video_id"] for row in grpo if row["part"] == "train"}
    for entry in SFT_SETS:
        trained |= {row["video_id"] for row in read_json(out / f"sft/{entry.name}.json")}
        validation |= {row["video_id"] for row in read_json(out / f"sft/{entry.name}.validation.json")}
    assert trained and validation and asked
    assert trained | validation | asked == {record.id for record in records}
    assert not trained & validation
    assert not (trained | validation) & asked
    trained_text = (out / "sft/next_event.json").read_text() + (out / "grpo/next_event_mc.jsonl").read_text()
    for question in questions:
        number = question.video_id.split("-")[1].removeprefix("clip")
        assert f"Part two {number}." not in trained_text
        assert f" of {number}\\n" not in trained_text


def test_missing_texts_are_counted_and_the_manifest_is_true(convert: Make, make_record: Make) -> None:
    records = [
        make_record(0, caption_part2=None),
        make_record(1, reasoning=None, mc_qa=[]),
        make_record(2, conclusion=None, split_scene=None),
        make_record(3),
        make_record(4),
    ]
    out = convert(records, config=CONFIG.model_copy(update={"validation_fraction": 0.0}))
    manifest = read_json(out / "manifest.json")
    left_out = {path: entry["left_out"] for path, entry in manifest["files"].items() if entry["left_out"]}
    assert left_out["sft/next_event.json"] == {"no_caption_part2": 1}
    assert left_out["sft/distill.json"] == {"no_reasoning": 1}
    assert left_out["sft/full_mc_qa.json"] == {"no_mc_qa": 1}
    assert left_out["sft/whole_video_next.json"] == {"no_caption_part2": 1, "no_event": 1}
    assert left_out["sft/critique.json"] == {
        "no_reasoning": 1,
        "no_conclusion": 1,
        "surplus_conclusion": 2,
    }
    assert left_out["grpo/next_event_mc.jsonl"] == {"no_split_scene": 2}
    assert manifest["records"] == {"split": 5, "left_out": {}, "train": 5, "validation": 0}
    assert {*manifest["files"], "manifest.json"} == files_below(out)
    for path, entry in manifest["files"].items():
        assert entry["rows"] == len(rows_by_id(out / path))
        assert entry["sha256"] == sha256_of_file(out / path)


def test_futurebench_rows_hold_the_first_part_alone(
    convert: Make, make_record: Make, make_question: Make, split_row: Make
) -> None:
    good, bad = make_record(1), make_record(2)
    rows = [split_row(good), lost(bad.id, "split_timeout")]
    questions = [make_question(good, 1), make_question(bad, 2)]
    out = convert([good, bad], questions, rows=rows)
    (row,) = read_jsonl(out / "futurebench.jsonl")
    assert row["video"] == f"segments/first/{good.id}.mp4"
    assert row["record"]["caption_part2"] == "Part two 1."
    assert {key: row[key] for key in questions[0].model_dump()} == questions[0].model_dump(mode="json")
    assert read_json(out / "manifest.json")["files"]["futurebench.jsonl"]["left_out"] == {"not_split": 1}


@pytest.mark.parametrize(
    ("right", "wrong", "kept_right", "kept_wrong"),
    [(10, 100, 10, 21), (10, 21, 10, 21), (10, 20, 9, 20), (50, 21, 10, 21), (0, 5, 0, 0), (5, 0, 0, 0), (3, 9, 3, 6)],
)
def test_critique_keeps_the_ratio(right: int, wrong: int, kept_right: int, kept_wrong: int) -> None:
    words = ["right"] * right + ["wrong"] * wrong
    same = {"source": "s", "view": "first", "videos": (), "messages": ()}
    rows = [SftRow(id=f"r{number}", video_id=f"v{number}", **same) for number in range(len(words))]
    conclusions = {f"v{number}": word for number, word in enumerate(words)}
    kept = balance_conclusions(rows, conclusions, 2.1, seed=1)
    found = [conclusions[row.video_id] for row in kept]
    assert (found.count("right"), found.count("wrong")) == (kept_right, kept_wrong)
    assert kept == [row for row in rows if row in kept]


def test_the_files_load_as_hugging_face_datasets(
    convert: Make, make_record: Make, make_question: Make, tmp_path: Path
) -> None:
    records = [make_record(number) for number in range(30)]
    out = convert(records, [make_question(records[0])])
    files = ["sft/next_event.json", "sft/distill.json", "grpo/next_event_mc.jsonl", "futurebench.jsonl"]
    for file in files:
        loaded = load_dataset("json", data_files=str(out / file), split="train", cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == list(rows_by_id(out / file).values())


def test_rows_of_one_id_are_bad_input(convert: Make, make_record: Make) -> None:
    with pytest.raises(InputError, match="more than once"):
        convert([make_record(1), make_record(1)])


def test_a_missing_prompts_file_is_bad_input_and_nothing_is_written(
    convert: Make, make_record: Make, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no such file"):
        convert([make_record(1)], config=CONFIG.model_copy(update={"prompts": str(tmp_path / "none.yaml")}))
    assert not list(tmp_path.glob("out*"))


def test_the_script_converts_the_real_annotations(tmp_path: Path, split_row: Make) -> None:
    mini = mini_folder()
    for row in json.loads((mini / ANNOTATIONS).read_text(encoding="utf-8")):
        video = tmp_path / "videos" / row["video_path"]
        video.parent.mkdir(parents=True, exist_ok=True)
        video.write_bytes(b"video")
    parsed = parse_files(mini / ANNOTATIONS, mini / QUESTIONS, tmp_path / "videos")
    write_parsed(parsed, tmp_path)
    write_rows(tmp_path / "split.jsonl", (split_row(record) for record in parsed.records))
    config = {"hold_out_evaluation_videos": False, "validation_fraction": 0.0, "hops": [1]}
    options = {
        "--records": tmp_path / "records.jsonl",
        "--questions": tmp_path / "questions.jsonl",
        "--seedbench": tmp_path / "seedbench_r1.jsonl",
        "--split-manifest": tmp_path / "split.jsonl",
        "--convert": json.dumps(config),
        "--seed": 0,
        "--out-dir": tmp_path / "convert",
    }
    arguments = [str(part) for option in options.items() for part in option]
    subprocess.run([sys.executable, "scripts/convert_datasets.py", *arguments], cwd=REPO, check=True)
    assert len(read_json(tmp_path / "convert/sft/next_event.json")) == 8
    assert len(read_jsonl(tmp_path / "convert/futurebench.jsonl")) == 8
    critiques = read_json(tmp_path / "convert/sft/critique.json")
    words = [content(row, "assistant").splitlines()[-1] for row in critiques]
    assert (words.count("right."), words.count("wrong.")) == (1, 3)


def test_mix_has_equal_parts_at_every_size(convert: Make, make_record: Make) -> None:
    records = [make_record(number, source=("youtube", "ego4d")[number % 5 == 0]) for number in range(120)]
    out = convert(records)
    parts = {name: rows_by_id(out / f"sft/{name}.json") for name in ("next_event", "critique", "distill")}
    rows = read_json(out / "sft/mix.json")
    smallest = min(map(len, parts.values()))
    assert Counter(row["component"] for row in rows) == dict.fromkeys(parts, smallest)
    for row in rows:
        of_part = parts[row["component"]][row["id"].removeprefix(f"{row['component']}-")]
        assert row == {**of_part, "id": row["id"], "component": row["component"]}
    videos = {name: {row["video_id"] for row in rows if row["component"] == name} for name in parts}
    assert videos["next_event"] != videos["distill"], "each part takes its own videos"
    for size in (3, 30, 31):
        taken = Counter(row.component for row in take_first_by_hash(read_sft(out / "sft/mix.json"), size, 5))
        assert max(taken.values()) - min(taken.values()) <= size % 3
    manifest = read_json(out / "manifest.json")["files"]["sft/mix.json"]
    assert manifest["left_out"] == {"surplus_in_part": sum(map(len, parts.values())) - len(rows)}


def test_every_training_row_names_its_source(convert: Make, make_record: Make) -> None:
    records = [make_record(number, source=("youtube", "ego4d")[number % 2]) for number in range(60)]
    sources = {record.id: record.source for record in records}
    out = convert(records)
    for path in [*(out / "sft").iterdir(), *(out / "grpo").iterdir()]:
        assert all(row["source"] == sources[row["video_id"]] for row in rows_by_id(path).values()), path.name


def test_the_manifest_says_what_questions_give_away(convert: Make, make_record: Make, make_question: Make) -> None:
    records = [make_record(number) for number in range(60)]
    questions = [make_question(record, number) for number, record in enumerate(records[:12])]
    files = read_json(convert(records, questions) / "manifest.json")["files"]
    with_choices = {path for path, entry in files.items() if "option_bias" in entry}
    assert with_choices == {"grpo/next_event_mc.jsonl", "grpo/next_caption_mc.jsonl", "futurebench.jsonl"}
    for path in with_choices:
        assert files[path]["option_bias"].keys() == {"longest", "shortest", "most_overlapping", "least_overlapping"}
        assert files[path]["text_only"].keys() == {"n", "accuracy", "ci_low", "ci_high", "method"}
        assert files[path]["text_only"]["n"] == files[path]["rows"]
    # All of these questions have the answer C.
    assert files["futurebench.jsonl"]["text_only"]["accuracy"] == 100.0
    assert files["grpo/full_mc_qa.jsonl"]["left_out"] == {"no_options": 96}


def seed_question(number: int, **changes: Any) -> SeedQuestion:
    values = {
        "id": f"seedbench-r1-l1-{number}",
        "video_id": f"seedbench-r1-v{number}",
        "level": "l1",
        "source": "ego4d",
        "question": "What is done next?",
        "options": {letter: f"option {letter}" for letter in "ABCD"},
        "answer": "B",
        "video": f"videos/ego4d/v{number}.mp4",
        "image": f"images/ego4d/v{number}.png",
        "whole_videos": (f"ego4d/v{number}",),
    }
    return SeedQuestion.model_validate({**values, **changes})


def test_seedbench_rows_have_the_form_of_futurebench_and_an_image(convert: Make, make_record: Make) -> None:
    out = convert([make_record(1)], seedbench=[seed_question(2, level="l3"), seed_question(1, video=None)])
    one, two = read_jsonl(out / "seedbench_r1.jsonl")
    assert one == {
        "id": "seedbench-r1-l1-1",
        "video_id": "seedbench-r1-v1",
        "kind": "l1",
        "question": "What is done next?",
        "options": {letter: f"option {letter}" for letter in "ABCD"},
        "options_inline": False,
        "answer": "B",
        "video": None,
        "image": "download/videos/images/ego4d/v1.png",
        "record": {"source": "ego4d"},
    }
    assert (two["kind"], two["video"]) == ("l3", "download/videos/videos/ego4d/v2.mp4")


def test_a_seedbench_video_is_held_out_by_its_name(convert: Make, make_record: Make) -> None:
    records = [make_record(number) for number in range(20)]
    name = records[4].whole_video
    out = convert(records, seedbench=[seed_question(1, whole_videos=(name,))])
    assert (
        records[4].id not in (out / "sft/next_event.json").read_text() + (out / "grpo/next_event_mc.jsonl").read_text()
    )
    assert read_json(out / "manifest.json")["records"]["left_out"] == {"held_out_for_evaluation": 1}


def looks(number: int) -> Signature:
    grids = np.random.default_rng(number).integers(0, 256, (4, GRID, GRID, 3)).astype(np.uint8)
    return dict(zip(TIMES_S, grids, strict=False))


def test_a_training_video_that_looks_like_an_evaluation_video_ends_the_run(
    convert: Make, make_record: Make, make_question: Make, tmp_path: Path
) -> None:
    records = [make_record(number) for number in range(20)]
    signatures = {record.id: looks(number) for number, record in enumerate(records)}
    questions = [make_question(records[3])]
    convert(records, questions, signatures=signatures)
    signatures[records[8].id] = {time: grid // 2 + 60 for time, grid in looks(3).items()}
    with pytest.raises(InputError) as error:
        convert(records, questions, signatures=signatures)
    message = str(error.value)
    assert f"{records[8].id} ({records[8].video}) looks like evaluation video {records[3].id}: distance 0" in message
    assert "convert.near_duplicates: hold_out" in message
    assert len(list(tmp_path.glob("out*"))) == 1, "nothing is written"
    with pytest.raises(InputError, match=r"looks like evaluation video seedbench-r1-v1"):
        convert(records, seedbench=[seed_question(1)], signatures={**signatures, "seedbench-r1-v1": looks(5)})


def test_near_duplicates_are_held_out_where_asked(convert: Make, make_record: Make, make_question: Make) -> None:
    records = [make_record(number) for number in range(20)]
    signatures = {record.id: looks(number) for number, record in enumerate(records)} | {records[8].id: looks(3)}
    hold_out = CONFIG.model_copy(update={"near_duplicates": "hold_out"})
    out = convert(records, [make_question(records[3])], config=hold_out, signatures=signatures)
    left_out = read_json(out / "manifest.json")["records"]["left_out"]
    assert left_out == {"held_out_for_evaluation": 1, "near_duplicate_of_evaluation": 1}
    assert records[8].id not in "".join(path.read_text() for path in out.glob("*/*.json*"))
    strict = CONFIG.model_copy(update={"near_duplicate_distance": 0.0})
    signatures[records[8].id] = {time: np.clip(grid, 9, 250) for time, grid in looks(3).items()}
    assert (
        "near_duplicate"
        not in (
            convert(records, [make_question(records[3])], config=strict, signatures=signatures) / "manifest.json"
        ).read_text()
    )


def test_looks_do_not_count_where_evaluation_videos_are_trained_on(
    convert: Make, make_record: Make, make_question: Make
) -> None:
    records = [make_record(number) for number in range(20)]
    both = CONFIG.model_copy(update={"hold_out_evaluation_videos": False})
    signatures = {record.id: looks(1) for record in records}
    out = convert(records, [make_question(records[3])], config=both, signatures=signatures)
    assert read_json(out / "manifest.json")["records"]["left_out"] == {}


def test_rows_hold_no_path_that_depends_on_where_the_run_was_started(
    convert: Make, make_record: Make, make_question: Make
) -> None:
    records = [make_record(number) for number in range(30)]
    out = convert(records, [make_question(records[3])], seedbench=[seed_question(1)])
    rows = [row for path in out.glob("*/*.json*") for row in rows_by_id(path).values()]
    paths = [path for row in rows for path in row["videos"]]
    paths += [row["video"] for name in ("futurebench", "seedbench_r1") for row in read_jsonl(out / f"{name}.jsonl")]
    assert {path.split("/")[0] for path in paths} == {"segments", "download"}
    assert str(out.parent) not in "".join(path.read_text() for path in out.rglob("*.json*"))
