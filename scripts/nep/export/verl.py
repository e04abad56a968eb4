"""verl: an experiment's GRPO as JSON lines of messages, `recipe.yaml` for Hydra, and a reward function."""

from pathlib import Path
from typing import Any

import yaml

from nep.config.vision import Vision
from nep.errors import InputError
from nep.export.experiment import ExperimentExport, write_readme, write_reward
from nep.files import write_jsonl, write_text
from nep.rows.dataset import GrpoRow


def export(job: ExperimentExport, folder: Path) -> None:
    """Write the export of `job` to `folder`. Raises InputError for what verl cannot take."""
    rows = job.grpo_rows()
    if not rows["validation"]:
        raise InputError(
            f"experiments.{job.name}.grpo.datasets: no question to validate on, without which verl does not start; "
            "raise convert.validation_fraction"
        )
    for part, found in rows.items():
        numbered = enumerate(found)
        write_jsonl(folder / f"{part}.jsonl", (verl_row(row, number, job.vision) for number, row in numbered))
    write_text(folder / "recipe.yaml", yaml.safe_dump(training_config(job), sort_keys=False))
    write_reward(folder)
    command = f'python3 -m verl.trainer.main_ppo --config-dir "$PWD/{job.folder}" --config-name recipe'
    write_readme(job, folder, "verl", [command], [f"It starts from `{job.grpo_model}`."])


def verl_row(row: GrpoRow, number: int, vision: Vision) -> dict[str, Any]:
    """A question as a conversation; the budget of frames and pixels goes with each video."""
    budget = {
        "fps": vision.fps,
        "max_frames": vision.frames,
        "min_pixels": vision.min_pixels,
        "max_pixels": vision.max_pixels,
    }
    return {
        "data_source": row.kind,
        "prompt": [{"role": "user", "content": row.problem}],
        "videos": [{"video": path, **budget} for path in row.videos],
        "reward_model": {"style": "rule", "ground_truth": row.answer},
        "extra_info": {"index": number, "id": row.id},
    }


def training_config(job: ExperimentExport) -> dict[str, Any]:
    """The recipe in verl's words, laid over its own `ppo_trainer`."""
    grpo = job.grpo
    return {
        "defaults": ["ppo_trainer", "_self_"],
        "data": {
            "train_files": f"{job.folder}/train.jsonl",
            "val_files": f"{job.folder}/validation.jsonl",
            "max_prompt_length": grpo.max_prompt_tokens,
            "max_response_length": grpo.max_new_tokens,
            "train_batch_size": grpo.prompts_per_step,
            "filter_overlong_prompts": True,
            "seed": job.seed,
        },
        "actor_rollout_ref": {
            "model": {"path": job.grpo_model, "enable_gradient_checkpointing": grpo.gradient_checkpointing},
            "actor": {
                "ppo_mini_batch_size": grpo.prompts_per_step,
                "ppo_micro_batch_size_per_gpu": 1,
                "grad_clip": grpo.grad_clip,
                "clip_ratio": grpo.clip_low,
                "clip_ratio_low": grpo.clip_low,
                "clip_ratio_high": grpo.clip_high,
                "freeze_vision_tower": "vision_tower" in grpo.freeze,
                "use_kl_loss": grpo.kl_coef > 0,
                "kl_loss_type": "low_var_kl",
                "kl_loss_coef": grpo.kl_coef,
                "entropy_coeff": grpo.entropy_coef,
                "optim": {
                    "lr": grpo.lr,
                    "weight_decay": grpo.weight_decay,
                    "lr_scheduler_type": grpo.schedule,
                    "lr_warmup_steps_ratio": grpo.warmup_ratio,
                },
            },
            "ref": {"log_prob_micro_batch_size_per_gpu": 1},
            "rollout": {
                "name": "vllm",
                "n": grpo.completions,
                "temperature": grpo.temperature,
                "tensor_model_parallel_size": 1,
                "log_prob_micro_batch_size_per_gpu": 1,
            },
        },
        "algorithm": {"adv_estimator": "grpo"},
        "reward": {
            "custom_reward_function": {
                "path": f"{job.folder}/reward.py",
                "name": "score_for_verl",
                "reward_kwargs": dict(grpo.rewards),
            }
        },
        "trainer": {
            "project_name": "nep",
            "experiment_name": job.name,
            "logger": ["console"],
            "n_gpus_per_node": grpo.processes,
            "total_training_steps": grpo.steps,
            "test_freq": grpo.validate_every,
            "save_freq": grpo.validate_every,
            "default_local_dir": job.trained("grpo"),
        },
    }
