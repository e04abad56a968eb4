"""The download stage: what the source holds, one archive at a time, and the manifest of it all.

Plain video files, with a table or without, are in no archives: they are linked where those of an archive are extracted,
and videos are made there of folders of images.
"""

import fnmatch
import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from nep.config.source import Source
from nep.download.archive import extract_archive
from nep.download.frame_folders import FrameFolder, folders_of_images, folders_of_rows, is_image, listed_folders
from nep.download.open_place import open_place
from nep.download.parquet_videos import extract_parquet
from nep.download.place import Place, RemoteFile, some_of
from nep.download.table import link_videos, read_table, table_rows
from nep.errors import InputError
from nep.files import (
    atomic_path,
    confined,
    read_json,
    read_list,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_json_rows,
)
from nep.records.schema import check_video_path, left_out_row
from nep.records.seedbench import read_annotations, visual_paths
from nep.rows.base import read_rows
from nep.rows.frame_video import FrameRow, FrameVideo
from nep.rows.quarantine import Quarantined, Rejection

ANNOTATIONS = "next_event_prediction.json"
QUESTIONS = "futurebench.json"
SEEDBENCH = "seedbench_r1_{level}.json"
PLAIN_FILES = ("table", "videos")
# What of a folder of plain videos is one, by the end of its name.
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".3gp"}
)


def list_source(source: Source) -> dict[str, Any]:
    """What is to be downloaded: commit, archives (a list), annotations, questions (or None), SeedBench-R1's levels.

    A file is `{"name", "size", "sha256", "git_sha1"}`; archives are those that match `source.archives`, sorted by name.
    Of plain videos, which have no annotations, `annotations` is the list of their paths. `frame_folders` are those of
    images, each an object of `FrameFolder`. Raises InputError when no archive matches, there is no video, or a file is
    missing, naming what is there.
    """
    place = open_place(source, "dataset")
    archives = [] if source.kind in PLAIN_FILES else _matching_archives(place, source.archives)
    annotations = plain_videos(source, place) if source.kind == "videos" else asdict(place.describe(source.annotations))
    return {
        "commit": place.commit,
        "archives": [asdict(place.describe(name)) for name in archives],
        "annotations": annotations,
        "frame_folders": [asdict(folder) for folder in frame_folders(source, place)],
        "questions": asdict(place.describe(source.questions)) if source.questions else None,
        "seedbench_r1": {level: asdict(place.describe(name)) for level, name in source.seedbench_r1.items()},
    }


def _matching_archives(place: Place, patterns: list[str]) -> list[str]:
    names = place.names()
    matching = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not matching:
        raise InputError(f"{place.label}: no archive matches {', '.join(patterns)}; it holds {some_of(names)}")
    return matching


def plain_videos(source: Source, place: Place) -> list[str]:
    """Names of a folder's video files, sorted. Raises InputError where it holds none, and no folder of images that is
    one."""
    names = place.names()
    videos = [name for name in names if _is_video(name)]
    images = any(map(is_image, names))
    if not videos and not (images and source.frame_folders):
        hint = "; source.frame_folders takes folders of images as videos" if images else ""
        raise InputError(
            f"{place.label}: no video ({', '.join(sorted(VIDEO_SUFFIXES))}) below it; it holds {some_of(names)}{hint}"
        )
    return videos


def frame_folders(source: Source, place: Place) -> list[FrameFolder]:
    """The folders (of a table, also lists) of images that are taken as videos, sorted; none unless the configuration
    says that such are."""
    if source.frame_folders is None:
        return []
    if source.kind == "table":
        root = Path(source.path)
        return folders_of_rows(root, table_rows(root / source.annotations, source.columns))
    names = place.names()
    return folders_of_images(names, filter(_is_video, names))


def _is_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def fetch_archive(source: Source, listing: dict[str, Any], name: str, run_dir: Path) -> dict[str, Any]:
    """Fetch, verify and extract one listed archive below `run_dir/download/videos`; its manifest.

    The manifest is `{"name", "sha256", "members": [{"path", "size", "sha256"}]}`. Finished members are kept over an
    interruption. Raises InputError on a wrong checksum or an archive that is unsafe or damaged.
    """
    file = _listed(listing, name)
    archive = _place_of_listing(source, listing).fetch(file, run_dir / "download" / "archives" / file.name)
    sha256 = file.sha256 or sha256_of_file(archive)
    work = run_dir / "work" / "download" / sha256_of_json([name, sha256])[:16]
    extract = extract_parquet if PurePosixPath(name).suffix == ".parquet" else extract_archive
    members = extract(archive, run_dir / "download" / "videos", work)
    return {"name": name, "sha256": sha256, "members": [asdict(member) for member in members]}


def drop_archive(source: Source, name: str, run_dir: Path) -> None:
    """Remove the fetched copy of an archive where the config says so; a local folder's own files are never touched."""
    if source.kind == "hub" and not source.keep_archives:
        (run_dir / "download" / "archives" / name).unlink(missing_ok=True)


