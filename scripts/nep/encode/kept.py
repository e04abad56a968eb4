"""What a shard's last run has left: a clip whose file, budget and reader are the same is not read again.

Snakemake deletes the shard's manifest before it runs again; the cache files stay, and a note about them lies in
`work/encode/<fingerprint>/<shard>.json`: `{"clips": {key: {"sha256", "pts", "indices", "total", "source_fps"}},
"key", "manifest"}`. What this run has not made is looked for in the store.
"""

import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open

from nep.files import confined, is_intact, read_json, write_json
from nep.jobs.store import Shelf
from nep.model.clip import Clip
from nep.rows.clip import EncodedShard


class KeptShard:
    """The note of one shard, and what may be taken over by it."""

    def __init__(self, note: Path, run_dir: Path) -> None:
        self._note = note
        self._run_dir = run_dir
        self._shelf = Shelf("encode", run=run_dir, root=run_dir)
        self._content: dict[str, Any] | None = read_json(note) if note.is_file() else None

    def manifest(self, key: dict[str, Any]) -> EncodedShard | None:
        """The shard's manifest, if a run made it from the same, and its cache files are those that it names.

        None where it has a quarantined clip, too: the next run may be able to read it.
        """
        if self._content is None or self._content["key"] != key or not self._is_whole():
            content = self._shelf.fetch(self._identity(key))
            if content is None:
                return None
            print(f"encode {self._note.stem}: taken from the store", file=sys.stderr)
            write_json(self._note, content)
            self._content = content
        return self._manifest

    @property
    def _manifest(self) -> EncodedShard:
        return EncodedShard.model_validate(self._content["manifest"])

    def clips(self, digests: dict[str, str]) -> dict[str, Clip]:
        """Clips, by key, that came from a file with the SHA-256 that `digests` has for the key."""
        if self._content is None:
            return {}
        stored = self._manifest.frames
        cache = confined(self._run_dir, stored.path)
        if not is_intact(cache, stored.sha256):
            return {}
        rows = {key: row for key, row in self._content["clips"].items() if row["sha256"] == digests.get(key)}
        with safe_open(cache, framework="np") as frames:
            return {key: _clip(frames.get_tensor(key), row) for key, row in rows.items()}

    def store(
        self, clips: dict[str, Clip], digests: dict[str, str], key: dict[str, Any], manifest: EncodedShard
    ) -> None:
        """Write the note of a shard whose cache files have been written."""
        rows = {key: {**_described(clip), "sha256": digests[key]} for key, clip in clips.items()}
        content = {"clips": rows, "key": key, "manifest": manifest.to_json()}
        write_json(self._note, content)
        if not manifest.quarantined:
            files = [self._run_dir / file.path for file in manifest.files]
            self._shelf.publish(self._identity(key), beside=files, value=content)

    def _is_whole(self) -> bool:
        manifest = self._manifest
        whole = all(is_intact(confined(self._run_dir, file.path), file.sha256) for file in manifest.files)
        return whole and not manifest.quarantined

    def _identity(self, key: dict[str, Any]) -> dict[str, Any]:
        """All that decides the shard: its note's folder is named by a fingerprint of recipe and logic."""
        return {**key, "recipe": self._note.parent.name, "shard": self._note.stem}


def _described(clip: Clip) -> dict[str, Any]:
    return {name: value for name, value in vars(clip).items() if name != "frames"}


def _clip(frames: Any, row: dict[str, Any]) -> Clip:
    return Clip(frames, tuple(row["pts"]), tuple(row["indices"]), row["total"], row["source_fps"])
