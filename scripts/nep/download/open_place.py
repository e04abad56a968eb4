"""The place that a config block names."""

from pathlib import Path

from nep.config.origin import Origin
from nep.download.place import FolderPlace, Place, RepositoryKind
from nep.errors import InputError


def open_place(block: Origin, kind: RepositoryKind) -> Place:
    """The place that a config block names. Offline (HF_HUB_OFFLINE), a hub repository is read from the local cache."""
    if block.kind in ("folder", "table", "videos"):
        return FolderPlace(Path(block.path))
    if block.kind == "hub":
        # Only here: a folder needs no client of the hub.
        from nep.download.hub import open_hub

        return open_hub(block.repo, block.revision, kind)
    raise InputError(f"kind {block.kind!r} is made here, not fetched; those that are: folder, table, videos, hub")
