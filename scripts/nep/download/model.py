"""Fetching a base model: safetensors only, of a family that transformers reads as a vision-language model."""

import fnmatch
import shutil
from pathlib import Path

from nep.config.model import Model
from nep.download.open_place import open_place
from nep.download.place import Place, some_of
from nep.errors import InputError
from nep.files import read_json, sha256_of_json
from nep.model_manifest import weight_files

CONFIG = "config.json"
WANTED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken")
CODE = "*.py"
UNSAFE_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
FAMILIES_TO_NAME = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "internvl", "llava_onevision", "smolvlm", "video_llama_3")


def fetch_model(model: Model, out_dir: Path) -> None:
    """Bring a checkpoint's files to `out_dir`, verified, complete or absent; an interrupted download goes on.

    Raises InputError when config or safetensors weights are missing, or the model's family is not supported.
    """
    place = open_place(model, "model")
    names = wanted_files(place, model.trust_remote_code)
    staging = out_dir.with_name(f".{out_dir.name}.{sha256_of_json(model.model_dump())[:16]}.partial")
    config = _bring(place, CONFIG, staging)
    check_family(config, model.trust_remote_code)
    for name in names:
        _bring(place, name, staging)
    weight_files(staging)
    _keep_only(staging, names)
    if out_dir.is_dir():
        shutil.rmtree(out_dir)
    staging.replace(out_dir)


def wanted_files(place: Place, with_code: bool) -> list[str]:
    """The names to fetch: weights, configs and tokenizer files of the top level; Python code only where it is trusted.

    Raises InputError when there is no config, or the only weights are pickles, which could run code when loaded.
    """
    top = [name for name in place.names() if "/" not in name]
    wanted = [name for name in top if _matches(name, (*WANTED, CODE) if with_code else WANTED)]
    if CONFIG not in top:
        raise InputError(f"{place.label}: no {CONFIG}, so not a model checkpoint; it holds {some_of(place.names())}")
    if not any(name.endswith(".safetensors") for name in wanted):
        unsafe = [name for name in top if _matches(name, UNSAFE_WEIGHTS)]
        found = f"only pickled weights ({some_of(unsafe)}), which are refused" if unsafe else "no weights"
        raise InputError(f"{place.label}: {found}; a checkpoint in safetensors form is needed")
    return wanted


def check_family(config: Path, trust_remote_code: bool) -> None:
    """Raise InputError unless transformers (or trusted code) has an image-text-to-text model of this family."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as FAMILIES

    values = read_json(config)
    family = values.get("model_type")
    own_code = trust_remote_code and "AutoModelForImageTextToText" in values.get("auto_map", {})
    if family not in FAMILIES and not own_code:
        known = ", ".join(name for name in FAMILIES_TO_NAME if name in FAMILIES)
        raise InputError(f"{config.name}: unknown model family {family!r}; known: {known} and {len(FAMILIES)} in all")


def _bring(place: Place, name: str, folder: Path) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched = place.fetch(place.describe(name), target)
    if fetched != target:
        shutil.copyfile(fetched, target)
    return target


def _keep_only(folder: Path, names: list[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
