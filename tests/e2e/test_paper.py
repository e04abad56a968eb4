"""The files of config/paper, laid over the published setting: what each plans. And experiments with several seeds."""

import pytest
from support.workflow import ROOT, Workplace

pytestmark = pytest.mark.e2e

# Files below config/paper: trainings by SFT and by GRPO. The base model is evaluated besides.
PLANNED = {
    ("table1",): (4, 0),
    ("table2",): (4, 0),
    ("table2", "with/base_3b"): (4, 0),
    ("table3",): (2, 0),
    ("table4",): (1, 1),
    ("scaling",): (5, 0),
    # What tables share is trained once.
    ("scaling", "table1", "table2", "table3", "table4", "with/benchmarks"): (12, 1),
    ("table4", "with/toy"): (1, 1),
}
DRY_RUN = ["--dry-run", "--printshellcmds", "--profile", "profiles/local", "--cores", "2"]
FEW_SHARDS = ["--config", "split={shards: 2}", "encode={shards: 2}"]


def test_every_file_of_the_paper_is_among_them() -> None:
    folder = ROOT / "config/paper"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    assert {file for files in PLANNED for file in files} == files


def test_the_papers_tables_and_the_seeds_of_an_experiment_can_be_planned(workplace: Workplace) -> None:
    """In one workplace, which finds out about the scripts' code once."""
    for files, (sft, grpo) in PLANNED.items():
        names = ["config/v1_33k.yaml", *(f"config/paper/{file}.yaml" for file in files)]
        words = [*DRY_RUN, *FEW_SHARDS, "--configfile", *names]
        outcome = workplace.snakemake(*words)
        assert outcome.status == 0, outcome.text
        planned = outcome.planned()
        counts = planned["train_sft"], planned.get("train_grpo", 0), planned["evaluate_model"]
        assert counts == (sft, grpo, sft + grpo + 1), files
        # Whatever the number of experiments, the data are made once.
        assert (planned["convert_datasets"], planned["merge_split"], planned["merge_encode"]) == (1, 1, 1)
        assert ("make_tiny_model" in planned) == ("with/toy" in files)
        assert planned.get("fetch_benchmark", 0) == (5 if "with/benchmarks" in files else 0)
        # The report lays a table out in the order of the configuration.
        assert ('"models": {"Instruct": "base", "Captioning": "caption-sft", ' in outcome.text) == ("table1" in files)

    config = workplace.configure("small", experiments={"nep": {"seeds": [3, 8]}})
    outcome = workplace.run(config, "--dry-run", "--printshellcmds")
    assert outcome.status == 0, outcome.text
    planned = outcome.planned()
    counts = [planned[rule] for rule in ("encode_shard", "train_sft", "train_grpo", "evaluate_model", "make_report")]
    assert counts == [2, 2, 2, 5, 1]
    folder = "results/small/nep@8"
    commands = " ".join(outcome.text.replace("\\", " ").split())
    assert f"--model {folder}/sft/model --model-manifest {folder}/sft/manifest.json" in commands
    assert outcome.text.count("--experiment nep@8") == 2
