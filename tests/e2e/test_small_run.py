"""The whole workflow on the small demo: what it leaves, that it knows when it is done, and what a change re-runs."""

import csv
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml
from support.chat_server import ChatServer
from support.workflow import ROOT, Workplace

from nep.files import read_json, read_jsonl, sha256_of_file

pytestmark = pytest.mark.e2e

COLUMNS = [
    *("experiment", "stage", "task", "variant", "split", "n"),
    *("accuracy", "ci_low", "ci_high", "unreadable", "failed"),
]
CAPTIONS = ROOT / "rules" / "captions"
MODELS = {"base": ("base", "base"), "nep-sft": ("nep", "sft"), "nep-grpo": ("nep", "grpo")}
VARIANTS = {"direct", "reason", "direct_legacy", "reason_legacy", "direct_shuffled_frames", "reason_shuffled_frames"}
SPLITS = {"overall": 16, "hop1": 4, "hop2": 4, "hop3": 4, "interpolation": 4}
AFTER_SFT = {"train_sft": 1, "train_grpo": 1, "evaluate_model": 2, "make_report": 1}


def table(run: Path) -> list[dict[str, str]]:
    with (run / "report" / "results.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_model_is_in_the_table_with_every_variant_and_split(small_run) -> None:
    rows = table(small_run.folder)
    assert list(rows[0]) == COLUMNS
    found = {(row["experiment"], row["stage"], row["variant"], row["split"]): int(row["n"]) for row in rows}
    assert found == {
        (*model, variant, split): number
        for model in MODELS.values()
        for variant in VARIANTS
        for split, number in SPLITS.items()
    }
    assert len(found) == len(rows)


def test_the_table_states_what_the_samples_say(small_run) -> None:
    accuracy = {(row["experiment"], row["stage"], row["variant"]): row for row in table(small_run.folder)[::-1]}
    for model, place in MODELS.items():
        samples = read_jsonl(small_run.folder / "evaluate" / model / "samples.jsonl")
        assert Counter((row["variant"], row["control"]) for row in samples) == {
            (variant, control): 16 for variant in ("direct", "reason") for control in (None, "shuffled_frames")
        }
        right = [row["correct"] for row in samples if (row["variant"], row["control"]) == ("reason", None)]
        assert float(accuracy[(*place, "reason")]["accuracy"]) == pytest.approx(100 * sum(right) / 16, abs=0.01)


def test_every_stage_leaves_what_its_manifest_names(small_run) -> None:
    run = small_run.folder
    split = read_jsonl(run / "split" / "manifest.jsonl")
    assert [row["status"] for row in split] == ["ok"] * 28
    for row in split:
        for part in ("first", "second"):
            assert sha256_of_file(run / row[part]["path"]) == row[part]["sha256"]
    for name, file in read_json(run / "convert" / "manifest.json")["files"].items():
        assert sha256_of_file(run / "convert" / name) == file["sha256"]
    for shard in (run / "encode" / "shards").iterdir():
        for kind in ("frames", "features"):
            file = read_json(shard)[kind]
            assert sha256_of_file(run / file["path"]) == file["sha256"]
    for manifest in ("models/base.manifest.json", "nep/sft/manifest.json", "nep/grpo/manifest.json"):
        folder = run / ("models/base" if manifest.startswith("models") else Path(manifest).with_name("model"))
        files = read_json(run / manifest)["files"]
        assert "model.safetensors" in files
        assert {path.name for path in folder.iterdir()} == set(files)
    fingerprints = {read_json(run / "evaluate" / model / "scores.json")["fingerprint"] for model in MODELS}
    assert len(fingerprints) == len(MODELS)
    assert [row["step"] for row in read_jsonl(run / "nep/sft/metrics.jsonl")] == list(range(1, 9))
    assert [row["step"] for row in read_jsonl(run / "nep/grpo/metrics.jsonl")] == list(range(1, 7))
    for page in ("index.html", "data.html"):
        assert (run / "report" / page).stat().st_size > 10_000


def test_every_job_noted_its_machine(small_run) -> None:
    (note,) = (small_run.folder / "logs" / "machines").iterdir()
    machine = read_json(note)
    assert machine["cores"] >= 1
    page = (small_run.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert f"{machine['cores']} cores, {machine['memory_gib']:,} GiB" in page


def test_snakemake_packs_the_pages_with_captions_and_labels(small_run, tmp_path: Path) -> None:
    outcome = small_run.workplace.run(small_run.config, "--report", str(tmp_path / "packed.zip"))
    assert outcome.status == 0, outcome.text
    with zipfile.ZipFile(tmp_path / "packed.zip") as archive:
        packed = {Path(name).name: archive.read(name) for name in archive.namelist()}
    for name in ("index.html", "data.html", "results.csv"):
        assert packed[name] == (small_run.folder / "report" / name).read_bytes()
    front = packed["report.html"].decode()
    captions = [caption.read_text(encoding="utf-8").splitlines()[0] for caption in CAPTIONS.iterdir()]
    assert len(captions) == 4
    assert [caption for caption in captions if caption not in front] == []
    assert all(f'"what": "{model}"' in front for model in ("nep-sft", "nep-grpo"))
    assert all(f'"{category}"' in front for category in ("Results", "Data", "Model cards"))


def test_no_evaluation_video_is_trained_on(small_run) -> None:
    run = small_run.folder
    asked = {row["video_id"] for row in read_jsonl(run / "records" / "questions.jsonl")}
    trained = {row["video_id"] for row in read_jsonl(run / "encode" / "index.jsonl")}
    assert len(asked) == 4
    assert trained
    assert not asked & trained


def test_a_second_call_has_nothing_to_do(small_run) -> None:
    outcome = small_run.workplace.run(small_run.config)
    assert outcome.status == 0
    assert "Nothing to be done" in outcome.text


def test_a_dry_run_plans_every_rule_from_an_empty_folder(workplace: Workplace) -> None:
    outcome = workplace.run(workplace.configure("small"), "--dry-run")
    assert outcome.status == 0, outcome.text
    assert outcome.planned() == {
        "make_demo_data": 1,
        "make_tiny_model": 1,
        "list_source": 1,
        "finish_download": 1,
        "fetch_model": 1,
        "parse_records": 1,
        "split_shard": 2,
        "merge_split": 1,
        "hash_shard": 2,
        "merge_hashes": 1,
        "convert_datasets": 1,
        "encode_shard": 2,
        "merge_encode": 1,
        "make_controls": 1,
        "evaluate_model": 3,
        "make_data_card": 1,
        "make_report": 1,
        "train_sft": 1,
        "train_grpo": 1,
    }


def test_the_data_card_waits_for_no_model(workplace: Workplace) -> None:
    outcome = workplace.run(workplace.configure("small"), "data_card", "--dry-run")
    assert outcome.status == 0, outcome.text
    planned = outcome.planned()
    assert planned["make_data_card"] == planned["convert_datasets"] == 1
    assert not {rule for rule in planned if any(word in rule for word in ("model", "encode", "train", "report"))}


def test_snakemake_has_nothing_to_remark_about_the_rules(workplace: Workplace) -> None:
    outcome = workplace.run(workplace.configure("small"), "--lint")
    assert outcome.status == 0, outcome.text


@pytest.mark.parametrize("name", ["config.yaml", "v1_33k.yaml"])
def test_the_shipped_configurations_can_be_planned_as_they_are(workplace: Workplace, name: str) -> None:
    config = workplace.root / "config" / name
    outcome = workplace.run(config, "--dry-run", "--printshellcmds")
    assert outcome.status == 0, outcome.text
    demo = yaml.safe_load(config.read_text(encoding="utf-8")).get("demo")
    assert ("make_tiny_model" in outcome.planned()) == bool(demo)
    # The demo's settings are not those of a file that does not name them.
    assert ('"device": "cpu"' in outcome.text) == bool(demo)


def test_a_comment_re_runs_nothing_and_a_change_of_logic_what_imports_it(small_run, copy_of_small_run) -> None:
    module = copy_of_small_run.root / "scripts" / "nep" / "train" / "sft.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text + "\n# A remark.\n", encoding="utf-8")
    assert "Nothing to be done" in copy_of_small_run.run(small_run.config, "--dry-run").text
    module.write_text(text + "\nRATE = 2\n", encoding="utf-8")
    assert copy_of_small_run.run(small_run.config, "--dry-run").planned() == AFTER_SFT


def test_a_changed_setting_re_runs_its_stage_and_those_after(copy_of_small_run) -> None:
    config = copy_of_small_run.configure("small", sft={"lr": 5e-4})
    assert copy_of_small_run.run(config, "--dry-run").planned() == AFTER_SFT


def test_a_model_behind_an_api_stands_beside_the_others(copy_of_small_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with ChatServer(lambda question: "<think>Seen.</think><answer>A</answer>") as server:
        config = copy_of_small_run.configure("small", references={"large": {"url": server.url, "model": "m"}})
        assert copy_of_small_run.run(config, "--dry-run").planned() == {"evaluate_reference": 1, "make_report": 1}
        outcome = copy_of_small_run.run(config)
    assert outcome.status == 0, outcome.text
    run = copy_of_small_run.root / "results/small"
    parsed = {row["parsed"] for row in read_jsonl(run / "evaluate/large/samples.jsonl")}
    assert parsed == {"A"}
    assert {row["experiment"] for row in table(run)} == {"base", "nep", "large"}


def test_the_exports_follow_from_the_data_sets_alone(small_run, copy_of_small_run) -> None:
    targets = [f"export_{consumer}" for consumer in ("llamafactory", "easyr1", "verl", "swift", "hf")]
    dry = copy_of_small_run.run(small_run.config, *targets, "--dry-run")
    jobs = {rule: count for rule, count in dry.planned().items() if rule not in targets}
    assert jobs == {"export_experiment": 4, "export_datasets": 1}
    outcome = copy_of_small_run.run(small_run.config, *targets)
    assert outcome.status == 0, outcome.text
    export = copy_of_small_run.root / "results/small/export"
    for folder in ("llamafactory/nep", "easyr1/nep", "verl/nep", "swift/nep", "hf"):
        assert (export / folder / "README.md").is_file()
    assert "Nothing to be done" in copy_of_small_run.run(small_run.config, *targets, "--dry-run").text