def finish_download(
    source: Source, listing: dict[str, Any], run_dir: Path, frame_shards: Sequence[Path] = ()
) -> dict[str, Any]:
    """Bring the annotation and question files, remove videos that the source does not list, and sum up the download.

    `frame_shards` say what became of the folders of images. The summary is `{"archives": {name: sha256}, "annotations":
    {name: sha256}, "videos": {...}}`, the last one with `count`, `bytes` and one `sha256` over the paths and contents
    of all videos. Raises InputError when two archives hold different content for one path, or a video that was
    extracted or made is gone.
    """
    download = run_dir / "download"
    made = [row for file in frame_shards for row in read_rows(FrameRow, file)]
    annotations = _bring_annotations(source, listing, made, run_dir)
    manifests = [read_json(download / "archives" / f"{row['name']}.json") for row in listing["archives"]]
    if source.kind in PLAIN_FILES:
        rows = list(itertools.chain.from_iterable(read_list(download / "annotations" / name) for name in annotations))
        visuals = [{"video_path": path} for row in rows for path in visual_paths(row)]
        members = link_videos(Path(source.path), [*rows, *visuals], download / "videos")
        videos = (row for row in made if isinstance(row, FrameVideo))
        members |= {row.path: row.model_dump(include={"path", "size", "sha256"}) for row in videos}
    else:
        members = _merge_members(manifests)
    _check_videos(download / "videos", members)
    _remove_others(download / "videos", set(members))
    return {
        "archives": {manifest["name"]: manifest["sha256"] for manifest in manifests},
        "annotations": annotations,
        "videos": {
            "count": len(members),
            "bytes": sum(member["size"] for member in members.values()),
            "sha256": sha256_of_json({path: member["sha256"] for path, member in members.items()}),
        },
    }


def _bring_annotations(
    source: Source, listing: dict[str, Any], made: Sequence[FrameRow], run_dir: Path
) -> dict[str, str]:
    """All annotation files in the published form, under their published names; their SHA-256 by name."""
    place = _place_of_listing(source, listing)
    folders = listed_folders(listing)
    digests = {}
    levels = {SEEDBENCH.format(level=level): row for level, row in listing["seedbench_r1"].items()}
    for name, row in {ANNOTATIONS: listing["annotations"], QUESTIONS: listing["questions"], **levels}.items():
        target = run_dir / "download" / "annotations" / name
        if row is None:
            write_json(target, [])
        elif isinstance(row, list):
            # Rows without annotations: what the stage `annotate` starts from.
            rows = [{"video_path": path} for path in (*row, *(folder.path for folder in folders))]
            write_json_rows(target, _of_made_videos(rows, folders, made))
        else:
            file = RemoteFile(**row)
            fetched = place.fetch(file, run_dir / "work" / "download" / "files" / file.name)
            _publish(source, name, fetched, target)
            if folders and name in (ANNOTATIONS, QUESTIONS):
                write_json(target, _of_made_videos(read_list(target), folders, made))
        digests[name] = sha256_of_file(target)
    return digests


def _publish(source: Source, name: str, fetched: Path, target: Path) -> None:
    if source.kind == "table" and name == ANNOTATIONS:
        write_json(target, read_table(fetched, source.columns))
        return
    if name not in (ANNOTATIONS, QUESTIONS):
        write_json(target, read_annotations(fetched))
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(fetched, temporary)


def _of_made_videos(rows: Sequence[Any], folders: Sequence[FrameFolder], made: Sequence[FrameRow]) -> list[Any]:
    """Rows that name a folder of images name its video instead, and say why it was left out where it was."""
    named = {folder.path: folder for folder in folders}
    left_out = {row.id: row for row in made if isinstance(row, Quarantined)}
    renamed = []
    for row in rows:
        folder = named.get(_spelled(row))
        if folder is not None:
            row = {**row, "video_path": folder.video}
            if bad := left_out.get(folder.identity):
                row = left_out_row(row, bad)
        renamed.append(row)
    return renamed


def _spelled(row: Any) -> str | None:
    """A row's path in its one spelling; None where it has none."""
    try:
        return check_video_path(row.get("video_path")) if isinstance(row, dict) else None
    except Rejection:
        return None


def _place_of_listing(source: Source, listing: dict[str, Any]) -> Place:
    # A tag or branch may move between the listing and a later job; the commit does not.
    pinned = source.model_copy(update={"revision": listing["commit"]}) if listing["commit"] else source
    return open_place(pinned, "dataset")


def _listed(listing: dict[str, Any], name: str) -> RemoteFile:
    for row in listing["archives"]:
        if row["name"] == name:
            return RemoteFile(**row)
    raise InputError(f"archive {name!r} is not in the listing: {some_of([row['name'] for row in listing['archives']])}")


def _merge_members(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    members: dict[str, dict[str, Any]] = {}
    owner: dict[str, str] = {}
    for manifest in manifests:
        for member in manifest["members"]:
            path = member["path"]
            if path in members and members[path]["sha256"] != member["sha256"]:
                raise InputError(
                    f"archives {owner[path]} and {manifest['name']} hold different content for member {path!r}"
                )
            members.setdefault(path, member)
            owner.setdefault(path, manifest["name"])
    return members


def _check_videos(videos: Path, members: dict[str, dict[str, Any]]) -> None:
    for path, member in members.items():
        video = confined(videos, path)
        if not video.is_file() or video.stat().st_size != member["size"]:
            raise InputError(
                f"{video}: extracted with {member['size']} bytes, but it is gone or changed; fetch it again"
            )


def _remove_others(videos: Path, paths: set[str]) -> None:
    # An earlier configuration of the same run may have extracted archives that are no longer listed.
    for folder, _, files in os.walk(videos):
        for name in files:
            path = Path(folder) / name
            if path.relative_to(videos).as_posix() not in paths:
                path.unlink()
