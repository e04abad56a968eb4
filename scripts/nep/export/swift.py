"""ms-swift: an experiment's SFT and GRPO as JSON lines, a YAML for each, and a plugin with the rewards."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from nep.config.training import Training
from nep.errors import InputError
from nep.export.experiment import BASE_MODEL, ExperimentExport, write_readme, write_reward
from nep.export.hf_trainer import accumulation_steps, deepspeed_config, trainer_arguments
from nep.files import write_json, write_jsonl, write_text
from nep.rows.dataset import GrpoRow

# Its names of the model families; those of its chat templates are the same.
MODEL_TYPES = {"qwen2_vl": "qwen2_vl", "qwen2_5_vl": "qwen2_5_vl"}


def export(job: ExperimentExport, folder: Path) -> None:
    """Write the export of `job`, of the stages that it has, to `folder`. Raises InputError for what cannot be said."""
    commands, remarks = [], []
    if job.experiment.sft is not None:
        rows = [row for found in job.sft_rows().values() for row in found]
        written = ({"id": row.id, "messages": row.turns, "videos": row.videos} for row in rows)
        write_jsonl(folder / "sft.jsonl", written)
        _write_recipe(folder, "sft", sft_config(job), job.sft)
        commands.append(f"swift sft {job.folder}/sft.yaml")
    if job.experiment.grpo is not None:
        rows = job.grpo_rows()
        for part, found in rows.items():
            if found:
                write_jsonl(folder / f"grpo.{part}.jsonl", map(grpo_row, found))
        _write_recipe(folder, "grpo", grpo_config(job, validated=bool(rows["validation"])), job.grpo)
        write_reward(folder)
        shutil.copyfile(Path(__file__).with_name("swift_plugin.py"), folder / "plugin.py")
        commands.append(f"swift rlhf {job.folder}/grpo.yaml")
        remarks = [f"GRPO starts from `{job.grpo_model}`.", "It has no entropy bonus."]
    processes = [stage.processes for stage in (job.experiment.sft, job.experiment.grpo) if stage is not None]
    write_readme(job, folder, "ms-swift", [f"export NPROC_PER_NODE={max(processes)}", *commands], remarks)


def grpo_row(row: GrpoRow) -> dict[str, Any]:
    """A question; `solution` reaches the reward functions."""
    return {
        "id": row.id,
        "messages": [{"role": "user", "content": row.problem}],
        "videos": row.videos,
        "solution": row.answer,
    }


def sft_config(job: ExperimentExport) -> dict[str, Any]:
    """The recipe of SFT in ms-swift's words. Raises InputError where its batch cannot be divided."""
    sft = job.sft
    return {
        **_model(job, BASE_MODEL, sft),
        "dataset": [f"{job.folder}/sft.jsonl"],
        "max_length": sft.max_tokens,
        "num_train_epochs": sft.epochs,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": accumulation_steps(
            f"experiments.{job.name}.sft.batch_size", sft.batch_size, sft.processes
        ),
        "deepspeed": f"{job.folder}/sft.deepspeed.json",
        **trainer_arguments(sft, job.seed, job.trained("sft")),
    }


def grpo_config(job: ExperimentExport, validated: bool) -> dict[str, Any]:
    """The recipe of GRPO in ms-swift's words. Raises InputError where its batch cannot be divided."""
    grpo = job.grpo
    validation = {
        "val_dataset": [f"{job.folder}/grpo.validation.jsonl"],
        "eval_strategy": "steps",
        "eval_steps": grpo.validate_every,
        "num_generations_eval": 1,
    }
    return {
        "rlhf_type": "grpo",
        **_model(job, job.grpo_model, grpo),
        "dataset": [f"{job.folder}/grpo.train.jsonl"],
        **(validation if validated else {}),
        "external_plugins": [f"{job.folder}/plugin.py"],
        "reward_funcs": [f"nep_{name}" for name in grpo.rewards],
        "reward_weights": list(grpo.rewards.values()),
        "num_generations": grpo.completions,
        "temperature": grpo.temperature,
        "max_length": grpo.max_prompt_tokens,
        "max_completion_length": grpo.max_new_tokens,
        "truncation_strategy": "delete",
        "loss_type": "dapo",
        "epsilon": grpo.clip_low,
        "epsilon_high": grpo.clip_high,
        "beta": grpo.kl_coef,
        "max_steps": grpo.steps,
        "per_device_train_batch_size": grpo.completions,
        "gradient_accumulation_steps": accumulation_steps(
            f"experiments.{job.name}.grpo.prompts_per_step",
            grpo.prompts_per_step,
            grpo.processes,
        ),
        "deepspeed": f"{job.folder}/grpo.deepspeed.json",
        **trainer_arguments(grpo, job.seed, job.trained("grpo")),
    }


def _model(job: ExperimentExport, folder: str, training: Training) -> dict[str, Any]:
    family = job.model_family()
    if family not in MODEL_TYPES:
        raise InputError(
            f"{job.run / BASE_MODEL}: model family {family!r} is not known to the export for ms-swift; "
            f"known: {', '.join(MODEL_TYPES)}"
        )
    vision = job.vision
    return {
        # Its readers of videos take their budget from the environment.
        "ENV": {
            "FPS": vision.fps,
            "FPS_MAX_FRAMES": vision.frames,
            "VIDEO_MIN_PIXELS": vision.min_pixels,
            "VIDEO_MAX_PIXELS": vision.max_pixels,
        },
        "model": folder,
        "model_type": MODEL_TYPES[family],
        "template": MODEL_TYPES[family],
        "tuner_type": "full",
        "torch_dtype": "bfloat16" if training.precision == "bf16" else "float32",
        "freeze_vit": "vision_tower" in training.freeze,
        "freeze_aligner": "projector" in training.freeze,
        "freeze_llm": "language_model" in training.freeze,
        "gradient_checkpointing": training.gradient_checkpointing,
    }


def _write_recipe(folder: Path, stage: str, config: dict[str, Any], training: Training) -> None:
    write_text(folder / f"{stage}.yaml", yaml.safe_dump(config, sort_keys=False))
    write_json(folder / f"{stage}.deepspeed.json", deepspeed_config(training))
