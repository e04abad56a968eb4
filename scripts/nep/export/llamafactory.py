"""LLaMA-Factory: an experiment's SFT as ShareGPT files, `dataset_info.json` and `train.yaml`."""

from pathlib import Path
from typing import Any

import yaml

from nep.errors import InputError
from nep.export.experiment import BASE_MODEL, ExperimentExport, write_readme
from nep.export.hf_trainer import accumulation_steps, deepspeed_config, trainer_arguments
from nep.files import write_json, write_text

# Its chat templates by model family.
TEMPLATES = {"qwen2_vl": "qwen2_vl", "qwen2_5_vl": "qwen2_vl"}
# Frames a second of which `video_maxlen` are then taken at equal distances, as `vision.sampling: uniform` asks.
EVERY_FRAME = 1000.0
FREEZE = {
    "vision_tower": "freeze_vision_tower",
    "projector": "freeze_multi_modal_projector",
    "language_model": "freeze_language_model",
}


def export(job: ExperimentExport, folder: Path) -> None:
    """Write the export of `job` to `folder`. Raises InputError for what has no counterpart in LLaMA-Factory."""
    rows = job.sft_rows()
    for name, found in rows.items():
        write_json(folder / f"{name}.json", [row.to_json() for row in found])
    write_json(folder / "dataset_info.json", dataset_info(sorted(rows)))
    write_json(folder / "deepspeed.json", deepspeed_config(job.sft))
    config = training_config(job, sorted(rows))
    write_text(folder / "train.yaml", yaml.safe_dump(config, sort_keys=False))
    write_readme(job, folder, "LLaMA-Factory", [f"llamafactory-cli train {job.folder}/train.yaml"], [])


def dataset_info(names: list[str]) -> dict[str, Any]:
    """How LLaMA-Factory reads each data set, whose file lies beside `dataset_info.json`."""
    return {
        name: {
            "file_name": f"{name}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "videos": "videos"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
        for name in names
    }


def training_config(job: ExperimentExport, datasets: list[str]) -> dict[str, Any]:
    """The recipe in LLaMA-Factory's words. Raises InputError for a model family without a template here."""
    sft, vision, family = job.sft, job.vision, job.model_family()
    if family not in TEMPLATES:
        raise InputError(
            f"{job.run / BASE_MODEL}: model family {family!r} has no template of LLaMA-Factory here; "
            f"known: {', '.join(TEMPLATES)}"
        )
    return {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": BASE_MODEL,
        "template": TEMPLATES[family],
        "finetuning_type": "full",
        **{option: part in sft.freeze for part, option in FREEZE.items()},
        "deepspeed": f"{job.folder}/deepspeed.json",
        "dataset": ",".join(datasets),
        "dataset_dir": job.folder,
        "media_dir": ".",
        "cutoff_len": sft.max_tokens,
        "video_fps": vision.fps if vision.sampling == "fps" else EVERY_FRAME,
        "video_maxlen": vision.frames,
        "video_min_pixels": vision.min_pixels,
        "video_max_pixels": vision.max_pixels,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": accumulation_steps(
            f"experiments.{job.name}.sft.batch_size", sft.batch_size, sft.processes
        ),
        "num_train_epochs": float(sft.epochs),
        "disable_gradient_checkpointing": not sft.gradient_checkpointing,
        **trainer_arguments(sft, job.seed, job.trained("sft")),
    }
