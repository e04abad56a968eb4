"""What a checkpoint folder holds, as hashes and a parameter count. Needs no deep-learning package."""

import json
import math
from pathlib import Path
from typing import Any

from nep.errors import InputError
from nep.files import read_json, sha256_of_file, sha256_of_json


def model_manifest(folder: Path) -> dict[str, Any]:
    """`{"fingerprint", "files": {name: sha256}, "parameters": count}` of a safetensors checkpoint folder.

    `fingerprint` is the SHA-256 over all names and hashes; `parameters` counts the elements of all stored tensors.
    Hidden files are left out. Raises InputError when weights are missing or truncated.
    """
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    files = {name: sha256_of_file(folder / name) for name in names}
    parameters = sum(count_parameters(folder / name) for name in weight_files(folder))
    return {"fingerprint": sha256_of_json(files), "files": files, "parameters": parameters}


def weight_files(folder: Path) -> list[str]:
    """Names of a checkpoint's safetensors files: of its index, or the one file. Raises InputError if missing."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: weights missing: {', '.join(missing)}; a checkpoint in safetensors form is needed")
    return names


def count_parameters(weights: Path) -> int:
    """Number of elements in a safetensors file, from its header. Raises InputError when the file is truncated.

    Form of the file: 8 bytes little-endian header length, JSON header with each tensor's shape and byte range, data.
    """
    size = weights.stat().st_size
    with weights.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise InputError(f"{weights}: not a safetensors file, or truncated ({size} bytes)")
        try:
            header = json.loads(stream.read(length))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{weights}: damaged safetensors header ({error})") from None
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0)
    if size != expected:
        raise InputError(f"{weights}: expected {expected} bytes, found {size}: truncated or changed")
    return sum(math.prod(entry["shape"]) for entry in tensors)
