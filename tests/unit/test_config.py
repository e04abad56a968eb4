import copy
import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from snakemake.utils import update_config
from support.entry_points import run_tool

from nep.config.base import load_block
from nep.config.experiment import Experiment
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.source import Source
from nep.config.whole import Config, load_config
from nep.data.catalog import check_datasets
from nep.errors import InputError
from nep.fingerprint import code_fingerprint, local_imports, syntax_of

ROOT = Path(__file__).resolve().parents[2]
CONFIG_DIR = ROOT / "config"
CONFIGURATIONS = [path for path in sorted(CONFIG_DIR.glob("*.yaml")) if path.name != "prompts.yaml"]
MINIMAL = {
    "run": "demo",
    "source": {"kind": "folder", "path": "data"},
    "model": {"kind": "folder", "path": "a"},
    "experiments": {"nep": {"sft": {}, "grpo": {}}},
}
# They read the whole configuration. What is run by hand is no stage.
WHOLE = ("make_report.py",)
NO_STAGES = {"plan_run.py", "print_results.py", "watch_run.py", "slurm_costs.py", "launch_training.py", "predict.py"}
BLOCK_DECIDES = {
    "report": "",
    "split": "split_shard.py merge_split.py",
    "convert": "convert_datasets.py",
    "sft": "train_sft.py export_experiment.py",
    "grpo": "train_grpo.py export_experiment.py",
    "evaluate": "evaluate_model.py",
    "tiny_model": "make_tiny_model.py",
    "source": "list_source.py fetch_archive.py frames_shard.py finish_download.py",
    "shots": "shots_shard.py merge_shots.py",
    "annotate": "annotate_shard.py merge_annotations.py",
    "own_benchmark": "write_questions_shard.py merge_questions.py choose_questions.py",
}


def changed(place: str, value: object) -> dict:
    values = copy.deepcopy(MINIMAL)
    *parents, last = place.split(".")
    block = values
    for key in parents:
        block = block.setdefault(key, {})
    block[last] = value
    return values


