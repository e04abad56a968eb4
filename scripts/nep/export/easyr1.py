"""EasyR1: an experiment's GRPO as JSON lines, `config.yaml`, a prompt template and a reward function."""

from pathlib import Path
from typing import Any

import yaml

from nep.data.prompts import load_prompts
from nep.errors import InputError
from nep.export.experiment import ExperimentExport, write_readme, write_reward
from nep.files import write_jsonl, write_text
from nep.rows.dataset import GrpoRow


def export(job: ExperimentExport, folder: Path) -> None:
    """Write the export of `job` to `folder`. Raises InputError for what EasyR1 cannot take."""
    instruction = load_prompts(job.prompts).instructions.reason
    rows = job.grpo_rows()
    if not rows["validation"]:
        raise InputError(
            f"experiments.{job.name}.grpo.datasets: no question to validate on, without which EasyR1 does not start; "
            "raise convert.validation_fraction"
        )
    for part, found in rows.items():
        write_jsonl(folder / f"{part}.jsonl", (easyr1_row(row, instruction) for row in found))
    write_text(folder / "prompt.jinja", prompt_template(instruction))
    write_text(folder / "config.yaml", yaml.safe_dump(training_config(job), sort_keys=False))
    write_reward(folder)
    command = f"python3 -m verl.trainer.main config={job.folder}/config.yaml"
    remarks = [
        f"It starts from `{job.grpo_model}`.",
        "It drops a prompt of more than `max_prompt_length` tokens.",
        "It has no entropy bonus.",
    ]
    write_readme(job, folder, "EasyR1", [command], remarks, frame_limit=False)


def easyr1_row(row: GrpoRow, instruction: str) -> dict[str, Any]:
    """A question without its instruction, which the prompt template adds. Raises InputError where it has another."""
    problem = row.problem.removesuffix("\n" + instruction)
    if problem == row.problem:
        raise InputError(
            f"question {row.id} does not end with the instruction 'reason' of the prompts, {instruction!r}: "
            "EasyR1 asks all questions alike"
        )
    return {"id": row.id, "problem": problem, "answer": row.answer, "videos": row.videos}


def prompt_template(instruction: str) -> str:
    """Jinja template that makes of an exported `problem`, as `content`, what the run's own GRPO asks."""
    return "{{ content }}\n{% raw %}" + instruction + "{% endraw %}\n"


def training_config(job: ExperimentExport) -> dict[str, Any]:
    """The recipe in EasyR1's words; what is not named keeps EasyR1's default."""
    grpo, vision = job.grpo, job.vision
    return {
        "data": {
            "train_files": f"{job.folder}/train.jsonl",
            "val_files": f"{job.folder}/validation.jsonl",
            "prompt_key": "problem",
            "answer_key": "answer",
            "video_key": "videos",
            "image_dir": ".",
            "video_fps": vision.fps,
            "min_pixels": vision.min_pixels,
            "max_pixels": vision.max_pixels,
            "max_prompt_length": grpo.max_prompt_tokens,
            "max_response_length": grpo.max_new_tokens,
            "rollout_batch_size": grpo.prompts_per_step,
            "val_batch_size": grpo.prompts_per_step,
            "format_prompt": f"{job.folder}/prompt.jinja",
            "seed": job.seed,
        },
        "algorithm": {
            "adv_estimator": "grpo",
            "disable_kl": grpo.kl_coef == 0,
            "use_kl_loss": True,
            "kl_penalty": "low_var_kl",
            "kl_coef": grpo.kl_coef,
        },
        "worker": {
            "actor": {
                "global_batch_size": grpo.prompts_per_step,
                "micro_batch_size_per_device_for_update": 1,
                "micro_batch_size_per_device_for_experience": 1,
                "max_grad_norm": grpo.grad_clip,
                "clip_ratio_low": grpo.clip_low,
                "clip_ratio_high": grpo.clip_high,
                "model": {
                    "model_path": job.grpo_model,
                    "enable_gradient_checkpointing": grpo.gradient_checkpointing,
                    "freeze_vision_tower": "vision_tower" in grpo.freeze,
                },
                "optim": {
                    "lr": grpo.lr,
                    "weight_decay": grpo.weight_decay,
                    "lr_scheduler_type": grpo.schedule,
                    "lr_warmup_ratio": grpo.warmup_ratio,
                },
            },
            "rollout": {
                "n": grpo.completions,
                "temperature": grpo.temperature,
                "tensor_parallel_size": 1,
                "val_override_config": {"temperature": 0.0, "n": 1},
            },
            "reward": {
                "reward_function": f"{job.folder}/reward.py:score_for_easyr1",
                "reward_function_kwargs": dict(grpo.rewards),
            },
        },
        "trainer": {
            "project_name": "nep",
            "experiment_name": job.name,
            "logger": ["console", "file"],
            "n_gpus_per_node": grpo.processes,
            "max_steps": grpo.steps,
            "val_freq": grpo.validate_every,
            "save_freq": grpo.validate_every,
            "save_checkpoint_path": job.trained("grpo"),
        },
    }
