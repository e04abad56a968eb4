"""Write into docs/paper.md and docs/recipes.md what each file would cost, by the estimates of `snakemake plan`.

    PYTHONPATH=scripts:tests .venv/bin/python tools/training_costs.py

Nothing is fetched: the base models are their configs, of the data it is known how many videos and questions there are.
Each file is planned alone, in a folder of its own, with the Slurm profile; all of them together, too.
"""

import argparse
import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from snakemake.utils import update_config
from support.qwen_7b import SIZES, TOWER
from transformers import Qwen2_5_VLConfig

from nep.config.whole import load_config
from nep.files import write_json, write_text
from nep.plan.dry_run import dry_run
from nep.plan.run_plan import plan_run

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- costs:begin -->\n).*(<!-- costs:end -->)", re.DOTALL)
PUBLISHED = "config/v1_33k.yaml"
PAPER = tuple(f"config/paper/{name}.yaml" for name in ("table1", "table2", "table3", "table4", "scaling"))
SMALL = "config/paper/with/base_3b.yaml"
# Not sft_hindsight.yaml: the records of V1-33K have no such reasoning.
RECIPES = tuple(
    f"config/recipes/{name}.yaml"
    for name in (
        "sft_text_warmup",
        "grpo_curriculum",
        "grpo_event_chain",
        "grpo_dapo",
        "grpo_dapo_bounded",
        "grpo_difficulty",
        "grpo_visual_gain",
    )
)
# As Qwen2.5-VL-3B-Instruct was released, where it differs from the 7B model.
SIZES_3B = {
    "vocab_size": 151_936,
    "hidden_size": 2048,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "intermediate_size": 11_008,
}
FEW_SHARDS = {"split": {"shards": 1}, "encode": {"shards": 1}}
VIDEOS, QUESTIONS = 33_206, 1056
GPUS, HOUR_S = 8, 3600
RULES = ("encode_shard", "train_sft", "train_grpo", "evaluate_model")
HEAD = "| file | model | trainings | encode | SFT | GRPO | evaluation | GPU-hours | hours on a node of eight |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    paper = [(f"`{Path(file).name}`", [file], "7B") for file in PAPER]
    paper += [("`table2.yaml`", [PAPER[1], SMALL], "3B"), ("all of them", sorted(PAPER), "7B")]
    recipes = [("the published setting", [], "7B"), *((f"`{Path(file).name}`", [file], "7B") for file in RECIPES)]
    write_table(ROOT / "docs/paper.md", paper)
    write_table(ROOT / "docs/recipes.md", recipes)


def write_table(page: Path, plans: Sequence[tuple[str, list[str], str]]) -> None:
    """Write the table of (name, files over the published setting, size of the model) between the page's marks."""
    rows = [row(name, size, planned([PUBLISHED, *files])) for name, files, size in plans]
    table = "\n".join([HEAD, f"|{'---|' * (HEAD.count('|') - 1)}", *rows])
    write_text(page, BLOCK.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page.read_text(encoding="utf-8")))
    print(table)


def planned(files: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Rule → jobs and GPU-hours of a run of these configuration files, laid over one another."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        return _planned(files, Path(folder))


def row(name: str, size: str, jobs: dict[str, tuple[int, float]]) -> str:
    """The table's row; hours by the clock are those of one job after the other, each on all GPUs of a node."""
    hours = [jobs.get(rule, (0, 0.0))[1] for rule in RULES]
    trainings = sum(jobs.get(rule, (0, 0.0))[0] for rule in RULES[1:3])
    cells = [name, size, str(trainings), *(f"{value:.1f}" for value in hours)]
    return f"| {' | '.join([*cells, f'{sum(hours):.0f}', f'{sum(hours) / GPUS:.1f}'])} |"


def _planned(files: Sequence[str], folder: Path) -> dict[str, tuple[int, float]]:
    for part in ("Snakefile", "rules", "scripts", "config", "profiles", "envs"):
        (folder / part).symlink_to(ROOT / part)
    values: dict = {}
    for file in files:
        update_config(values, yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    # Into how many jobs clips are dealt changes no estimate of GPUs, and much of the time that a plan takes.
    update_config(values, FEW_SHARDS)
    config = load_config(values)
    run = Path("results") / config.run
    write_json(run / "download/videos.json", {"count": VIDEOS, "bytes": 0})
    write_json(run / "convert/manifest.json", {"files": {"futurebench.jsonl": {"rows": QUESTIONS}}})
    _write_model(run / "models/base", small=SMALL in files)
    command = ["--profile", "profiles/slurm", "plan", "--software-deployment-method", "env-modules"]
    few = [f"{block}={json.dumps(keys)}" for block, keys in FEW_SHARDS.items()]
    dry = dry_run([*command, "--configfile", *files, "--config", *few], {"all"})
    plan = plan_run(dry, config, run)
    rows = [rule for stage in plan.stages for rule in stage.rules if rule.rule in RULES and rule.to_run]
    if unknown := [rule.rule for rule in rows if rule.cost.gpu_seconds is None]:
        raise SystemExit(f"{', '.join(files)}: no estimate of {', '.join(unknown)}")
    return {rule.rule: (rule.to_run, rule.cost.gpu_seconds / HOUR_S) for rule in rows}


def _write_model(folder: Path, small: bool) -> None:
    """A base model's config, with which its cost is known."""
    sizes, tower = (
        (SIZES | SIZES_3B, {**TOWER, "out_hidden_size": SIZES_3B["hidden_size"]}) if small else (SIZES, TOWER)
    )
    Qwen2_5_VLConfig(text_config=sizes, vision_config=tower, tie_word_embeddings=small).save_pretrained(folder)


if __name__ == "__main__":
    main()
