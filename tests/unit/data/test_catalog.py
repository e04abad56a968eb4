from pathlib import Path

import pytest
import yaml

from nep.config.whole import load_config
from nep.data.catalog import check_datasets, dataset_names
from nep.data.convert import convert_run
from nep.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATIONS = [
    *(path for path in sorted((ROOT / "config").glob("*.yaml")) if path.name != "prompts.yaml"),
    *sorted((ROOT / "tests/configs").glob("*.yaml")),
]


def configuration(stage: str, name: str) -> dict:
    return {
        "run": "demo",
        "source": {"kind": "folder", "path": "data"},
        "model": {"kind": "folder", "path": "model"},
        "convert": {"hops": [1, 2]},
        "experiments": {"nep": {stage: {"datasets": {name: None}}}},
    }


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_every_configuration_names_sets_that_there_are(path: Path) -> None:
    check_datasets(load_config(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize(
    ("stage", "name", "hint"),
    [
        ("sft", "next_evnt", "did you mean 'next_event'?"),
        ("sft", "mc_reason_hop3", "did you mean 'mc_reason_hop"),
        ("grpo", "next_event", "did you mean 'next_event_mc'?"),
    ],
)
def test_an_unknown_set_is_named_with_the_ones_there_are(stage: str, name: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        check_datasets(load_config(configuration(stage, name)))
    assert f"experiments.nep.{stage}.datasets: '{name}' is no data set" in str(error.value)
    assert hint in str(error.value)


def test_the_names_are_those_of_the_files(tmp_path: Path) -> None:
    for file in ("records.jsonl", "questions.jsonl", "split.jsonl"):
        (tmp_path / file).write_text("")
    config = load_config(configuration("sft", "next_event")).convert
    config = config.model_copy(update={"prompts": str(ROOT / config.prompts)})
    convert_run(
        tmp_path / "records.jsonl", tmp_path / "questions.jsonl", tmp_path / "split.jsonl", config, 0, tmp_path / "out"
    )
    written = {
        stage: {path.name.split(".")[0] for path in (tmp_path / "out" / stage).iterdir()} for stage in ("sft", "grpo")
    }
    assert written == {stage: set(names) for stage, names in dataset_names(config.hops, written=False).items()}
