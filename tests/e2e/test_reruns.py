"""The invalidation table: for every key of the configuration and every module, the rules that run again after a change.

Each key is changed in a finished run, and a module of each kind, and Snakemake's plan compared with the tables of
`support.reruns`; docs/reruns.md shows them, and is written by these tests with `--write-docs`.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from support.reruns import expected, is_tried, keys_of, modules_of, one_of_each, page, reach
from support.workflow import CONFIGS, ROOT, Workplace, merged

from nep.config.whole import load_config

pytestmark = pytest.mark.e2e

# What a key is changed to, where the rule of thumb in `other` does not fit.
CHANGES: dict[str, Any] = {
    "source.path": "elsewhere",
    "source.annotations": "annotations.json",
    "source.questions": "questions.json",
    "source.archives": ["video_data_part0.tar.gz"],
    "demo.videos.questions_per_video": 3,
    "demo.videos.size": 120,
    "demo.model.hidden_size": 96,
    "demo.model.heads": 2,
    "model.path": "elsewhere",
    "split.preset": "fast",
    "split.audio": "keep",
    "split.incomplete": "quarantine",
    "vision.sampling": "fps",
    "vision.frames": 6,
    "vision.min_pixels": 1568,
    "vision.max_pixels": 6272,
    "encode.dtype": "bfloat16",
    "convert.prompts": "config/other.yaml",
    "convert.near_duplicates": "hold_out",
    "convert.distractors": "other_videos",
    "convert.hops": [1],
    "sft.deepspeed": "config/deepspeed/zero3.json",
    "grpo.rewards": {"letter": 0.5},
    "grpo.visual_gain": {"samples": 2},
    "evaluate.variants": ["reason"],
    "evaluate.controls": ["shuffled_frames", "text_only"],
    "evaluate.model_args": {"use_cache": True},
    "evaluate.quantize": "nf4",
    "evaluate.max_new_tokens": {"direct": 3, "reason": 12},
    "evaluate.limit": 3,
    "evaluate.benchmarks": "elsewhere",
    "evaluate.device": "cuda",
    "evaluate.vllm_environment": "elsewhere",
    "evaluate.precision": "bf16",
    "report.headline": "direct",
    "report.notes": {"direct": "A note."},
    "report.title": "Another title",
    "report.tables": {"a": {"title": "A table", "models": {"SFT": "nep-sft"}}},
    "report.curves": {"a": {"title": "A curve", "models": ["nep-sft"]}},
    "sft.tracker": "tensorboard",
    "grpo.tracker": "wandb",
}
PROCESSES = 2


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2


def nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


@pytest.fixture(scope="module")
def plans(small_run) -> dict[str, set[str]]:
    """The rules that a dry run plans after the change of each key."""
    values = yaml.safe_load((CONFIGS / "small.yaml").read_text(encoding="utf-8"))
    (small_run.workplace.root / "config/other.yaml").write_text(
        (ROOT / "config/prompts.yaml").read_text(encoding="utf-8").replace("What", "Which"), encoding="utf-8"
    )

    def plan(item: tuple[str, Any]) -> tuple[str, set[str]]:
        key, value = item
        changed = merged(values, nested(key, CHANGES[key] if key in CHANGES else other(value)))
        config = small_run.workplace.root / f"change-{key}.yaml"
        config.write_text(yaml.safe_dump(changed), encoding="utf-8")
        outcome = small_run.workplace.run(config, "--dry-run", "--nolock")
        assert outcome.status == 0, f"{key}:\n{outcome.text}"
        return key, set(outcome.planned())

    with ThreadPoolExecutor(PROCESSES) as pool:
        return dict(pool.map(plan, [item for item in keys_of(load_config(values)).items() if is_tried(item[0])]))


@pytest.fixture(scope="module")
def after(small_run) -> dict[str, set[str]]:
    return reach(small_run.workplace.run(small_run.config, "--rulegraph", "--forceall").text)


def test_a_changed_key_re_runs_the_rules_of_the_table_and_those_after_them(plans, after) -> None:
    wrong = {}
    for key, planned in plans.items():
        wanted = expected(key, after)
        if planned != wanted:
            wrong[key] = {"not expected": sorted(planned - wanted), "missing": sorted(wanted - planned)}
    assert not wrong


def test_a_changed_module_re_runs_the_rules_that_import_it_and_those_after_them(
    copy_of_small_run: Workplace, after
) -> None:
    config, modules = copy_of_small_run.configure("small"), modules_of(copy_of_small_run.root, after)
    wrong = {}
    for module in one_of_each(modules):
        path = copy_of_small_run.root / "scripts" / module
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\nCHANGED = True\n", encoding="utf-8")
        planned = set(copy_of_small_run.run(config, "--dry-run").planned())
        path.write_text(text, encoding="utf-8")
        if planned != modules[module]:
            wrong[module] = {
                "not expected": sorted(planned - modules[module]),
                "missing": sorted(modules[module] - planned),
            }
    assert not wrong


def test_the_documented_table_is_this_one(after, request: pytest.FixtureRequest) -> None:
    keys = keys_of(load_config(yaml.safe_load((CONFIGS / "small.yaml").read_text(encoding="utf-8"))))
    text = page(list(keys), modules_of(ROOT, after), after)
    if request.config.getoption("--write-docs"):
        (ROOT / "docs/reruns.md").write_text(text, encoding="utf-8")
    assert (ROOT / "docs/reruns.md").read_text(encoding="utf-8") == text


def test_files_that_stages_read_count_by_their_content(copy_of_small_run: Workplace, after) -> None:
    prompts = copy_of_small_run.root / "config/prompts.yaml"
    config = copy_of_small_run.configure("small")
    prompts.touch()
    assert copy_of_small_run.run(config, "--dry-run").planned() == {}
    prompts.write_text(prompts.read_text(encoding="utf-8").replace("What", "Which"), encoding="utf-8")
    assert set(copy_of_small_run.run(config, "--dry-run").planned()) == expected("convert.prompts", after)
