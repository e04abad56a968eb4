"""The index of the vision cache: the rows of all shards, merged after a check of the cache files."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nep.errors import InputError
from nep.files import confined, is_intact
from nep.jobs.shards import check_complete
from nep.rows.base import read_rows, write_rows
from nep.rows.clip import EncodedClip, EncodedShard, read_shard
from nep.rows.quarantine import count_reasons


def merge_encode(shard_files: Sequence[Path], run_dir: Path, out: Path) -> None:
    """Write the index rows of all shards, sorted by key, to `out`.

    Raises InputError if the shards are not one complete set made with one model, if a cache file is not the one that a
    manifest names, if a clip stands in two shards, or if no clip is left.
    """
    check_complete(shard_files)
    manifests = [read_shard(file) for file in sorted(shard_files)]
    if len({(manifest.model, manifest.features is None) for manifest in manifests}) != 1:
        raise InputError("the shards were made with different models, or only some of them hold features; encode again")
    for manifest in manifests:
        _check_files(manifest, run_dir)
    rows = sorted((row for manifest in manifests for row in manifest.clips), key=lambda row: row.key)
    doubles = [key for key, count in Counter(row.key for row in rows).items() if count > 1]
    if doubles:
        raise InputError(f"{len(doubles)} clips stand in more than one shard, the first is {doubles[0]!r}")
    if not rows:
        lost = count_reasons(row for manifest in manifests for row in manifest.quarantined)
        raise InputError(f"no clip could be encoded (quarantined: {lost or 'none'}); training needs one")
    write_rows(out, rows)


def write_parts(index: Path, parts: Mapping[Path, Iterable[str]]) -> None:
    """Write to each file the rows of the index whose keys it is to have; a clip that could not be read has none."""
    rows = {row.key: row for row in read_rows(EncodedClip, index)}
    for file, keys in parts.items():
        write_rows(file, [rows[key] for key in sorted(set(keys) & rows.keys())])


def _check_files(manifest: EncodedShard, run_dir: Path) -> None:
    for file in manifest.files:
        path = confined(run_dir, file.path)
        if not is_intact(path, file.sha256):
            raise InputError(f"{path}: missing, or not the file that shard {manifest.shard} wrote; encode it again")
