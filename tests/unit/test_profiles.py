"""The profiles: where Snakemake looks for them, and the Slurm profile's resources against rules and configuration."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml
from support.workflow import Workplace

from nep.config.whole import load_config
from nep.workflow.rule_graph import rules_of

ROOT = Path(__file__).resolve().parents[2]
# Their jobs ask a model, or serve it themselves.
ASKING = {"annotate_shard", "write_questions_shard"}
# What clusters commonly let a job run, at least.
LONGEST_MIN = 12 * 60


def read(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def all_rules() -> list[str]:
    return [rule for file in sorted((ROOT / "rules").glob("*.smk")) for rule in rules_of(file.read_text("utf-8"))]


def test_the_slurm_profile_lies_where_snakemake_looks() -> None:
    assert (ROOT / "slurm").resolve() == ROOT / "profiles" / "slurm"


def test_resources_are_set_for_rules_that_exist() -> None:
    assert set(read("slurm/config.yaml")["set-resources"]) <= set(all_rules())


def test_a_rule_that_hands_on_its_threads_asks_for_them() -> None:
    """One that names none has one, whatever is configured."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = re.split(r"^(?:rule|checkpoint) ", text, flags=re.MULTILINE)[1:]
    handing = [rule for rule in rules if "{threads:q}" in rule]
    assert "make_controls:" in [rule.splitlines()[0] for rule in handing]
    assert [rule.splitlines()[0] for rule in handing if "\n    threads: " not in rule] == []


def test_training_has_as_many_gpus_as_processes_and_keeps_them_on_one_node() -> None:
    profile = read("slurm/config.yaml")
    config = load_config(read("config/v1_33k.yaml"))
    for experiment in config.experiments.values():
        for training in (experiment.sft, experiment.grpo):
            stage = type(training).__name__.lower()
            assert profile["set-resources"][f"train_{stage}"]["gpu"] == training.nodes * training.processes
    assert profile["set-resources"]["evaluate_model"]["gpu"] == config.evaluate.processes
    assert profile["default-resources"]["nodes"] == 1


def test_an_attempt_gets_more_memory_and_but_for_training_more_time() -> None:
    profile = read("slurm/config.yaml")
    assert profile["retries"] == 2
    for rule, resources in profile["set-resources"].items():
        asked = profile["default-resources"] | resources
        memory, minutes = (
            [eval(str(asked[name]), {"attempt": attempt}) for attempt in (1, 2, 3)] for name in ("mem_mb", "runtime")
        )
        assert memory[0] < memory[1] < memory[2]
        # A training goes on from its checkpoint.
        assert len(set(minutes)) == (1 if rule.startswith("train_") else 3)


def test_shards_that_share_a_job_run_one_after_another() -> None:
    profile = read("slurm/config.yaml")
    grouped = [entry.partition("=")[0] for entry in profile["groups"]]
    # A rule of a group is never local, and each job that serves a model starts it anew.
    assert set(grouped) == {rule for rule in all_rules() if rule.endswith("_shard")} - ASKING
    assert {profile["set-resources"][rule]["shards"] for rule in grouped} == {1}
    assert (profile["resources"], profile["set-resource-scopes"]) == (["shards=1"], ["shards=local"])


def test_every_attempt_asks_for_what_a_node_of_eight_gpus_gives() -> None:
    """2 TB and a day: what partitions of such nodes commonly give."""
    profile = read("slurm/config.yaml")
    rules = dict(entry.split("=") for entry in profile["groups"])
    components = dict(entry.split("=") for entry in profile["group-components"])
    for rule in [*profile["set-resources"], "any other"]:
        asked = profile["default-resources"] | profile["set-resources"].get(rule, {})
        in_a_row = int(components[rules[rule]]) if rule in rules else 1
        for attempt in range(1, profile["retries"] + 2):
            memory, minutes = (eval(str(asked[name]), {"attempt": attempt}) for name in ("mem_mb", "runtime"))
            assert asked.get("gpu", 0) <= 8 and memory <= 2_000_000 and minutes * in_a_row <= 1440, (rule, attempt)


def test_a_group_of_shards_asks_for_less_than_half_a_day(tmp_path: Path) -> None:
    place = Workplace.make(tmp_path / "nep")
    (place.root / "slurm").symlink_to("profiles/slurm")
    command = [ROOT / "tests/support/group_times.py", "--profile", "slurm", "--configfile", "config/v1_33k.yaml"]
    done = subprocess.run([sys.executable, *command], cwd=place.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    groups = json.loads(done.stdout.splitlines()[-1])
    assert Counter((group["rule"], group["jobs"]) for group in groups) == {
        ("split_shard", 16): 8,
        ("hash_shard", 16): 8,
        ("encode_shard", 16): 8,
    }
    for group in groups:
        first, second, _ = group["minutes"]
        assert 0 < first < second < LONGEST_MIN, group


def test_what_needs_the_internet_runs_where_snakemake_does() -> None:
    text = (ROOT / "rules/download.smk").read_text(encoding="utf-8")
    local = text.partition("localrules:")[2].partition("\n\n")[0]
    # Images lie here already.
    assert {name.strip(" ,\n") for name in local.split(",")} - {""} == set(rules_of(text)) - {"frames_shard"}
