"""The page as a folder that can be put up by itself, as a Docker Space of the hub or anywhere else."""

import shutil
from pathlib import Path

from nep.app.examples import QUESTIONS, RECORDS, VIDEOS, examples_of
from nep.errors import InputError
from nep.files import atomic_path, link_or_copy
from nep.layout.models import BASE, model_folder, model_manifest
from nep.predict.run_models import RunModels, models_of_run
from nep.rows.base import write_rows

ENTRY = "scripts/serve_app.py"
LIBRARY = "scripts/nep"
PROMPTS = "config/prompts.yaml"
REQUIREMENTS = "requirements/space.txt"
# Where a Docker Space is asked, and whose user it runs as.
PORT, USER_ID = 7860, 1000


def write_space(run: Path, repository: Path, out: Path, examples: int, paths: tuple[str, ...] = ()) -> None:
    """Write the folder `out`: models of a run (all, or those at `paths`), questions and their videos, page, library.

    It holds a small run of the same name and layout, which the same program serves. Files of models and videos are
    linked where `out` is on their file system. Raises InputError where the run has no finished model or `out` is no
    such folder, and for a run whose evaluation does not say what its models are shown.
    """
    if out.exists() and not (out / "Dockerfile").is_file():
        raise InputError(f"{out}: exists and is no folder of a page; name another one, or remove it")
    listed = _chosen(models_of_run(run), paths)
    with atomic_path(out) as folder:
        _write_run(listed, folder / "results" / run.name, examples)
        for name in (ENTRY, PROMPTS):
            _copy(repository / name, folder / name)
        shutil.copytree(repository / LIBRARY, folder / LIBRARY, ignore=shutil.ignore_patterns("__pycache__"))
        _copy(repository / REQUIREMENTS, folder / "requirements.txt")
        (folder / "Dockerfile").write_text(_dockerfile(run.name), encoding="utf-8")
        (folder / "README.md").write_text(_readme(listed), encoding="utf-8")
        (folder / ".gitattributes").write_text(
            "".join(f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("safetensors", "mp4")),
            encoding="utf-8",
        )


def _chosen(listed: RunModels, paths: tuple[str, ...]) -> RunModels:
    models = tuple(listed.named(path) for path in paths) or listed.models
    return RunModels(listed.run, models, listed.vision, listed.max_new_tokens)


def _write_run(listed: RunModels, out: Path, examples: int) -> None:
    for model in listed.models:
        shutil.copytree(model.folder, out / model_folder(model.name), copy_function=_link)
        _copy(listed.run / model_manifest(model.name), out / model_manifest(model.name))
    for scores in sorted((listed.run / "evaluate").glob("*/scores.json")):
        _copy(scores, out / scores.relative_to(listed.run))
    chosen = examples_of(listed.run, examples)
    write_rows(out / QUESTIONS, (example.question for example in chosen))
    write_rows(out / RECORDS, (example.record for example in chosen))
    for example in chosen:
        _link(listed.run / VIDEOS / example.video, out / VIDEOS / example.video)
    written = models_of_run(out)
    if (written.vision, written.max_new_tokens) != (listed.vision, listed.max_new_tokens):
        raise InputError(f"{listed.run}: evaluate/*/scores.json does not say what its models are shown; evaluate them")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _link(source: Path | str, target: Path | str) -> None:
    """`link_or_copy`, with the folder that it goes to."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(Path(source).resolve(), target)


def _dockerfile(run: str) -> str:
    return f"""\
FROM python:3.11-slim
RUN useradd --create-home --uid {USER_ID} user
WORKDIR /home/user/app
COPY requirements.txt .
RUN pip install --no-cache-dir --no-deps --requirement requirements.txt
COPY --chown=user . .
USER user
EXPOSE {PORT}
CMD ["python", "{ENTRY}", "--run", "{run}", "--host", "0.0.0.0", "--port", "{PORT}", "--public"]
"""


def _readme(listed: RunModels) -> str:
    titles = ", ".join(model.title for model in listed.models if model.name != BASE) or "the base model"
    return f"""\
---
title: What happens next?
emoji: 🎬
colorFrom: blue
colorTo: red
sdk: docker
app_port: {PORT}
pinned: false
short_description: Next-event prediction by the models of one run
---

# What happens next?

On this page, models of the run `{listed.run.name}` ({titles}) predict what happens after a moment of a video: choose
a video, drag the cut, see what they see, read their predictions as they are written, then reveal what happened.

Without Docker: `pip install -r requirements.txt`, then `python {ENTRY} --run {listed.run.name}`.
"""
