"""What the README and the pages in docs/ tell a user to type or to write works: commands, files, rows, links."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from support.entry_points import ROOT
from support.workflow import Workplace, merged

from nep.config.whole import Config, load_config
from nep.data.questions import next_events
from nep.download.table import read_table
from nep.records.schema import parse_question, parse_record

README = (ROOT / "README.md").read_text(encoding="utf-8")
# With commands and configurations, which are tried.
USER_PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
PAGES = [*USER_PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md"]
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in USER_PAGES)
RECIPES = "config/recipes/"
# A Kubernetes job, which tests/unit/test_clusters.py reads.
POD = "pod.yaml"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\((?!https?://)([^)]+)\)|src="([^"]+)"')
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
RESULTS = re.compile(r"<!-- results:begin -->(.*)<!-- results:end -->", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
TARGET = re.compile(r"^([a-z-]+):.*$", re.MULTILINE)
VARIABLE = re.compile(r"^(\w+) \?=", re.MULTILINE)
# What a block of the language `sh` is for: commands that ask for programs that tests do not have.
NOT_RUN = ("conda", "apptainer", "vllm")
WIDTH = 120
SLURM_WITHOUT_CONDA = ["--software-deployment-method", "env-modules"]


def blocks(language: str, name: str | None = None) -> list[str]:
    """Texts of the fenced blocks of a language, and of a name where one is given."""
    return [text for kind, label, text in BLOCK.findall(TEXT) if kind == language and name in (None, label)]


def commands() -> list[list[str]]:
    """The words of every command, each command once."""
    lines = [line for text in blocks("bash") for line in text.splitlines() if line and not line.startswith("#")]
    return [shlex.split(line) for line in dict.fromkeys(lines)]


def read_yaml(path: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A copy of the workflow as a user has it, with the configurations, recipes and rewards that the pages show."""
    place = Workplace.make(tmp_path_factory.mktemp("readme") / "nep")
    (place.root / "slurm").symlink_to("profiles/slurm")
    for _, name, text in BLOCK.findall(TEXT):
        if name.endswith((".yaml", ".py")) and name != POD:
            (place.root / name).write_text(text, encoding="utf-8")
    return place


def test_there_are_commands_and_each_is_of_make_snakemake_or_an_entry_point() -> None:
    assert {words[0] for words in commands()} == {"make", "snakemake", "python"}
    assert ["make", "demo"] in commands() and ["make", "test"] in commands()