def test_minimal_configuration_gets_the_published_defaults() -> None:
    config = load_config(MINIMAL)
    grpo = config.experiments["nep"].grpo
    assert (grpo.lr, grpo.completions, grpo.kl_coef, grpo.entropy_coef) == (1e-6, 8, 1e-2, 1e-3)
    assert (grpo.clip_low, grpo.clip_high, grpo.rewards) == (0.2, 0.2, {"letter": 1.0})
    assert (grpo.schedule, grpo.weight_decay, grpo.prompts_per_step) == ("constant", 0.01, 16)
    sft = config.experiments["nep"].sft
    assert (sft.lr, sft.epochs, sft.batch_size, sft.max_tokens, sft.schedule) == (1e-5, 3, 16, 32768, "cosine")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("sft.epocs", 2, "sft.epocs: unknown key; did you mean 'epochs'?"),
        ("splitt", {}, "splitt: unknown key; did you mean 'split'?"),
        ("vision.zzz", 1, "vision.zzz: unknown key; known keys: fps, frames, max_pixels, min_pixels, sampling"),
        (
            "experiments.nep.grpo.completion",
            8,
            "experiments.nep.grpo.completion: unknown key; did you mean 'completions'?",
        ),
        ("demo.model.layer", 1, "demo.model.layer: unknown key; did you mean 'layers'?"),
        ("split.shards", 0, "split.shards: Input should be greater than or equal to 1 (found 0)"),
        ("split.shards", "many", "split.shards: Input should be a valid integer"),
        ("vision.frames", 7, "vision.frames: Input should be a multiple of 2 (found 7)"),
        ("vision.min_pixels", 20000, "min_pixels (20000) must not exceed max_pixels (16384)"),
        ("source", {"kind": "folder"}, "kind 'folder' needs 'path'"),
        ("source", {"kind": "hub", "repo": "a/b"}, "needs 'repo' and a pinned 'revision'"),
        ("source", {"kind": "ftp"}, "source.kind: Input should be 'folder', 'hub', 'table' or 'videos'"),
        ("model", {"kind": "folder"}, "kind 'folder' needs 'path'"),
        ("experiments", {"base": {"sft": {}}}, "'base' names the untrained model"),
        ("experiments", {"nep": {}}, "an experiment needs 'sft', 'grpo' or both"),
        ("experiments.nep.seeds", [], "experiments.nep.seeds: List should have at least 1 item"),
        ("experiments.nep.seeds", [0, -1], "experiments.nep.seeds.1: Input should be greater than or equal to 0"),
        ("experiments.nep.seeds", [1, 2, 1], "a seed stands twice; name each once"),
        (
            "report.tables",
            {"a": {"title": "A", "models": {"SFT": "nep-stf"}}},
            "report.tables.a.models: no model 'nep-stf'",
        ),
        ("report.curves", {"a": {"title": "A", "models": ["nep-grpo"]}}, "'nep-grpo' is no model of SFT"),
        ("run", "../demo", "run: String should match pattern"),
        ("grpo.refill_accuracy", [0.1, 0.9], "refill_accuracy: no group is replaced while refill_rounds is 0"),
        ("grpo.difficulty", {"keep": [0.9, 0.1]}, "[0.9, 0.1]: the first bound must not exceed the second"),
        (
            "grpo",
            {"order": "by_hops", "difficulty": {"refresh_every": 9}},
            "difficulty.refresh_every changes them on the way; leave out one of them",
        ),
        ("sft.freeze", ["towr"], "sft.freeze.0: Input should be 'vision_tower'"),
    ],
)
def test_a_wrong_value_or_key_is_named(place: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(changed(place, value))
    assert message in str(caught.value)
    assert str(caught.value).startswith("configuration:\n")


def test_every_wrong_key_is_told_at_once() -> None:
    values = changed("sft.epocs", 2)
    values["split"] = {"shards": 0}
    with pytest.raises(InputError) as caught:
        load_config(values)
    assert "sft.epocs" in str(caught.value) and "split.shards" in str(caught.value)


def test_experiments_change_the_blocks_of_their_stages() -> None:
    values = changed("sft", {"lr": 3e-4, "epochs": 1})
    values["grpo"] = {"completions": 4}
    values["experiments"] = {"a": {"sft": {"epochs": 2}}, "b": {"sft": {}, "grpo": {"kl_coef": 0}}}
    config = load_config(values)
    assert (config.experiments["a"].sft.lr, config.experiments["a"].sft.epochs) == (3e-4, 2)
    assert config.experiments["a"].grpo is None
    assert config.experiments["b"].sft == config.sft
    assert (config.experiments["b"].grpo.completions, config.experiments["b"].grpo.kl_coef) == (4, 0)


def test_an_experiment_is_trained_once_or_with_each_of_its_seeds() -> None:
    values = {**MINIMAL, "seed": 5, "experiments": {"a": {"sft": {}}, "b": {"sft": {}, "grpo": {}, "seeds": [7, 0]}}}
    config = load_config(values)
    assert {name: config.seed_of(name) for name in config.trainings} == {"a": 5, "b@7": 7, "b@0": 0}
    assert config.trained_models == ["a-sft", "b@7-sft", "b@7-grpo", "b@0-sft", "b@0-grpo"]
    assert config.trainings["b@7"] is config.experiments["b"]
    # An experiment cannot have the name of another's training.
    with pytest.raises(InputError, match=r"experiments\.b@7"):
        load_config({**MINIMAL, "experiments": {"b@7": {"sft": {}}}})


def test_every_recipe_of_the_study_has_three_seeds_and_is_compared() -> None:
    values: dict = {}
    for file in ("config.yaml", "recipes/study.yaml"):
        update_config(values, yaml.safe_load((CONFIG_DIR / file).read_text(encoding="utf-8")))
    config = load_config(values)
    check_datasets(config)
    assert {tuple(experiment.seeds) for experiment in config.experiments.values()} == {(0, 1, 2)}
    shown = {name for names in config.report.named_models.values() for name in names}
    last = {f"{name}-{'grpo' if body.grpo else 'sft'}" for name, body in config.experiments.items()}
    assert last <= shown


@pytest.mark.parametrize("block", [Source(kind="folder", path="x"), Sft(), Grpo(), Experiment(sft=Sft())])
def test_a_block_survives_the_way_to_an_entry_point(block: object) -> None:
    text = json.dumps(block.model_dump(), sort_keys=True)
    assert load_block(type(block), text) == block


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": {"base": {"url": "http://h/v1", "model": "m"}}}, "references.base: a model of this run"),
        ({"references": {"large": {"url": "h", "model": "m"}}}, "references.large.url"),
        ({"evaluate": {"tasks": ["seedbench_r1_l2"]}}, "seedbench_r1_l2 needs an annotation file"),
        ({"evaluate": {"tasks": ["mmlu"]}}, "evaluate.tasks.0"),
        ({"evaluate": {"max_new_tokens": {"direct": 4}}}, "no number for the variant 'reason'"),
        ({"evaluate": {"backend": "vllm", "processes": 2}}, "tensor_parallel_size"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_config({**MINIMAL, **change})


def test_how_a_stage_is_run_does_not_decide_its_result() -> None:
    # An experiment may have the name of such a key.
    references = {"large": {"url": "http://localhost/v1", "model": "large"}}
    experiments = {"processes": {"sft": {}, "grpo": {}}}
    config = load_config({**MINIMAL, "experiments": experiments, "references": references})

    def dropped(settings: dict, everything: dict, place: str = "") -> set[str]:
        assert settings.keys() <= everything.keys()
        found = {f"{place}{key}" for key in everything.keys() - settings.keys()}
        for key, value in settings.items():
            if isinstance(value, dict):
                found |= dropped(value, everything[key], f"{place}{key}.")
            else:
                assert value == everything[key]
        return found

    of_trainings = ("nodes", "processes", "checkpoint_minutes", "keep_checkpoints", "tracker")
    places = {
        *(
            "shots.processes",
            "split.processes",
            "encode.processes",
            "evaluate.processes",
            "evaluate.vllm_environment",
            "references.large.concurrent",
        ),
        *(f"{block}.{key}" for block in ("sft", "grpo") for key in of_trainings),
        *(f"experiments.processes.{stage}.{key}" for stage in ("sft", "grpo") for key in of_trainings),
    }
    engine = ("rollout_environment", "rollout_gpus", "rollout_timeout_s")
    places |= {f"{block}.{key}" for block in ("grpo", "experiments.processes.grpo") for key in engine}
    assert dropped(config.result_settings(), config.model_dump(mode="json")) == places


def test_blocks_do_not_change_after_loading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config(MINIMAL).split.shards = 9


def test_committed_schema_and_page_are_current(tmp_path: Path) -> None:
    schema, page = tmp_path / "schema.json", tmp_path / "configuration.md"
    done = run_tool("write_config_schema.py", "--schema", schema, "--page", page)
    assert done.returncode == 0, done.stderr
    for written, committed in ((schema, CONFIG_DIR / "schema.json"), (page, ROOT / "docs/configuration.md")):
        assert written.read_bytes() == committed.read_bytes(), f"{committed} is old: make schema"


def test_every_key_has_a_description() -> None:
    schema = Config.model_json_schema()
    undescribed = [
        f"{block['title']}.{key}"
        for block in (schema, *schema["$defs"].values())
        for key, value in block["properties"].items()
        # A key that is a block is described by that block.
        if "description" not in value and "$ref" not in value
    ]
    assert not undescribed


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy") / "scripts"
    shutil.copytree(ROOT / "scripts", copy)
    return copy


def stage_fingerprints(scripts: Path) -> dict[str, str]:
    local_imports.cache_clear()
    syntax_of.cache_clear()
    stages = sorted({path.name for path in scripts.glob("*.py")} - NO_STAGES)
    return {name: code_fingerprint(scripts / name, scripts, scripts.parent / "kept") for name in stages}


@pytest.mark.parametrize(("block", "deciding"), BLOCK_DECIDES.items())
def test_a_new_key_re_runs_the_stages_that_read_its_block(scripts: Path, block: str, deciding: str) -> None:
    file = scripts / f"nep/config/{block}.py"
    text = file.read_text(encoding="utf-8")
    before = stage_fingerprints(scripts)
    file.write_text(text + '    added: int = Field(1, description="New.")\n', encoding="utf-8")
    after = stage_fingerprints(scripts)
    file.write_text(text, encoding="utf-8")
    assert {name for name in before if after[name] != before[name]} == {*deciding.split(), *WHOLE}


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_committed_configurations_load_and_satisfy_the_schema(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    load_config(values)
    jsonschema.validate(values, Config.model_json_schema())


def test_plain_videos_and_the_block_that_annotates_them_go_together() -> None:
    annotate = {"vision": {"url": "http://localhost/v1", "model": "large"}}
    videos = {"kind": "videos", "path": "data"}
    config = load_config({**MINIMAL, "source": videos, "annotate": annotate})
    assert (config.source.questions, config.annotate.text_endpoint, config.annotate.serves) == (
        None,
        config.annotate.vision,
        False,
    )
    with pytest.raises(InputError, match=r"name the model that makes them, annotate\.vision"):
        load_config({**MINIMAL, "source": videos})
    with pytest.raises(InputError, match=r"source\.kind 'folder' brings annotations"):
        load_config({**MINIMAL, "annotate": annotate})
    with pytest.raises(InputError, match="'min_duration_s' must be less than 'max_duration_s'"):
        load_config({**MINIMAL, "shots": {"min_duration_s": 9, "max_duration_s": 5}})
