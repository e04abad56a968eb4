"""A benchmark of lmms-eval, fetched to where lmms-eval looks: hub cache, unpacked videos, prepared tables.

Below the folder of benchmarks, which is HF_HOME for lmms-eval: `hub/` in the hub's own cache form, `datasets/` with the
tables as `datasets` prepares them, and the task's own folder of videos. That folder is a real one, complete before it
is marked, so that lmms-eval neither downloads nor unpacks.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nep.benchmarks.lmms_tasks import COMPLETE, ExternalTask, external_tasks
from nep.download.archive import extract_archive
from nep.download.hub import HubPlace, token_from_environment
from nep.download.place import RemoteFile, checked_name
from nep.download.zipped import extract_zip
from nep.errors import InputError
from nep.files import atomic_path, confined, read_json, write_json, write_text

# `a.tar`, `a.tar.gz`, and the parts of a split one: `a.tar.part.aa`, `a_00.tar`, joined by name as in lmms-eval.
TAR = re.compile(r"\.tar(\.|$)|\.tgz$")
PART = re.compile(r"(_\d+)?\.tar(\.part.*|\.[a-z]{2}|\.\d+)?$")


def fetch_benchmark(name: str, benchmarks: Path, endpoint: str | None = None) -> dict[str, Any]:
    """Fetch, verify and unpack a benchmark; its manifest `{"benchmark", "repo", "revision", "commit", "files",
    "bytes", "media", "media_files", "configs"}`.

    What is there already, complete and of the same commit, is used again. Raises InputError as the hub and the archives
    do, or when two places of the benchmark's tasks differ.
    """
    tasks = external_tasks(name)
    first = tasks[0]
    if any((task.repo, task.revision, task.media) != (first.repo, first.revision, first.media) for task in tasks):
        raise InputError(f"benchmark {name}: its tasks in lmms-eval name more than one data set")
    place = HubPlace(first.repo, first.revision, "dataset", endpoint)
    media = confined(benchmarks, first.media)
    mark = media / COMPLETE
    if mark.is_file() and (manifest := read_json(mark))["commit"] == place.commit:
        return manifest
    mark.unlink(missing_ok=True)
    files = [place.describe(file) for file in place.names()]
    snapshot = _fetch_snapshot(place, first, files, benchmarks / "hub")
    if media.is_symlink():
        media.unlink()
    _unpack(snapshot, files, media, benchmarks / "work" / name)
    if first.links_files:
        _link(snapshot, files, media)
    configs = sorted({task.config for task in tasks if task.config is not None})
    _prepare(first, configs or [None], benchmarks)
    manifest = {
        "benchmark": name,
        "repo": first.repo,
        "revision": first.revision,
        "commit": place.commit,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "media": first.media,
        "media_files": sum(len(names) for _, _, names in os.walk(media)),
        "configs": configs,
    }
    write_json(mark, manifest)
    return manifest


def _fetch_snapshot(place: HubPlace, task: ExternalTask, files: Sequence[RemoteFile], hub: Path) -> Path:
    """The snapshot's folder, in the form of huggingface_hub's cache: blobs by checksum, links to them, the revision."""
    folder = hub / f"datasets--{task.repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / place.commit
    for file in files:
        link = snapshot / checked_name(file.name)
        blob = folder / "blobs" / (file.sha256 or file.git_sha1)
        place.fetch(file, blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(blob, link.parent))
    # `refs` is what an offline client reads last: it is written when all is there.
    write_text(folder / "refs" / task.revision, place.commit)
    return snapshot


def _unpack(snapshot: Path, files: Sequence[RemoteFile], media: Path, work: Path) -> None:
    media.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if file.name.endswith(".zip"):
            extract_zip(snapshot / file.name, media, work)
        elif TAR.search(file.name):
            parts[PART.sub("", file.name)].append(snapshot / file.name)
    for number, name in enumerate(sorted(parts)):
        if len(parts[name]) == 1:
            extract_archive(parts[name][0], media, work / str(number))
            continue
        joined = work / f"{number}.tar"
        _join(sorted(parts[name]), joined)
        extract_archive(joined, media, work / str(number))
        joined.unlink()
    shutil.rmtree(work, ignore_errors=True)


def _join(parts: Sequence[Path], joined: Path) -> None:
    with atomic_path(joined) as temporary, temporary.open("wb") as output:
        for part in parts:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, output)


def _link(snapshot: Path, files: Sequence[RemoteFile], media: Path) -> None:
    """Link each file that the repository holds unpacked; lmms-eval would link the folder anew in each process."""
    for file in files:
        link = media / file.name
        if file.name.endswith(".zip") or TAR.search(file.name) or link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(snapshot / file.name, link.parent))


def _prepare(task: ExternalTask, configs: Sequence[str | None], benchmarks: Path) -> None:
    """The tables as `datasets` finds them offline: only what it has prepared under the repository's own name.

    HF_HOME is the folder of benchmarks (scripts/fetch_benchmark.py), so that the files are those of its hub cache.
    """
    from datasets import load_dataset

    for config in configs:
        load_dataset(
            task.repo,
            config,
            revision=task.revision,
            cache_dir=str(benchmarks / "datasets"),
            token=token_from_environment(),
        )
