"""The recipes of config/recipes, laid over a configuration as `--configfile A B` does."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from nep.config.grpo import Grpo
from nep.config.whole import Config, load_config

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "config" / "recipes").glob("grpo_*.yaml"))


def laid_over(recipe: Path) -> tuple[Config, dict]:
    values = yaml.safe_load((ROOT / "config" / "v1_33k.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    update_config(values, changes)
    return load_config(values), changes["grpo"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_reaches_the_experiments_of_the_configuration_below(recipe: Path) -> None:
    config, changes = laid_over(recipe)
    trained = config.experiments["nep"].grpo.model_dump()
    assert {key: trained[key] for key in changes} == changes
    assert trained["processes"] == 8


def test_the_published_recipe_is_what_the_defaults_are() -> None:
    _, changes = laid_over(ROOT / "config" / "recipes" / "grpo_published.yaml")
    assert Grpo(**changes) == Grpo()


def test_the_dapo_recipe_has_what_makes_dapo() -> None:
    config, _ = laid_over(ROOT / "config" / "recipes" / "grpo_dapo.yaml")
    grpo = config.experiments["nep"].grpo
    assert (grpo.clip_low, grpo.clip_high) == (0.2, 0.28)
    assert grpo.kl_coef == grpo.entropy_coef == 0
    assert grpo.refill_rounds > 0
    assert grpo.overlong_buffer == grpo.max_new_tokens // 5
