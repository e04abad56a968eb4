"""The data sets of a run as a repository that `datasets` loads and that is the source of another run."""

from pathlib import Path

from nep.errors import InputError
from nep.export.hf import export_run
from nep.files import is_intact, read_json, write_text
from nep.publish.bundle import BRANCH, Bundle, Target
from nep.publish.card import read_card, use_section, write_card
from nep.publish.licence import Licence
from nep.publish.source_videos import whole_videos
from nep.publish.video_shards import FOLDER, PATTERN, SPLIT, write_shards

CARD = "README.md"
ANNOTATIONS, QUESTIONS = "next_event_prediction.json", "futurebench.json"
STALE = ("data/*", f"{FOLDER}/*")
WITHOUT_VIDEOS = (
    "The videos are not in this repository: `video_id` and `view` name a clip, `videos` its path below the folder of "
    "a\nrun of NEP, the workflow for next-event prediction."
)
WITH_VIDEOS = (
    "The configuration `videos` holds the whole videos with their `split_time` in seconds. A row's `video_id` and "
    "`view`\nname its clip: `first` is the video up to that time, `second` what follows, `full` all of it; `videos` is "
    "the clip's\npath below the folder of a run of NEP, the workflow for next-event prediction."
)
USE = (
    "A configuration of NEP, the workflow for next-event prediction, reads annotations, questions and videos from "
    "here. A\ncommit hash in the place of `main` pins them."
)


def data_bundle(run: Path, target: Target, licence: Licence, with_videos: bool, staging: Path) -> Bundle:
    """All data sets, with annotations and whole videos where asked; written below `staging`.

    Raises InputError where a file is not that of its manifest.
    """
    check_convert(run)
    export_run(run, staging / "sets", WITH_VIDEOS if with_videos else WITHOUT_VIDEOS)
    sets = {
        path.relative_to(staging / "sets").as_posix(): path for path in sorted((staging / "sets").rglob("*.parquet"))
    }
    header, text = read_card((staging / "sets" / CARD).read_text(encoding="utf-8"), CARD)
    header = {**licence.header, **header}
    bundle = Bundle("data", target, {**sets, CARD: staging / CARD}, STALE)
    if with_videos:
        header["configs"].append(videos_config())
        files = {**bundle.files, **published_annotations(run), **write_shards(whole_videos(run), staging)}
        bundle = Bundle("data", target, files, STALE, ("source", {"archives": [PATTERN]}))
        text += use_section(USE, bundle.configuration(BRANCH))
    write_text(staging / CARD, write_card(header, text))
    return bundle


def videos_config() -> dict[str, object]:
    """The header's entry by which `load_dataset` finds the videos."""
    return {"config_name": "videos", "data_files": [{"split": SPLIT, "path": PATTERN}]}


def check_convert(run: Path) -> None:
    """Raise InputError where a data set is not the file of the convert stage's manifest."""
    manifest = run / "convert/manifest.json"
    for name, file in read_json(manifest)["files"].items():
        if not is_intact(run / "convert" / name, file["sha256"]):
            raise InputError(
                f"{run / 'convert' / name}: not the file of {manifest}; run the workflow (snakemake convert)"
            )


def published_annotations(run: Path) -> dict[str, Path]:
    """The files of annotations and questions that the run's records were read from."""
    annotated, written = run / "annotate" / ANNOTATIONS, run / "questions" / QUESTIONS
    brought = run / "download/annotations"
    return {
        ANNOTATIONS: annotated if annotated.is_file() else brought / ANNOTATIONS,
        QUESTIONS: written if written.is_file() else brought / QUESTIONS,
    }
