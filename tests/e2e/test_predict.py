"""A finished run's models asked about its videos on the command line, as the README tells it."""

import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.workflow import ROOT

from nep.cli import EXIT_BAD_INPUT
from nep.files import read_jsonl, write_jsonl

pytestmark = pytest.mark.e2e

COMMAND = re.compile(r"^python (scripts/predict\.py .*)$", re.MULTILINE)
# Of the demo's names, those of the small run.
NAMES = (("demo", "small"), ("lamps_001280", "lamps_000024"))


@pytest.fixture
def predict(small_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the entry point in the workplace; returns status, output and error output."""
    monkeypatch.chdir(small_run.workplace.root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["scripts/predict.py", *arguments])
        try:
            runpy.run_path(str(ROOT / "scripts/predict.py"), run_name="__main__")
            status = 0
        except SystemExit as ended:
            status = ended.code
        return status, *capsys.readouterr()

    return run


def test_the_readme_s_command_predicts_as_it_says(predict) -> None:
    (command,) = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    for name, small in NAMES:
        command = command.replace(name, small)
    status, told, _ = predict(*shlex.split(command)[1:])
    assert status == 0
    first, *rest = told.splitlines()
    assert re.fullmatch(r"results/small/\S+lamps_000024\.mp4, before [\d.]+ s: nep/grpo", first)
    assert re.fullmatch(r"chosen: .+", rest[-2])
    assert re.fullmatch(r"\(\d+ tokens, [\d.]+ s\)", rest[-1])


@pytest.mark.parametrize(
    ("model", "evaluated", "variant"), [("base", "base", "direct"), ("nep/grpo", "nep-grpo", "reason")]
)
def test_a_greedy_answer_is_the_one_that_the_evaluation_logged(
    small_run, predict, tmp_path: Path, model: str, evaluated: str, variant: str
) -> None:
    """Of the same questions, about videos that the evaluation saw cut and these calls cut themselves."""
    run = small_run.folder
    records = {row["id"]: row for row in read_jsonl(run / "records/records.jsonl")}
    questions = [row for row in read_jsonl(run / "convert/futurebench.jsonl") if row["kind"] == "hop2"]
    requests = [
        {
            "video": records[row["video_id"]]["video"],
            "at": records[row["video_id"]]["split_time"],
            "question": row["question"],
            "options": [row["options"][letter] for letter in "ABCD"],
            "variant": variant,
        }
        for row in questions
    ]
    write_jsonl(tmp_path / "asked.jsonl", requests)
    given = ["--from", str(tmp_path / "asked.jsonl"), "--root", str(run / "download/videos")]
    status, told, _ = predict(*given, "--run", "small", "--model", model, "--json")
    assert status == 0
    logged = {
        row["question_id"]: row
        for row in read_jsonl(run / f"evaluate/{evaluated}/samples.jsonl")
        if row["variant"] == variant and row["control"] is None
    }
    rows = [json.loads(line) for line in told.splitlines()]
    assert len(rows) == len(questions) == 4
    for question, row in zip(questions, rows, strict=True):
        sample = logged[question["id"]]
        assert (row["completion"], row["letter"]) == (sample["completion"], sample["parsed"])
        assert (row["model"], row["variant"]) == (model, variant)


def test_one_bad_video_of_several_is_named_and_the_others_are_asked(small_run, predict, tmp_path: Path) -> None:
    videos = sorted((small_run.folder / "download/videos").rglob("*.mp4"))[:2]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(videos[0].read_bytes()[:2000])
    asked = [str(path) for path in (videos[0], broken, videos[1])]
    status, told, said = predict(
        *asked, "--at", "1", "--run", "small", "--samples", "2", "--max-new-tokens", "3", "--json"
    )
    assert status == EXIT_BAD_INPUT
    assert f"{broken}: undecodable_video" in said
    assert said.endswith("error: 1 of 3 videos could not be used\n")
    rows = [json.loads(line) for line in told.splitlines()]
    assert [(row["video"], row.get("seed"), "error" in row) for row in rows] == [
        *((asked[0], seed, False) for seed in (0, 1)),
        (asked[1], None, True),
        *((asked[2], seed, False) for seed in (0, 1)),
    ]
    assert all(1 <= row["tokens"] <= 3 for row in rows if "error" not in row)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is asked"),
        (["https://videos.example/a.mp4", "--run", "small"], "nothing is fetched"),
        (["results/small", "--run", "other"], "results/other: no such folder"),
        (
            ["results/small", "--run", "small", "--model", "nep/dpo"],
            "no model 'nep/dpo'; it has base, nep/sft, nep/grpo",
        ),
        (["results/small", "--run", "small", "--endpoint", "http://127.0.0.1:9/v1"], "--endpoint and --name belong"),
        (["results/small", "--run", "small", "--samples", "2", "--temperature", "0"], "are all the same"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(predict, arguments: list[str], message: str) -> None:
    status, told, said = predict(*arguments)
    assert (status, told) == (EXIT_BAD_INPUT, "")
    assert said.startswith("error: ") and said.count("\n") == 1 and message in said
