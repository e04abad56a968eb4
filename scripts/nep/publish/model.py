"""A trained model as a repository: the files of its manifest, and the card of the run's report."""

from pathlib import Path

from nep.errors import InputError
from nep.files import is_intact, read_json, write_text
from nep.layout.models import experiment_and_stage, model_folder, model_manifest, trained_in
from nep.publish.bundle import BRANCH, Bundle, Target
from nep.publish.card import read_card, use_section, write_card
from nep.publish.licence import Licence

CARD = "README.md"
STALE = ("*.safetensors", "*.safetensors.index.json")


def chosen_model(run: Path, name: str | None) -> str:
    """The model of this name; without one, the last stage of the only experiment. Raises InputError."""
    there = trained_in(run)
    if not there:
        raise InputError(f"{run}: no model is trained ({model_manifest('EXPERIMENT-STAGE')} is missing)")
    if name is not None and name not in there:
        raise InputError(f"--model {name!r}: the run has {', '.join(there)}")
    if name is None and len({experiment_and_stage(model)[0] for model in there}) > 1:
        raise InputError(f"{run}: several experiments; say which with --model: {', '.join(there)}")
    return name or there[-1]


def model_bundle(run: Path, name: str, target: Target, licence: Licence, data: str | None, staging: Path) -> Bundle:
    """The model `name` of the run at `run`; its card, which names the data set `data`, is written to `staging`.

    Raises InputError where a file is not that of the manifest, or the report has no card of this model.
    """
    folder, manifest = run / model_folder(name), run / model_manifest(name)
    files = {file: folder / file for file in read_json(manifest)["files"]}
    for file, digest in read_json(manifest)["files"].items():
        if not is_intact(folder / file, digest):
            raise InputError(f"{folder / file}: not the file of {manifest}; run the workflow, which makes it anew")
    bundle = Bundle(f"model-{name}", target, {**files, CARD: staging / CARD}, STALE, ("model", {}))
    write_text(staging / CARD, model_card(run, name, bundle, licence, data))
    return bundle


def model_card(run: Path, name: str, bundle: Bundle, licence: Licence, data: str | None) -> str:
    """The report's card with licence, data set, and how the model is used: frames and pixels as it was evaluated."""
    source, scores = run / "report/cards" / name / CARD, run / "evaluate" / name / "scores.json"
    trained = run / model_manifest(name)
    if not source.is_file() or source.stat().st_mtime < trained.stat().st_mtime:
        raise InputError(
            f"{source}: {'older than the model' if source.is_file() else 'missing'}; the report writes the card "
            "(snakemake report)"
        )
    header, text = read_card(source.read_text(encoding="utf-8"), str(source))
    changes = {**licence.header, **({"datasets": [data]} if data else {})}
    vision = read_json(scores)["vision"]
    intro = (
        "In a configuration of NEP, the workflow for next-event prediction, this model is the base: it is evaluated "
        "as `base`,\nand an experiment goes on training from it. A commit hash in the place of `main` pins it."
    )
    use = use_section(intro, {**bundle.configuration(BRANCH), "vision": vision})
    return write_card({**changes, **header, **changes}, text + use)
