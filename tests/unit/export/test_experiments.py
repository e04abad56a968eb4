"""Exports of an experiment: each file against the rows and the recipe of the run."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from datasets import load_dataset
from support.entry_points import run_script
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig, unset_hf_deepspeed_config

from nep.data.selection import select_grpo, select_sft
from nep.errors import InputError
from nep.export.consumers import export_experiment
from nep.export.experiment import ExperimentExport
from nep.files import read_json, read_jsonl, sha256_of_file
from nep.layout.exports import EXPORTED_STAGES
from nep.rows.dataset import DatasetRow

Make = Callable[..., ExperimentExport]


def export(job: ExperimentExport) -> Path:
    """Write the export; its folder."""
    export_experiment(job)
    return job.run / job.folder


def read_yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sft_rows(job: ExperimentExport) -> dict[str, list[dict[str, Any]]]:
    files = {name: job.run / f"convert/sft/{name}.json" for name in job.sft.datasets}
    return as_json(select_sft(files, job.sft, job.seed))


def grpo_rows(job: ExperimentExport) -> dict[str, list[dict[str, Any]]]:
    files = {"next_event_mc": job.run / "convert/grpo/next_event_mc.jsonl"}
    return as_json(select_grpo(files, job.grpo, job.grpo.validation_samples, job.seed))


def as_json(rows: Mapping[str, list[DatasetRow]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [row.to_json() for row in found] for name, found in rows.items()}


@pytest.mark.parametrize("consumer", EXPORTED_STAGES)
def test_same_bytes_in_the_same_folder_and_nothing_absolute(consumer: str, make_job: Make) -> None:
    job = make_job(consumer)
    first = {path.name: sha256_of_file(path) for path in export(job).iterdir()}
    assert {path.name: sha256_of_file(path) for path in export(job).iterdir()} == first
    for path in (job.run / job.folder).iterdir():
        assert str(job.run) not in path.read_text(encoding="utf-8"), path
    assert "README.md" in first
    assert job.folder in (job.run / job.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("consumer", EXPORTED_STAGES)
def test_full_tuning_in_the_place_of_adapters_is_said(consumer: str, make_job: Make) -> None:
    said = "The run itself trains adapters in GRPO (`lora`), this all weights."
    assert said in (export(make_job(consumer, grpo={"lora": {}})) / "README.md").read_text(encoding="utf-8")
    assert "adapters" not in (export(make_job(consumer)) / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("consumer", EXPORTED_STAGES)
def test_paths_in_the_configuration_lead_to_files_below_the_run(consumer: str, make_job: Make) -> None:
    job = make_job(consumer)
    folder = export(job)

    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in strings(item)]
        if isinstance(value, list):
            return [text for item in value for text in strings(item)]
        return [value] if isinstance(value, str) else []

    found = [text for path in folder.glob("*.yaml") for text in strings(read_yaml(path)) if text.startswith("export/")]
    assert found
    for text in found:
        assert (job.run / text.split(":")[0]).exists(), text


def test_llamafactory_reads_the_rows_of_the_trainer(make_job: Make) -> None:
    job = make_job("llamafactory")
    folder = export(job)
    info = read_json(folder / "dataset_info.json")
    expected = sft_rows(job)
    assert set(info) == set(expected) == {"next_event", "distill"} and len(expected["next_event"]) == 8
    for name, entry in info.items():
        rows = read_json(folder / entry["file_name"])
        assert rows == expected[name]
        assert set(entry["columns"].values()) <= set(rows[0])
        tags = entry["tags"]
        turns = [tags["user_tag"], tags["assistant_tag"]]
        for row in rows:
            roles = [message[tags["role_tag"]] for message in row["messages"]]
            assert roles in (turns, [tags["system_tag"], *turns])
            text = "".join(message[tags["content_tag"]] for message in row["messages"])
            assert text.count("<video>") == len(row["videos"]) == 1


def test_llamafactory_gets_the_published_recipe(make_job: Make) -> None:
    job = make_job("llamafactory", sft={"precision": "bf16", "processes": 8})
    config = read_yaml(export(job) / "train.yaml")
    assert config["per_device_train_batch_size"] * config["gradient_accumulation_steps"] * 8 == 16
    assert (config["freeze_vision_tower"], config["freeze_multi_modal_projector"]) == (True, True)
    assert (config["freeze_language_model"], config["finetuning_type"], config["bf16"]) == (False, "full", True)
    assert (config["learning_rate"], config["lr_scheduler_type"], config["warmup_ratio"]) == (1e-5, "cosine", 0.1)
    assert (config["num_train_epochs"], config["video_max_pixels"], config["cutoff_len"]) == (3.0, 16384, 32768)


@pytest.fixture
def forgotten_deepspeed() -> Iterator[None]:
    """transformers loads each later model of the process by the last file that it was told."""
    yield
    unset_hf_deepspeed_config()


@pytest.mark.usefixtures("forgotten_deepspeed")
@pytest.mark.parametrize(("consumer", "file"), [("llamafactory", "deepspeed.json"), ("swift", "sft.deepspeed.json")])
def test_the_trainer_completes_the_deepspeed_file(consumer: str, file: str, make_job: Make) -> None:
    from transformers import TrainingArguments

    path = export(make_job(consumer)) / file
    config = HfTrainerDeepSpeedConfig(str(path))
    arguments = TrainingArguments(per_device_train_batch_size=2, gradient_accumulation_steps=4, max_grad_norm=1.0)
    config.trainer_config_process(arguments)
    assert (config.get_value("train_micro_batch_size_per_gpu"), config.get_value("train_batch_size")) == (2, 8)
    assert config.get_value("zero_optimization.stage") == 3
    assert "auto" not in json.dumps(config.config)


def test_easyr1_asks_what_the_run_asks_and_only_once(make_job: Make, tmp_path: Path) -> None:
    job = make_job("easyr1")
    folder = export(job)
    template = jinja2.Template((folder / "prompt.jinja").read_text(encoding="utf-8").strip())
    for part, expected in grpo_rows(job).items():
        file = str(folder / f"{part}.jsonl")
        loaded = load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(loaded) == len(expected) > 0
        for row, asked in zip(loaded, expected, strict=True):
            prompt = template.render(content=row["problem"])
            assert prompt == asked["problem"]
            assert (prompt.count("<video>"), prompt.count("<answer>")) == (1, 1)
            assert (row["answer"], row["videos"]) == (asked["answer"], asked["videos"])


def test_easyr1_gets_the_published_recipe(make_job: Make) -> None:
    job = make_job("easyr1", grpo={"rewards": {"letter": 0.9, "format": 0.1}, "gradient_checkpointing": True})
    config = read_yaml(export(job) / "config.yaml")
    data, actor, rollout = config["data"], config["worker"]["actor"], config["worker"]["rollout"]
    assert (data["rollout_batch_size"], actor["global_batch_size"], rollout["n"]) == (16, 16, 8)
    assert (data["max_prompt_length"], data["max_response_length"], data["max_pixels"]) == (4096, 2048, 16384)
    assert config["algorithm"]["kl_coef"] == 1e-2 and config["algorithm"]["kl_penalty"] == "low_var_kl"
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"], actor["max_grad_norm"]) == (0.2, 0.2, 1.0)
    assert (actor["optim"]["lr"], actor["optim"]["lr_scheduler_type"]) == (1e-6, "constant")
    assert config["worker"]["reward"]["reward_function_kwargs"] == {"letter": 0.9, "format": 0.1}
    assert actor["model"]["model_path"] == "nep/sft/model"


def test_verl_gets_a_conversation_with_the_budget_beside_each_video(make_job: Make) -> None:
    job = make_job("verl")
    folder = export(job)
    for part, expected in grpo_rows(job).items():
        rows = read_jsonl(folder / f"{part}.jsonl")
        assert [row["prompt"] for row in rows] == [[{"role": "user", "content": row["problem"]}] for row in expected]
        assert [row["reward_model"]["ground_truth"] for row in rows] == [row["answer"] for row in expected]
        assert [row["extra_info"]["id"] for row in rows] == [row["id"] for row in expected]
        assert rows[0]["videos"] == [
            {"video": path, "fps": 2.0, "max_frames": 32, "min_pixels": 3136, "max_pixels": 16384}
            for path in expected[0]["videos"]
        ]


def test_swift_gets_dialogues_and_questions_with_a_solution(make_job: Make) -> None:
    job = make_job("swift")
    folder = export(job)
    expected = [row for rows in sft_rows(job).values() for row in rows]
    rows = read_jsonl(folder / "sft.jsonl")
    assert [(row["messages"], row["videos"]) for row in rows] == [(row["messages"], row["videos"]) for row in expected]
    for part, questions in grpo_rows(job).items():
        rows = read_jsonl(folder / f"grpo.{part}.jsonl")
        assert [row["messages"] for row in rows] == [[{"role": "user", "content": row["problem"]}] for row in questions]
        assert [row["solution"] for row in rows] == [row["answer"] for row in questions]
    config = read_yaml(folder / "grpo.yaml")
    completions = config["per_device_train_batch_size"] * config["gradient_accumulation_steps"]
    assert completions == 16 * 8 == 16 * config["num_generations"]


@pytest.mark.parametrize("consumer", ["llamafactory", "easyr1", "verl", "swift"])
def test_an_experiment_without_the_stage_is_named(consumer: str, make_job: Make) -> None:
    job = make_job(consumer)
    lacking = "sft" if consumer == "llamafactory" else "grpo"
    experiment = job.experiment.model_copy(update={lacking: None})
    if consumer == "swift":
        files = {path.name for path in export(make_job("swift", experiment=experiment)).iterdir()}
        assert files == {"README.md", "sft.jsonl", "sft.yaml", "sft.deepspeed.json"}
        return
    with pytest.raises(InputError, match=rf"experiments\.nep: no '{lacking}'"):
        export(make_job(consumer, experiment=experiment))


@pytest.mark.parametrize(
    ("consumer", "changes", "message"),
    [
        ("llamafactory", {"sft": {"datasets": {"critique": 0}}}, r"experiments\.nep\.sft\.datasets: no row"),
        ("llamafactory", {"sft": {"processes": 3}}, r"sft\.batch_size 16 is no multiple of 3 processes"),
        ("swift", {"sft": {"processes": 32}}, r"sft\.batch_size 16 is no multiple of 32 processes"),
        ("swift", {"grpo": {"processes": 5}}, r"grpo\.prompts_per_step 16 is no multiple of 5 processes"),
        ("easyr1", {"grpo": {"datasets": {"next_event_mc": 0}}}, r"grpo\.datasets: no question to train on"),
    ],
)
def test_what_cannot_be_said_in_a_consumers_words_is_an_error(
    consumer: str, changes: dict[str, Any], message: str, make_job: Make
) -> None:
    job = make_job(consumer, name="bad", **changes)
    with pytest.raises(InputError, match=message.replace(r"\.nep", r"\.bad")):
        export(job)
    assert not (job.run / job.folder).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"ratio": "sequence"},
        {"refill_rounds": 2},
        {"rollout": "vllm", "mismatch": {}},
        {"rewards": {"similarity": 1.0}},
        {"order": "by_hops"},
    ],
)
def test_another_algorithm_or_reward_is_refused_and_not_lost(change: dict[str, Any], make_job: Make) -> None:
    experiment = make_job("swift").experiment
    changed = experiment.model_copy(update={"grpo": experiment.grpo.model_copy(update=change)})
    job = make_job("swift", experiment=changed)
    lost = r"(ratio|refill_rounds|mismatch|rewards\.similarity|order)"
    with pytest.raises(InputError, match=rf"grpo: {lost} cannot be exported"):
        job.grpo_rows()


def test_a_warm_up_is_refused_and_not_lost(make_job: Make) -> None:
    experiment = make_job("llamafactory").experiment
    changed = experiment.model_copy(update={"sft": experiment.sft.model_copy(update={"text_only_epochs": 1})})
    with pytest.raises(InputError, match=r"\.sft: text_only_epochs cannot be exported"):
        export(make_job("llamafactory", experiment=changed))


def test_questions_with_another_instruction_are_not_asked_twice(make_job: Make, tmp_path: Path) -> None:
    job = make_job("easyr1", name="other")
    prompts = read_yaml(job.prompts)
    prompts["instructions"]["reason"] = "Reason, then answer."
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(prompts), encoding="utf-8")
    with pytest.raises(InputError, match="does not end with the instruction"):
        export(make_job("easyr1", name="other", prompts=tmp_path / "prompts.yaml"))


@pytest.mark.parametrize("consumer", ["easyr1", "verl"])
def test_without_a_question_to_validate_on_there_is_no_export(consumer: str, make_job: Make, tmp_path: Path) -> None:
    job = make_job(consumer, run=tmp_path)
    rows = read_jsonl(make_job(consumer).run / "convert/grpo/next_event_mc.jsonl")
    (tmp_path / "convert/grpo").mkdir(parents=True)
    lines = [json.dumps(row) + "\n" for row in rows if row["part"] == "train"]
    (tmp_path / "convert/grpo/next_event_mc.jsonl").write_text("".join(lines))
    with pytest.raises(InputError, match=r"raise convert\.validation_fraction"):
        export(job)


def test_a_family_without_a_template_is_named(make_job: Make, tmp_path: Path) -> None:
    run = make_job("llamafactory").run
    (tmp_path / "convert").symlink_to(run / "convert")
    (tmp_path / "models/base").mkdir(parents=True)
    (tmp_path / "models/base/config.json").write_text('{"model_type": "llava"}')
    for consumer in ("llamafactory", "swift"):
        with pytest.raises(InputError, match=r"model family 'llava'.*known: qwen2_vl, qwen2_5_vl"):
            export(make_job(consumer, run=tmp_path))


def test_the_entry_point_writes_the_same_export(make_job: Make) -> None:
    job = make_job("verl")
    expected = {path.name: sha256_of_file(path) for path in export(job).iterdir()}
    done = run_script(
        "export_experiment.py",
        *("--consumer", "verl", "--name", job.name, "--experiment", job.experiment.model_dump_json()),
        *("--vision", job.vision.model_dump_json(), "--prompts", job.prompts, "--seed", job.seed),
        *("--grpo-model", job.run / job.grpo_model, "--run-dir", job.run),
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: sha256_of_file(path) for path in (job.run / job.folder).iterdir()} == expected
