"""The tasks of lmms-eval's own benchmarks.

Repository, revision and folder of a benchmark are those of lmms-eval's own YAML files, read without importing it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from nep.benchmarks.registry import LMMS_EVAL
from nep.errors import InputError
from nep.files import read_json

# Published by the fetch stage beside the unpacked files, when all of them are there.
COMPLETE = ".nep_complete.json"


@dataclass(frozen=True)
class ExternalTask:
    """One task of lmms-eval as its YAML `file` states it. `media` is the folder of its videos below HF_HOME.

    `name` is lmms-eval's own, `asked_as` the one that it runs under.
    """

    benchmark: str
    name: str
    file: Path
    repo: str
    config: str | None
    revision: str
    media: str
    split: str
    links_files: bool

    @property
    def asked_as(self) -> str:
        """Its own name, or that of the YAML that repairs it."""
        return f"nep_{self.name}" if LMMS_EVAL[self.benchmark].repaired else self.name


class _Loader(yaml.SafeLoader):
    """YAML as lmms-eval writes it; `!function` stays the name of a function."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@cache
def external_tasks(benchmark: str) -> tuple[ExternalTask, ...]:
    """The tasks of a benchmark in lmms-eval's order. Raises InputError if the installed lmms-eval has none such."""
    if benchmark not in LMMS_EVAL:
        raise InputError(f"benchmark {benchmark!r}: unknown, should be one of {', '.join(LMMS_EVAL)}")
    asked = LMMS_EVAL[benchmark]
    folder = _tasks_folder() / asked.folder
    files, places = {}, {}
    for path in sorted(folder.glob("*.yaml")):
        settings = _settings(path)
        name = settings.get("group") or settings.get("task")
        files[name], places[name] = settings, path
    if asked.entry not in files:
        raise InputError(f"{folder}: lmms-eval has no task or group {asked.entry!r}")
    entry = files[asked.entry]
    names = entry["task"] if "group" in entry else [asked.entry]
    return tuple(_task(benchmark, name, places[name], files[name]) for name in names)


def fetched_commit(task: ExternalTask, benchmarks: Path) -> str | None:
    """Commit of the data set that lies below `benchmarks`; None where the fetch stage did not put it there."""
    mark = benchmarks / task.media / COMPLETE
    return read_json(mark)["commit"] if mark.is_file() else None


def _task(benchmark: str, name: str, file: Path, settings: Mapping[str, Any]) -> ExternalTask:
    kwargs = settings["dataset_kwargs"]
    return ExternalTask(
        benchmark=benchmark,
        name=name,
        file=file,
        repo=settings["dataset_path"],
        config=settings.get("dataset_name"),
        revision=kwargs.get("revision", "main"),
        media=kwargs["cache_dir"],
        split=settings["test_split"],
        links_files=bool(kwargs.get("create_link")),
    )


def _settings(path: Path) -> dict[str, Any]:
    settings = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    included = settings.pop("include", None)
    return {**_settings(path.parent / included), **settings} if included else settings


def _tasks_folder() -> Path:
    spec = find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("lmms-eval is not installed here: its own benchmarks cannot be read")
    return Path(spec.submodule_search_locations[0]) / "tasks"
