"""Which shard an id belongs to: a stable hash, so that new videos never move the others."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from nep.errors import InputError

_SHARD_FILE = re.compile(r"(\d+)-of-(\d+)\.[a-z]+")


def shard_of(identity: str, shards: int) -> int:
    """The shard, from 1 to `shards`, that holds `identity`: SHA-256 modulo `shards`."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest(), "big") % shards + 1


def shard_name(shard: int, shards: int) -> str:
    """Name of a shard as Snakemake's scattergather writes it, e.g. "2-of-4". Raises InputError if out of range."""
    if not 1 <= shard <= shards:
        raise InputError(f"shard {shard} of {shards}: a shard is a number from 1 to {shards}")
    return f"{shard}-of-{shards}"


def check_complete(files: Sequence[Path]) -> None:
    """Raises InputError unless `files` are exactly the shards 1..n of one n."""
    found = []
    for file in files:
        match = _SHARD_FILE.fullmatch(file.name)
        if match is None:
            raise InputError(f"{file}: the name of a shard is <k>-of-<n> and a suffix, e.g. 2-of-4.jsonl")
        found.append((int(match[1]), int(match[2])))
    totals = {total for _, total in found}
    expected = [(shard, total) for total in totals for shard in range(1, total + 1)]
    if len(totals) != 1 or sorted(found) != expected:
        names = ", ".join(sorted(f"{shard}-of-{total}" for shard, total in found)) or "none"
        raise InputError(f"the shards given are not the complete set of one split: {names}")
