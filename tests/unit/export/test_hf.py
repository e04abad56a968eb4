"""The folder for Hugging Face `datasets`, read by `load_dataset` itself."""

import shutil
from pathlib import Path

import pytest
import yaml
from datasets import Features, List, Value, get_dataset_config_names, load_dataset
from support.rows import seed_question

from nep.data.convert import seedbench_file
from nep.errors import InputError
from nep.export.hf import SCHEMAS, export_run, size_category, to_table
from nep.files import read_json, read_jsonl, sha256_of_file, write_jsonl

TEXT = Value("string")
CLIP = {**dict.fromkeys(("id", "video_id", "source", "view"), TEXT), "videos": List(TEXT)}
DIALOGUE = {**CLIP, "messages": List({"role": TEXT, "content": TEXT})}
FEATURES = {
    "next_event": Features(DIALOGUE),
    "mix": Features({**DIALOGUE, "component": TEXT}),
    "next_event_mc": Features({**CLIP, "kind": TEXT, "problem": TEXT, "answer": TEXT}),
    "futurebench": Features(
        {
            **dict.fromkeys(("id", "video_id", "kind", "question"), TEXT),
            "options": dict.fromkeys("ABCD", TEXT),
            "options_inline": Value("bool"),
            "answer": TEXT,
            "video": TEXT,
            "record": {
                "source": TEXT,
                "split_time": Value("float64"),
                **dict.fromkeys(("caption", "caption_part1", "caption_part2"), TEXT),
                "events": List({"scene": Value("int64"), "description": TEXT}),
            },
        }
    ),
}


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf") / "hf"
    export_run(run, folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's cache of a test is not that of the user."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_every_set_with_rows_is_a_configuration(run: Path, exported: Path) -> None:
    files = read_json(run / "convert/manifest.json")["files"]
    names = {name: Path(name).name.split(".")[0] for name, file in files.items() if file["rows"]}
    of_sft = {dataset for name, dataset in names.items() if name.startswith("sft/")}
    shared = {dataset for name, dataset in names.items() if name.startswith("grpo/")} & of_sft
    assert shared == {"full_mc_qa"}
    found = get_dataset_config_names(str(exported))
    assert sorted(found) == sorted({*names.values(), *(f"{dataset}_grpo" for dataset in shared)})


@pytest.mark.parametrize("name", FEATURES)
def test_the_types_are_those_that_are_stated(name: str, exported: Path) -> None:
    for split in load_dataset(str(exported), name).values():
        assert split.features == FEATURES[name]


def test_the_rows_are_those_of_the_run_by_split(run: Path, exported: Path) -> None:
    loaded = load_dataset(str(exported), "next_event")
    for split, file in (("train", "next_event.json"), ("validation", "next_event.validation.json")):
        rows = read_json(run / "convert/sft" / file)
        assert rows and list(loaded[split]) == rows
    questions = read_jsonl(run / "convert/grpo/next_event_mc.jsonl")
    loaded = load_dataset(str(exported), "next_event_mc")
    for split in ("train", "validation"):
        assert [{**row, "part": split} for row in loaded[split]] == [row for row in questions if row["part"] == split]
    questions = read_jsonl(run / "convert/grpo/full_mc_qa.jsonl")
    assert len(load_dataset(str(exported), "full_mc_qa_grpo")["train"]) == sum(
        row["part"] == "train" for row in questions
    )
    assert list(load_dataset(str(exported), "full_mc_qa")["train"]) == read_json(run / "convert/sft/full_mc_qa.json")
    assert list(load_dataset(str(exported), "futurebench")["test"]) == read_jsonl(run / "convert/futurebench.jsonl")


def test_the_card_says_how_the_videos_were_divided(run: Path, exported: Path) -> None:
    divided = read_json(run / "convert/manifest.json")["records"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert f"{divided['train']:,} videos are for training, {divided['validation']:,} for validation." in card
    for reason, count in divided["left_out"].items():
        assert f"{reason.replace('_', ' ')} {count:,}" in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["task_categories"], header["size_categories"]) == (["video-text-to-text"], ["n<1K"])


def test_the_card_says_what_was_left_out_and_what_questions_give_away(run: Path, exported: Path) -> None:
    files = read_json(run / "convert/manifest.json")["files"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    lacking = {name: file["left_out"] for name, file in files.items() if file["left_out"]}
    assert lacking
    for name, reasons in lacking.items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"| `{name}` | ") and line.count("|") == 3]
        assert all(f"{reason.replace('_', ' ')} {count:,}" in line for reason, count in reasons.items())
    choices = {name: file for name, file in files.items() if "option_bias" in file and file["rows"]}
    assert choices
    for name, file in choices.items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"| `{name}` | ") and line.count("|") > 3]
        figures = [cell.split("(")[0].strip() for cell in line.split("|")[3:-1]]
        assert figures == [f"{rule['rate']:.1f}" for rule in file["option_bias"].values()]
        text_only = file["text_only"]
        assert (f"| {text_only['accuracy']:.1f} (" if text_only else "| too few videos |") in line


