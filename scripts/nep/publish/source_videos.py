"""The videos of a run as they are published: whole ones for a data set, first parts for a benchmark."""

import os
from pathlib import Path, PurePosixPath

from nep.errors import InputError
from nep.files import read_json, sha256_of_file, sha256_of_json
from nep.publish.video_shards import PublishedVideo
from nep.rows.base import read_rows
from nep.rows.cut import cuts_by_id, read_split
from nep.rows.record import CUT_FOLDER, VIDEO_FOLDERS, Record


def whole_videos(run: Path) -> list[PublishedVideo]:
    """The video of each record. Raises InputError where the videos are not those that the download has noted."""
    folder, noted = run / "download/videos", read_json(run / "download/videos.json")
    names = sorted(
        (Path(place) / file).relative_to(folder).as_posix() for place, _, files in os.walk(folder) for file in files
    )
    digests = {name: sha256_of_file(folder / name) for name in names}
    if sha256_of_json(digests) != noted["sha256"]:
        raise InputError(
            f"{folder}: not the {noted['count']} videos of {run / 'download/videos.json'} (found {len(digests)}); "
            "run the workflow, which brings them anew"
        )
    return [
        PublishedVideo(
            path=record.video,
            file=folder / record.video,
            sha256=digests[record.video],
            video_id=record.id,
            source=record.source,
            split_time=record.split_time,
        )
        for record in records(run).values()
    ]


def first_parts(run: Path, video_ids: set[str]) -> list[PublishedVideo]:
    """What the questions' videos show up to the cut. Raises InputError for a part that is not the split manifest's."""
    cuts, known = cuts_by_id(read_split(run / "split/manifest.jsonl")), records(run)
    videos = []
    for identity in sorted(video_ids):
        part = cuts[identity].first
        file = run / part.path
        if not file.is_file() or sha256_of_file(file) != part.sha256:
            raise InputError(f"{file}: not the file of {run / 'split/manifest.jsonl'}; run the workflow")
        record = known[identity]
        videos.append(PublishedVideo(cut_path(record), file, part.sha256, identity, record.source, None))
    return videos


def cut_path(record: Record) -> str:
    """Where the first part of a record's video lies in the published layout of videos that are cut already."""
    parts = PurePosixPath(record.video).parts
    below = parts[1:] if parts[0] in VIDEO_FOLDERS else parts
    return PurePosixPath(CUT_FOLDER, *below).with_suffix(".mp4").as_posix()


def records(run: Path) -> dict[str, Record]:
    """The run's records by id."""
    return {record.id: record for record in read_rows(Record, run / "records/records.jsonl")}
