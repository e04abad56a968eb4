"""Reading the vision cache: memory-mapped shards of frames and features, looked up by "<video_id>/<view>"."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nep.errors import InputError
from nep.model.family import Placeholder
from nep.rows.base import read_rows
from nep.rows.clip import METADATA_KEY, EncodedClip


class VisionCache:
    """What the encode stage has cached for a model: frames, and features where it was told to compute them."""

    def __init__(self, folder: Path, model_fingerprint: str | None = None, index: Path | None = None) -> None:
        """Open RUN/encode: all of it, or the clips of a training's part of the index.

        Where `model_fingerprint` is given, shards made with another model raise InputError.
        """
        self._folder = folder
        self._fingerprint = model_fingerprint
        self._index = index or folder / "index.jsonl"
        self._rows = {row.key: row for row in read_rows(EncodedClip, self._index)}
        self._open: dict[Path, Any] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def has_features(self) -> bool:
        """Whether the vision tower's output is cached, not only the frames."""
        return bool(self._rows) and all(self._path("features", row).is_file() for row in self._rows.values())

    def frames(self, key: str) -> Tensor:
        """Frames uint8 (T, H, W, 3), RGB. Raises InputError for an unknown key or another model's shard."""
        return self._tensor("frames", key)

    def features(self, key: str) -> Tensor:
        """Features (visual tokens, hidden), see `vision_features`. Raises InputError also where none are cached."""
        return self._tensor("features", key)

    def placeholder(self, key: str) -> Placeholder:
        """What stands for the clip in a prompt."""
        row = self._row(key)
        return Placeholder(row.modality, row.placeholder, row.grid, row.second_per_grid)

    def _row(self, key: str) -> EncodedClip:
        if key not in self._rows:
            raise InputError(f"{self._index}: no clip {key!r} in the cache; run the encode stage for it")
        return self._rows[key]

    def _path(self, kind: str, row: EncodedClip) -> Path:
        return self._folder / kind / f"{row.shard}.safetensors"

    def _tensor(self, kind: str, key: str) -> Tensor:
        path = self._path(kind, self._row(key))
        try:
            return self._shard(path).get_tensor(key)
        except SafetensorError as error:
            raise InputError(f"{path}: cannot read {key!r} ({error}); remove the file and encode again") from None

    def _shard(self, path: Path) -> Any:
        if path not in self._open:
            if not path.is_file():
                raise InputError(f"{path}: no such file; run the encode stage (encode.features for features)")
            shard = safe_open(path, framework="pt", device="cpu")
            self._check_model(path, shard.metadata() or {})
            self._open[path] = shard
        return self._open[path]

    def _check_model(self, path: Path, metadata: dict[str, str]) -> None:
        found = json.loads(metadata.get(METADATA_KEY, "{}")).get("model")
        if self._fingerprint is not None and found != self._fingerprint:
            raise InputError(
                f"{path}: made with the model of fingerprint {found}, not {self._fingerprint}; encode again"
            )