def test_sizes_are_named_as_the_hub_names_them() -> None:
    found = {rows: size_category(rows) for rows in (999, 1000, 33_206, 10**6, 10**8)}
    assert found == {
        999: "n<1K",
        1000: "1K<n<10K",
        33_206: "10K<n<100K",
        10**6: "1M<n<10M",
        10**8: "n>10M",
    }


def test_it_loads_where_it_was_moved_to(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "elsewhere")
    assert load_dataset(str(tmp_path / "elsewhere"), "distill")["train"].num_rows > 0


def test_same_rows_same_bytes(run: Path, exported: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "again")
    files = [path.relative_to(exported) for path in sorted(exported.rglob("*")) if path.is_file()]
    assert len(files) > 10
    for file in files:
        assert sha256_of_file(exported / file) == sha256_of_file(tmp_path / "again" / file), file


def test_a_row_with_an_unknown_column_or_type_is_named() -> None:
    row = {"id": "a", "video_id": "v", "source": "s", "view": "first", "videos": ["v.mp4"], "kind": "hop1"}
    row["problem"] = "?"
    with pytest.raises(InputError, match=r"mc\.jsonl: row 'a': .*differs: answer"):
        to_table([row], SCHEMAS["grpo"], "mc.jsonl")
    with pytest.raises(InputError, match=r"mc\.jsonl: row 'a': .*differs: more"):
        to_table([{**row, "answer": "A", "more": 1}], SCHEMAS["grpo"], "mc.jsonl")
    with pytest.raises(InputError, match=r"mc\.jsonl: a value has not the type"):
        to_table([{**row, "answer": 1}], SCHEMAS["grpo"], "mc.jsonl")


def test_events_are_a_column_of_a_set_that_has_any(run: Path, tmp_path: Path) -> None:
    convert = shutil.copytree(run / "convert", tmp_path / "run/convert")
    rows = read_jsonl(convert / "grpo/next_event_mc.jsonl")
    write_jsonl(convert / "grpo/next_event_mc.jsonl", [{**rows[0], "events": ["A cup falls."]}, *rows[1:]])
    export_run(tmp_path / "run", tmp_path / "hf")
    loaded = load_dataset(str(tmp_path / "hf"), "next_event_mc")
    found = {row["id"]: row["events"] for split in loaded.values() for row in split}
    assert found == {row["id"]: ["A cup falls."] if row is rows[0] else [] for row in rows}


def test_the_questions_of_seedbench_fit_their_columns() -> None:
    rows = [row.to_json() for row in seedbench_file([seed_question("l1-a")]).rows]
    assert to_table(rows, SCHEMAS["seedbench_r1"], "seedbench_r1.jsonl").to_pylist() == rows
