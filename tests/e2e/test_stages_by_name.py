"""A stage forced again, for one experiment too; one that runs again without a new result; a changed experiment."""

import shutil
from collections import Counter
from typing import Any

import pytest
from support.workflow import Outcome, Workplace, hashes

from nep.files import read_jsonl

pytestmark = pytest.mark.e2e

AFTER_SFT = {"train_sft": 1, "train_grpo": 1, "evaluate_model": 2, "make_report": 1}
MANIFEST = "results/small/nep/sft/manifest.json"


def experiment(**sft: Any) -> dict[str, Any]:
    return {"sft": {"datasets": {"next_event": 16}, **sft}, "grpo": {"datasets": {"next_event_mc": None}}}


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["--forcerun", "train_sft"], AFTER_SFT),
        ([MANIFEST, "--forcerun", "train_sft"], {"train_sft": 1}),
        (["--forcerun", MANIFEST], AFTER_SFT),
        (["grpo", "--forcerun", "train_sft"], {"train_sft": 1, "train_grpo": 1, "grpo": 1}),
        ([MANIFEST], {}),
    ],
)
def test_a_training_is_forced_by_its_rule_and_asked_for_by_its_manifest(
    small_run, words: list[str], jobs: dict[str, int]
) -> None:
    outcome = small_run.workplace.run(small_run.config, *words, "--dry-run")
    assert outcome.status == 0, outcome.text
    assert outcome.planned() == jobs


def test_a_split_that_gives_the_same_bytes_encodes_trains_and_evaluates_nothing(
    small_run, copy_of_small_run: Workplace
) -> None:
    outcome = copy_of_small_run.run(small_run.config, "all", "--forcerun", "split_shard")
    assert outcome.status == 0, outcome.text
    again = {"split_shard", "merge_split", "convert_datasets"}
    assert outcome.started() - {"make_report", "make_data_card"} == again
    assert hashes(copy_of_small_run.root / "results/small") == hashes(small_run.folder)


def test_a_changed_learning_rate_of_one_experiment_concerns_no_other(copy_of_small_run: Workplace) -> None:
    run = copy_of_small_run.root / "results/small"
    for made in ("nep", "evaluate/nep-sft", "evaluate/nep-grpo", "report/cards/nep-sft", "report/cards/nep-grpo"):
        shutil.copytree(run / made, run / made.replace("nep", "other"))
    for stage in ("sft", "grpo"):
        shutil.copyfile(run / f"encode/index/nep-{stage}.jsonl", run / f"encode/index/other-{stage}.jsonl")
    two = {"nep": experiment(), "other": experiment()}
    noted = copy_of_small_run.run(copy_of_small_run.configure("small", experiments=two), "--touch", "--forceall")
    assert noted.status == 0, noted.text
    assert planned(copy_of_small_run, two).planned() == {}
    outcome = planned(copy_of_small_run, {**two, "other": experiment(lr=5e-4)})
    assert outcome.planned() == AFTER_SFT
    assert "experiment=other" in outcome.text and "experiment=nep" not in outcome.text


def test_clips_of_another_experiment_train_nothing_again(small_run, copy_of_small_run: Workplace) -> None:
    run = copy_of_small_run.root / "results/small"
    before = read_jsonl(run / "encode/index/nep-sft.jsonl")
    two = {
        "nep": experiment(),
        "other": {"sft": {"datasets": {"next_event": 4, "previous_event": 4}, "validation_samples": 0}},
    }
    config = copy_of_small_run.configure("small", experiments=two)
    outcome = copy_of_small_run.run(config, MANIFEST, "results/small/nep/grpo/manifest.json")
    assert outcome.status == 0, outcome.text
    assert outcome.started() == {"encode_shard", "merge_encode"}
    assert read_jsonl(run / "encode/index/nep-sft.jsonl") == before
    views = Counter(row["view"] for row in read_jsonl(run / "encode/index/other-sft.jsonl"))
    assert views == {"first": 4, "second": 4}
    assert hashes(run / "nep") == hashes(small_run.folder / "nep")


def planned(workplace: Workplace, experiments: dict[str, Any]) -> Outcome:
    outcome = workplace.run(workplace.configure("small", experiments=experiments), "--dry-run")
    assert outcome.status == 0, outcome.text
    return outcome
