"""One experiment for one consumer: what is exported, and where it lies."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nep.config.experiment import Experiment
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.data.selection import select_grpo, select_sft
from nep.errors import InputError
from nep.files import read_json, write_text
from nep.layout.datasets import dataset_file
from nep.layout.models import BASE, model_folder
from nep.rows.dataset import GrpoRow, Part, SftRow

BASE_MODEL = model_folder(BASE)
# What makes another algorithm of GRPO, or chooses and orders samples on the way: it has no place in the exports.
NOT_EXPORTED_SFT = ("text_only_epochs",)
NOT_EXPORTED = (
    "advantages",
    "loss_mean",
    "ratio",
    "dual_clip",
    "mismatch",
    "kl",
    "refill_rounds",
    "refill_accuracy",
    "difficulty",
    "visual_gain",
    "order",
    "overlong_buffer",
    "shuffled_bonus",
)
EXPORTED_REWARDS = {"letter", "format"}


@dataclass(frozen=True)
class ExperimentExport:
    """Consumers are started in the run's folder, `run`: every path that they read is relative to it.

    `grpo_model` is the checkpoint folder that GRPO starts from.
    """

    consumer: str
    name: str
    experiment: Experiment
    vision: Vision
    prompts: Path
    seed: int
    grpo_model: str
    run: Path

    @property
    def folder(self) -> str:
        """Where the export lies."""
        return f"export/{self.consumer}/{self.name}"

    def trained(self, stage: str) -> str:
        """Where the consumer writes what it trains: not into the export, which may be written again."""
        return f"trained/{self.consumer}/{self.name}/{stage}"

    @property
    def sft(self) -> Sft:
        """The recipe of SFT. Raises InputError where the experiment has none, or one that an export cannot say."""
        if self.experiment.sft is None:
            raise InputError(f"experiments.{self.name}: no 'sft', which is what the export for {self.consumer} holds")
        _refuse(f"{self.name}.sft", _changed(self.experiment.sft, NOT_EXPORTED_SFT))
        return self.experiment.sft

    @property
    def grpo(self) -> Grpo:
        """The recipe of GRPO. Raises InputError where the experiment has none, or one that an export cannot say."""
        if self.experiment.grpo is None:
            raise InputError(f"experiments.{self.name}: no 'grpo', which is what the export for {self.consumer} holds")
        _check_exportable(self.name, self.experiment.grpo)
        return self.experiment.grpo

    def sft_rows(self) -> dict[str, list[SftRow]]:
        """The rows that SFT trains on, by data set, without empty sets. Raises InputError where there is no row."""
        files = {name: self.run / "convert" / dataset_file("sft", name) for name in self.sft.datasets}
        rows = {name: found for name, found in select_sft(files, self.sft, self.seed).items() if found}
        if not rows:
            raise InputError(f"experiments.{self.name}.sft.datasets: no row in {', '.join(files)}; nothing to export")
        return rows

    def grpo_rows(self) -> dict[Part, list[GrpoRow]]:
        """The questions of GRPO by part. Raises InputError where there is none to train on."""
        files = {name: self.run / "convert" / dataset_file("grpo", name) for name in self.grpo.datasets}
        rows = select_grpo(files, self.grpo, self.grpo.validation_samples, self.seed)
        if not rows["train"]:
            raise InputError(f"experiments.{self.name}.grpo.datasets: no question to train on in {', '.join(files)}")
        return rows

    def model_family(self) -> str:
        """`model_type` of the base model."""
        return read_json(self.run / BASE_MODEL / "config.json").get("model_type")


def _check_exportable(name: str, grpo: Grpo) -> None:
    """Raise InputError for settings of GRPO that the files for other trainers would silently lose."""
    rewards = [f"rewards.{reward}" for reward in grpo.rewards if reward not in EXPORTED_REWARDS]
    _refuse(f"{name}.grpo", _changed(grpo, NOT_EXPORTED) + rewards)


def _changed(training: Sft | Grpo, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if getattr(training, key) != type(training).model_fields[key].default]


def _refuse(place: str, lost: list[str]) -> None:
    if lost:
        raise InputError(
            f"experiments.{place}: {', '.join(lost)} cannot be exported; take them out of a copy of the experiment"
        )


def write_readme(
    job: ExperimentExport, folder: Path, program: str, commands: list[str], remarks: list[str], frame_limit: bool = True
) -> None:
    """README.md of an export: how to start the consumer, and in what it differs from the run's own training.

    `frame_limit`: whether it takes `vision.frames` as the limit on the frames of a clip.
    """
    frames = f"Frames come at {job.vision.fps:g} a second, "
    frames += f"{job.vision.frames} at most." if frame_limit else "without a limit on their number."
    if job.vision.sampling == "uniform":
        frames += f" The run itself takes {job.vision.frames} at equal distances from each clip."
    stages = {"SFT": job.experiment.sft, "GRPO": job.experiment.grpo}
    adapted = [name for name, stage in stages.items() if stage is not None and stage.lora]
    if adapted:
        remarks = [*remarks, f"The run itself trains adapters in {' and '.join(adapted)} (`lora`), this all weights."]
    lines = [
        f"# Experiment `{job.name}` for {program}",
        "Start it in the run's folder, to which every path is relative (the folder may be moved as a whole):",
        "```bash\n" + "\n".join(commands) + "\n```",
        *[f"- {remark}" for remark in (frames, *remarks)],
    ]
    write_text(folder / "README.md", "\n\n".join(lines[:3]) + "\n\n" + "\n".join(lines[3:]) + "\n")


def write_reward(folder: Path) -> None:
    """The reward function, as a file of its own."""
    shutil.copyfile(Path(__file__).with_name("reward.py"), folder / "reward.py")