def test_only_commands_that_need_other_programs_are_not_tried() -> None:
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    assert lines and all(any(program in line for program in NOT_RUN) for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_text_wraps(page: str) -> None:
    """Tables, code and HTML cannot."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    if page == "README.md":
        text = RESULTS.sub("", text)
    long = [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith(("|", "<"))]
    assert not long


def test_the_readme_lists_every_page() -> None:
    assert set(USER_PAGES[1:]) <= set(re.findall(r"\]\((docs/\w+\.md)\)", README))


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "make"], ids=shlex.join)
def test_a_make_command_names_a_target_that_exists(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = [word.partition("=")[0] for word in words[1:] if "=" in word]
    targets = [word for word in words[1:] if "=" not in word]
    assert targets and set(targets) <= set(TARGET.findall(makefile))
    assert set(variables) <= set(VARIABLE.findall(makefile))


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "snakemake"], ids=shlex.join)
def test_a_snakemake_command_is_accepted(words: list[str], workplace: Workplace) -> None:
    arguments = words[1:]
    if "slurm" in arguments and not shutil.which("conda"):
        arguments += SLURM_WITHOUT_CONDA
    outcome = workplace.snakemake(*arguments, "-n")
    assert outcome.status == 0, outcome.text
    assert outcome.planned(), outcome.text


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "python"], ids=shlex.join)
def test_a_python_command_names_an_entry_point_and_its_options(words: list[str]) -> None:
    script, *arguments = words[1:]
    text = (ROOT / script).read_text(encoding="utf-8")
    options = [word for word in arguments if word.startswith("--")]
    assert [option for option in options if f'"{option}"' not in text] == []


def test_the_results_shown_are_the_recorded_ones() -> None:
    script = [sys.executable, "benchmarks/demo_seeds.py", "--show"]
    environment = {**os.environ, "PYTHONPATH": "scripts"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    shown = RESULTS.search(README)[1]
    assert done.stdout.count("\n") > 2 and done.stdout in shown


def test_inline_make_commands_exist_too() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = set(re.findall(r"`make\s([a-z-]+)", TEXT))
    assert {"setup", "help"} <= named <= targets


def test_complete_configurations_are_valid() -> None:
    complete = [text for name in complete_names() for text in blocks("yaml", name)]
    assert complete
    for text in complete:
        load_config(yaml.safe_load(text))


def test_partial_configurations_are_valid_changes_of_the_demo() -> None:
    parts = [text for kind, name, text in BLOCK.findall(TEXT) if kind == "yaml" and name.startswith(("merge", RECIPES))]
    assert len(parts) + len(complete_names()) + len(blocks("yaml", POD)) == len(blocks("yaml")) and parts
    for text in parts:
        load_config(merged(read_yaml("config/config.yaml"), yaml.safe_load(text)))


def complete_names() -> list[str]:
    named = [name for kind, name, _ in BLOCK.findall(TEXT) if kind == "yaml" and name.endswith(".yaml")]
    return [name for name in named if not name.startswith(RECIPES) and name != POD]


def test_named_keys_exist() -> None:
    """Every `block.key` that the pages name in code is a key of the configuration."""
    fields = Config.model_fields
    named = [
        pair
        for pair in re.findall(r"`(\w+)\.(\w+)`", TEXT)
        if pair[0] in fields and pair[1] not in ("yaml", "json", "jsonl", "csv", "html")
    ]
    assert len(named) > 8
    for block, key in named:
        # A block that a run may lack is a union with None.
        (found, *_) = (*get_args(fields[block].annotation), fields[block].annotation)
        assert key in found.model_fields, f"{block}.{key}"


def test_the_record_shown_has_a_split_time_and_an_event_to_ask_for() -> None:
    (text,) = blocks("json", "record")
    row = json.loads(text)
    record = parse_record(row, row["video_path"], row["video_path"], already_cut=False)
    assert record.split_time == 7.5 and record.split_scene == 2
    assert record.caption_part2 and next_events(record, 1) == ["She drops an egg into the water"]


def test_the_question_shown_has_a_right_answer() -> None:
    (text,) = blocks("json", "question")
    question = parse_question(json.loads(text), "kitchen-0001-a", "some-record")
    assert (question.kind, question.answer) == ("hop1", "B")


def test_the_table_shown_gives_the_same_split_and_events(tmp_path: Path) -> None:
    (text,) = blocks("csv", "clips.csv")
    (tmp_path / "clips.csv").write_text(text, encoding="utf-8")
    (row,) = read_table(tmp_path / "clips.csv", {"video_path": "file"})
    record = parse_record(row, row["video_path"], row["video_path"], already_cut=False)
    assert (record.video, record.split_time, record.split_scene) == ("kitchen/0001.mp4", 7.5, 2)
    assert record.caption_part2 and next_events(record, 1) == ["She drops an egg"]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    missing = [link for link in links(ROOT / page) if not leads_somewhere(ROOT / page, link)]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:config|docs|envs|profiles|requirements|rules|scripts|tests|tools|nep)/[\w./-]+)`", text)
    shown = complete_names()
    missing = [name for name in named if name not in shown and not any(map(Path.exists, places(name)))]
    assert not missing


def links(page: Path) -> Iterator[str]:
    """Relative links and images of a page, comments left out."""
    for found in LINK.findall(COMMENT.sub("", page.read_text(encoding="utf-8"))):
        yield next(filter(None, found))


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file is there, and the heading where the link names one."""
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    if not anchor or not target.is_file():
        return target.exists()
    headings = HEADING.findall(target.read_text(encoding="utf-8"))
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def places(name: str) -> list[Path]:
    return [ROOT / name, ROOT / "scripts" / name]


def test_a_place_for_the_results_is_marked() -> None:
    assert re.search(r"<!-- results:begin -->\n.+\n<!-- results:end -->", README, re.DOTALL)
