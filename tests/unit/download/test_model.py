import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save, save_file
from support.entry_points import run_script
from support.hub_server import HubFile, HubServer

from nep.config.model import Model
from nep.download.hub import HubPlace
from nep.download.model import check_family, fetch_model, wanted_files
from nep.errors import InputError
from nep.model_manifest import count_parameters, model_manifest

TENSORS = {"embed": np.zeros((7, 4), np.float32), "bias": np.zeros((4,), np.float16), "scale": np.zeros((), np.float32)}
PARAMETERS = 7 * 4 + 4 + 1


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "released"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "modeling_own.py").write_text("print('code')")
    (folder / "training_args.bin").write_bytes(b"pickle")
    save_file(TENSORS, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def model_of(folder: Path, **changes: object) -> Model:
    return Model(kind="folder", path=str(folder), **changes)


def test_folder_checkpoint_is_copied_without_pickles_and_code(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "base"
    fetch_model(model_of(checkpoint), out)
    assert sorted(path.name for path in out.iterdir()) == ["chat_template.jinja", "config.json", "model.safetensors"]
    assert [path.name for path in out.parent.iterdir()] == ["base"]
    manifest = model_manifest(out)
    assert manifest["parameters"] == PARAMETERS
    assert sorted(manifest["files"]) == ["chat_template.jinja", "config.json", "model.safetensors"]
    (out / "config.json").write_text('{"model_type": "qwen2_vl"}')
    assert model_manifest(out)["fingerprint"] != manifest["fingerprint"]


def test_code_comes_only_where_it_is_trusted(checkpoint: Path, tmp_path: Path) -> None:
    fetch_model(model_of(checkpoint, trust_remote_code=True), tmp_path / "base")
    assert (tmp_path / "base" / "modeling_own.py").is_file()


def test_missing_config(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json, so not a model checkpoint"):
        fetch_model(model_of(checkpoint), tmp_path / "base")
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pkl"])
def test_pickled_weights_alone_are_refused(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / name)
    with pytest.raises(InputError, match=f"only pickled weights .*{name}.* safetensors form"):
        fetch_model(model_of(checkpoint), tmp_path / "base")


def test_no_weights_at_all(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "training_args.bin"):
        (checkpoint / name).unlink()
    with pytest.raises(InputError, match="no weights"):
        fetch_model(model_of(checkpoint), tmp_path / "base")


def test_shard_named_by_the_index_is_missing(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "model-00001-of-00002.safetensors")
    weight_map = {"embed": "model-00001-of-00002.safetensors", "bias": "model-00002-of-00002.safetensors"}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(InputError, match=r"weights missing: model-00002-of-00002\.safetensors"):
        fetch_model(model_of(checkpoint), tmp_path / "base")


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_truncated_weights_are_named(checkpoint: Path, keep: int) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors: .*truncated"):
        count_parameters(weights)


def test_unknown_family_is_refused_before_the_weights_are_fetched(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match=r"unknown model family 'gpt2'; known: qwen2_5_vl, .*in all"):
        fetch_model(model_of(checkpoint), tmp_path / "base")
    assert not list(tmp_path.rglob(".base*/*.safetensors"))


def test_own_code_makes_a_family_known_only_where_it_is_trusted(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "mine", "auto_map": {"AutoModelForImageTextToText": "modeling_mine.Mine"}}')
    check_family(config, trust_remote_code=True)
    with pytest.raises(InputError, match="'mine'"):
        check_family(config, trust_remote_code=False)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    files = {
        "config.json": HubFile(b'{"model_type": "qwen2_5_vl"}'),
        "model.safetensors": HubFile(save(TENSORS), lfs=True),
        "pytorch_model.bin": HubFile(b"pickle", lfs=True),
        "onnx/model.safetensors": HubFile(b"other", lfs=True),
    }
    with HubServer("model", "me/model", files) as server:
        yield server


def test_hub_checkpoint(hub: HubServer, tmp_path: Path) -> None:
    place = HubPlace("me/model", "main", "model", endpoint=hub.url)
    assert wanted_files(place, with_code=False) == ["config.json", "model.safetensors"]
    path = place.fetch(place.describe("model.safetensors"), tmp_path / "model.safetensors")
    assert count_parameters(path) == PARAMETERS


def test_entry_point_over_http(hub: HubServer, tmp_path: Path) -> None:
    model = Model(kind="hub", repo="me/model", revision="main").model_dump_json()
    out, manifest = tmp_path / "models/base", tmp_path / "models/base.manifest.json"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    done = run_script("fetch_model.py", "--model", model, "--out-dir", out, "--manifest", manifest, **environment)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads(manifest.read_text()) == model_manifest(out)
