"""Stages on Snakemake's command line become rules and files; every other word stays what it is."""

import pytest

from nep.workflow.stages import spelled_out

RULES = {"sft": ["train_sft"], "encode": ["encode_shard", "merge_encode"]}
FILES = {"results/demo/nep/sft": "results/demo/nep/sft/manifest.json"}


@pytest.mark.parametrize(
    ("command", "spelled"),
    [
        ("sft --cores 2", "sft --cores 2"),
        ("-n --forcerun sft", "-n --forcerun train_sft"),
        ("-R encode sft -n", "-R encode_shard merge_encode train_sft -n"),
        ("--forcerun=sft encode", "--forcerun train_sft encode_shard merge_encode"),
        ("--forcerun train_grpo --until sft", "--forcerun train_grpo --until sft"),
        ("results/demo/nep/sft", "results/demo/nep/sft/manifest.json"),
        ("./results/demo/nep/sft/ -n", "results/demo/nep/sft/manifest.json -n"),
        ("--forcerun results/demo/nep/sft", "--forcerun results/demo/nep/sft/manifest.json"),
        ("results/other/nep/sft", "results/other/nep/sft"),
    ],
)
def test_what_a_command_line_becomes(command: str, spelled: str) -> None:
    assert spelled_out(command.split(), RULES, FILES) == spelled.split()
