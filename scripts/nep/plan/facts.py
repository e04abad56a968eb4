"""What is known of a run before it runs: how much data there is, where its base model lies, what is kept."""

import math
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import is_offline_mode

from nep.config.model import Model
from nep.config.source import Source
from nep.config.whole import Config
from nep.download.dataset import PLAIN_FILES, frame_folders, list_source, plain_videos
from nep.download.model import wanted_files
from nep.download.open_place import open_place
from nep.download.table import read_table
from nep.errors import InputError
from nep.files import read_json, read_list
from nep.layout.datasets import dataset_file
from nep.layout.models import BASE, TRAINING_STAGES, model_folder
from nep.layout.stages import stage_folders, work_folders

MODEL_CONFIG = "config.json"


@dataclass(frozen=True)
class Facts:
    """None where something cannot be known yet.

    Attributes:
        videos: number of source videos. video_bytes: what they hold; videos in archives are about as large as these.
        archive_bytes: what the archives hold. rows: data set's path below RUN/convert → number of rows.
        model: folder with (at least) the config of the base model. model_bytes: what the whole model holds.
    """

    root: Path
    config: Config
    videos: int | None
    video_bytes: int | None
    archive_bytes: int | None
    rows: dict[str, int]
    model: Path | None
    model_bytes: int | None

    @property
    def questions(self) -> int | None:
        """Number of evaluation questions."""
        return self.rows.get("futurebench.jsonl")

    def samples(self, stage: str, experiment: str) -> int | None:
        """Rows that an experiment's stage trains on."""
        total = 0
        for name, wanted in getattr(self.config.trainings[experiment], stage).datasets.items():
            there = self.rows.get(dataset_file(stage, name))
            if there is None and wanted is None:
                return None
            total += min(number for number in (there, wanted) if number is not None)
        return total

    def held_out(self, stage: str, experiment: str) -> int:
        """Samples of a validation: the number that is asked for of each data set, or what it has."""
        training = getattr(self.config.trainings[experiment], stage)
        total = 0
        for name in training.datasets:
            rows = self.rows.get(dataset_file(stage, name))
            there = training.validation_samples if rows is None else self._held_out_of(rows)
            total += min(there, training.validation_samples)
        return total

    @property
    def clips(self) -> int | None:
        """Clips that are encoded, at most: one for each row that trainings take, equal data sets and seeds once, and
        another one where the second part is shown, too."""
        rows: dict[str, int] = {}
        seconds: dict[str, int] = {}
        for name, body in self.config.trainings.items():
            for stage in TRAINING_STAGES:
                if (training := getattr(body, stage)) is None:
                    continue
                samples = self.samples(stage, name)
                if samples is None:
                    return self.videos
                drawn = f"{training.datasets} {self.config.seed_of(name)}"
                rows[f"{stage} {drawn}"] = samples + self.held_out(stage, name)
                if stage == "grpo" and training.shows_second_parts:
                    seconds[drawn] = samples
        return self._one_a_video(sum(rows.values())) + self._one_a_video(sum(seconds.values()))

    def _one_a_video(self, clips: int) -> int:
        """So many clips, but no more than there are videos."""
        return clips if self.videos is None else min(clips, self.videos)

    def _held_out_of(self, rows: int) -> int:
        return math.ceil(rows * self.config.convert.validation_fraction)


def read_facts(root: Path, config: Config, scratch: Path) -> Facts:
    """Read what earlier stages have left in the run's folder `root`, else what the sources say of themselves: of a hub
    that answers, sizes, and the model's config, which is put into `scratch`."""
    listing, videos = root / "download/archives.json", root / "download/videos.json"
    downloaded = read_json(videos) if videos.is_file() else None
    archives = [entry["size"] for entry in read_json(listing)["archives"]] if listing.is_file() else _archives(config)
    archive_bytes = sum(archives) if archives else None
    manifest = root / "convert/manifest.json"
    files = read_json(manifest)["files"] if manifest.is_file() else {}
    model, model_bytes = _model(root, config.model, scratch)
    return Facts(
        root=root,
        config=config,
        videos=downloaded["count"] if downloaded else _count(config),
        video_bytes=downloaded["bytes"] if downloaded else archive_bytes,
        archive_bytes=archive_bytes,
        rows={name: entry["rows"] for name, entry in files.items() if "rows" in entry},
        model=model,
        model_bytes=model_bytes,
    )


def size_of(root: Path, stage: str, experiment: str | None) -> int:
    """Bytes of what a stage has written; hard links to the same file count once."""
    found = {}
    for folder in (*stage_folders(stage, [experiment]), *work_folders(stage, [experiment])):
        for path in (root / folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                found[status.st_ino] = status.st_size
    return sum(found.values())


def _archives(config: Config) -> list[int]:
    """Sizes of the source's archives; none where it has none, or cannot be asked."""
    if config.source.kind == "folder":
        folder = Path(config.source.path)
        return [path.stat().st_size for pattern in config.source.archives for path in folder.glob(pattern)]
    if config.source.kind in PLAIN_FILES or is_offline_mode():
        return []
    try:
        return [entry["size"] for entry in list_source(config.source)["archives"]]
    except InputError:
        # What the hub says to that is for the checks.
        return []


def _count(config: Config) -> int | None:
    """Number of videos by the configuration or a local source's annotations."""
    if config.demo.videos:
        return config.demo.videos.train + config.demo.videos.test
    if config.source.kind == "hub":
        return None
    if config.source.kind == "videos":
        return _plain_count(config.source) if Path(config.source.path).is_dir() else None
    annotations = Path(config.source.path) / config.source.annotations
    if not annotations.is_file():
        return None
    if config.source.kind == "table":
        return len(read_table(annotations, config.source.columns))
    return len(read_list(annotations))


def _plain_count(source: Source) -> int:
    place = open_place(source, "dataset")
    return len(plain_videos(source, place)) + len(frame_folders(source, place))


def _model(root: Path, model: Model, scratch: Path) -> tuple[Path | None, int | None]:
    """A folder with the base model's config, and the model's size."""
    for folder in (root / model_folder(BASE), *([Path(model.path)] if model.path else [])):
        if (folder / MODEL_CONFIG).is_file():
            return folder, sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if model.kind != "hub":
        return None, None
    try:
        place = open_place(model, "model")
        fetched = place.fetch(place.describe(MODEL_CONFIG), scratch / MODEL_CONFIG)
        if is_offline_mode():
            return fetched.parent, sum(path.stat().st_size for path in fetched.parent.iterdir() if path.is_file())
        names = wanted_files(place, model.trust_remote_code)
        return fetched.parent, sum(place.describe(name).size for name in names)
    except InputError:
        return None, None
