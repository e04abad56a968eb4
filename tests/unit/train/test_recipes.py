"""The recipes of config/recipes: laid over a configuration as `--configfile A B` does, planned, trained in small."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config
from support.matrix import MATRIX
from support.recipes import short_grpo, short_sft
from support.workflow import Workplace

from nep.config.grpo import Grpo
from nep.config.whole import Config, load_config
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.train.rl import question_filter
from nep.train.rl.grpo import train_grpo
from nep.train.sft import train_sft

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "config" / "recipes").glob("*.yaml"))
# Of plain videos, which a model behind an API annotates; docs/annotation.md has the command, which is tried.
OTHER_SOURCE = ("annotate_demo", "questions_demo")
# All of them beside each other; tests/e2e/test_paper.py plans it.
STUDY = "study"
# In vLLM's environment; tests/interop/test_rollouts.py trains with it.
ENGINE = "rollout_vllm"
TRAINED = [recipe for recipe in RECIPES if recipe.stem not in (*OTHER_SOURCE, STUDY)]
# What makes a training of a recipe small, beside the number of steps and samples.
SMALL = {"difficulty": {"samples": 2, "keep": [0, 1], "refresh_every": 1}, "visual_gain": {"samples": 2, "least": -1}}


def laid_over(recipe: Path, base: str = "v1_33k") -> tuple[Config, dict[str, Any]]:
    values = yaml.safe_load((ROOT / "config" / f"{base}.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    update_config(values, changes)
    return load_config(values), changes


@pytest.mark.parametrize("recipe", TRAINED, ids=lambda path: path.stem)
def test_a_recipe_reaches_the_experiments_of_the_configuration_below(recipe: Path) -> None:
    config, changes = laid_over(recipe)
    assert set(changes) <= {"sft", "grpo", "convert", "experiments"}
    for stage in {"sft", "grpo"} & set(changes):
        trained = getattr(config.experiments["nep"], stage)
        assert trained == trained.model_validate({**trained.model_dump(), **changes[stage]})
        assert trained.processes == 8
    for key, value in changes.get("convert", {}).items():
        assert getattr(config.convert, key) == value


def test_all_recipes_are_planned(tmp_path: Path) -> None:
    """As experiments of one run, which makes their common stages once."""
    values = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    experiments = {}
    for recipe in TRAINED:
        config, changes = laid_over(recipe, "config")
        values["convert"] |= changes.get("convert", {})
        (name, *_) = changes.get("experiments", {"nep": None})
        experiments[recipe.stem] = config.experiments[name].model_dump(mode="json", exclude_none=True)
    place = Workplace.make(tmp_path / "nep")
    path = place.root / "recipes.yaml"
    path.write_text(yaml.safe_dump({**values, "experiments": experiments}), encoding="utf-8")
    outcome = place.run(path, "--dry-run")
    assert outcome.status == 0, outcome.text
    planned = outcome.planned()
    assert planned["train_sft"] == len(TRAINED)
    assert planned["train_grpo"] == len(TRAINED) - 1


@MATRIX
@pytest.mark.parametrize("recipe", [recipe for recipe in TRAINED if recipe.stem != ENGINE], ids=lambda path: path.stem)
def test_a_training_by_the_recipe_ends(
    recipe: Path, paths_to, tmp_path: Path, torch_settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tiny model, whose random texts a judge takes for right now and then."""
    monkeypatch.setattr(question_filter, "is_accurate", lambda text, answer: len(text) % 3 == 0)
    _, changes = laid_over(recipe)
    paths = replace(paths_to(tmp_path), convert=shutil.copytree(paths_to(tmp_path).convert, tmp_path / "convert"))
    for suffix in ("", ".validation"):
        rows = read_json(paths.convert / f"sft/next_event{suffix}.json")
        write_json(paths.convert / f"sft/hindsight{suffix}.json", rows)
    questions = paths.convert / "grpo/next_event_mc.jsonl"
    if changes.get("convert", {}).get("event_chains"):
        write_jsonl(questions, [{**row, "events": ["A cup falls."]} for row in read_jsonl(questions)])
    body = changes.get("experiments", {"nep": {stage: changes[stage] for stage in ("sft", "grpo") if stage in changes}})
    ((name, stages),) = body.items()
    if (sft := stages.get("sft")) is not None:
        train_sft(short_sft(**{**sft, "epochs": 1, "batch_size": 4}), 0, name, paths)
    if (grpo := stages.get("grpo")) is not None:
        small = {key: value for key, value in SMALL.items() if key in grpo}
        sizes = {"steps": 2, "prompts_per_step": 3, "completions": 3, "max_new_tokens": 6, "overlong_buffer": 0}
        # The second parts are not in the cache of these tests.
        small |= {"visual_gain": {**SMALL["visual_gain"], "part": "first"}} if "visual_gain" in grpo else {}
        train_grpo(short_grpo(**{**grpo, **sizes, **small, "lr": 1e-3}), 0, name, paths)
    assert read_json(paths.out / "manifest.json")["steps"] >= 2


def test_the_published_recipe_is_what_the_defaults_are() -> None:
    _, changes = laid_over(ROOT / "config" / "recipes" / "grpo_published.yaml")
    assert Grpo(**changes["grpo"]) == Grpo()


def test_the_dapo_recipe_has_what_makes_dapo() -> None:
    config, _ = laid_over(ROOT / "config" / "recipes" / "grpo_dapo.yaml")
    grpo = config.experiments["nep"].grpo
    assert (grpo.clip_low, grpo.clip_high) == (0.2, 0.28)
    assert grpo.kl_coef == grpo.entropy_coef == 0
    assert grpo.refill_rounds > 0
    assert grpo.overlong_buffer == grpo.max_new_tokens // 5
