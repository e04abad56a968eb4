"""What lmms-eval is told about a model: its wrapper, frames and pixels."""

import ast
import importlib.util
from pathlib import Path

import pytest
from support.evaluation_run import write_clip
from support.vllm_environment import make_environment

from nep.config.endpoint import Endpoint
from nep.config.evaluate import Evaluate
from nep.config.vision import Vision
from nep.errors import InputError
from nep.evaluate.backends import backend_for, check_clips, endpoint_backend, frames_for_all
from nep.files import write_json

UNIFORM_8 = Vision(frames=8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_json(tmp_path / "config.json", {"model_type": "qwen2_5_vl"})
    return tmp_path


def parameters_of(module: str, name: str) -> set[str]:
    """Parameters of the constructor of a class of lmms-eval, read from its source: its imports may be absent here."""
    tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    (constructor,) = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    return {argument.arg for argument in constructor.args.args}


def test_arguments_follow_the_vision_block(checkpoint: Path):
    evaluate = Evaluate(device="cpu", model_args={"attn_implementation": "eager"})
    uniform = backend_for(checkpoint, Vision(frames=8, min_pixels=784, max_pixels=12544), evaluate, [])
    assert uniform.model == "qwen2_5_vl"
    assert uniform.argument_text == (
        f"pretrained={checkpoint},max_num_frames=8,min_pixels=784,max_pixels=12544,"
        "device_map=cpu,attn_implementation=eager"
    )
    assert ",fps=1.5," in backend_for(checkpoint, Vision(sampling="fps", fps=1.5), evaluate, []).argument_text


def test_other_families_and_processes_without_gpus_take_the_wrapper_for_all_families(checkpoint: Path):
    assert backend_for(checkpoint, UNIFORM_8, Evaluate(device="cpu", processes=2), []).model == "nep_family"
    assert backend_for(checkpoint, UNIFORM_8, Evaluate(device="cuda", processes=2), []).model == "qwen2_5_vl"
    write_json(checkpoint / "config.json", {"model_type": "smolvlm"})
    assert backend_for(checkpoint, UNIFORM_8, Evaluate(device="cuda"), []).model == "nep_family"


def test_only_clips_of_as_many_frames_share_a_batch_of_lmms_evals_wrapper(checkpoint: Path):
    evaluate = Evaluate(device="cuda", batch_size=8)
    write_clip(checkpoint / "short.mp4", 5)
    uniform = backend_for(checkpoint, UNIFORM_8, evaluate, [checkpoint / "short.mp4"])
    assert (uniform.model, uniform.batch_size, uniform.chunk, uniform.same_frames) == ("qwen2_5_vl", 8, 8, 8)
    at_a_rate = backend_for(checkpoint, Vision(sampling="fps", fps=2.0, frames=8), evaluate, [])
    assert (at_a_rate.model, at_a_rate.batch_size, at_a_rate.same_frames) == ("qwen2_5_vl", 8, None)
    ours = backend_for(checkpoint, UNIFORM_8, Evaluate(device="cpu", processes=2, batch_size=8), [])
    assert (ours.model, ours.batch_size, ours.same_frames) == ("nep_family", 8, None)


def test_videos_of_unknown_length_are_asked_within_the_budget(checkpoint: Path):
    evaluate = Evaluate(device="cuda", batch_size=8)
    assert backend_for(checkpoint, UNIFORM_8, evaluate, [], others=True).model == "qwen2_5_vl"
    rate = backend_for(checkpoint, Vision(sampling="fps", fps=2.0, frames=8), evaluate, [], others=True)
    assert (rate.model, rate.batch_size, rate.arguments["frames"]) == ("nep_family", 8, 8)


@pytest.mark.parametrize("vision", [UNIFORM_8, Vision(sampling="fps", fps=2.0, frames=8)], ids=["uniform", "fps"])
def test_sglang_gets_arguments_that_its_wrapper_takes(vision: Vision, checkpoint: Path, tmp_path: Path):
    write_clip(tmp_path / "short.mp4", 5)
    backend = backend_for(checkpoint, vision, Evaluate(backend="sglang"), [tmp_path / "short.mp4"])
    assert set(backend.arguments) <= parameters_of("lmms_eval.models.chat.sglang", "Sglang")
    assert backend.arguments["trust_remote_code"] is False
    if vision.sampling == "uniform":
        assert backend.arguments["nframes"] == 4


def test_vllm_is_told_of_the_frames_and_pixels_of_training(checkpoint: Path, tmp_path: Path):
    with pytest.raises(InputError, match="vllm_environment"):
        backend_for(checkpoint, UNIFORM_8, Evaluate(backend="vllm", vllm_environment="absent"), [])
    folder = make_environment(tmp_path / "e", vllm="0.32.0", lmms_eval="0.7.3", av="15.1.0")
    settings = Evaluate(backend="vllm", vllm_environment=str(folder), model_args={"max_model_len": 2048})
    backend = backend_for(checkpoint, UNIFORM_8, settings, [])
    assert backend.python == folder / "bin/python"
    assert backend.versions["lmms_eval"] == "0.7.3"
    assert backend.model == "nep_vllm"
    assert backend.seen == UNIFORM_8.model_dump()
    parameters = parameters_of("nep.evaluate.vllm_model", "VllmModel")
    assert set(backend.arguments) - parameters == {"max_model_len"}


def test_an_endpoint_is_asked_with_its_key(monkeypatch: pytest.MonkeyPatch):
    endpoint = Endpoint(url="http://localhost:8000/v1", model="large", key_from="LARGE_KEY", concurrent=3)
    monkeypatch.delenv("LARGE_KEY", raising=False)
    with pytest.raises(InputError, match="the environment has no LARGE_KEY"):
        endpoint_backend(endpoint, UNIFORM_8, [])
    monkeypatch.setenv("LARGE_KEY", "secret")
    backend = endpoint_backend(endpoint, UNIFORM_8, [])
    assert "secret" not in backend.argument_text
    assert backend.environment == {"OPENAI_API_KEY": "secret"}
    assert set(backend.arguments) <= parameters_of("lmms_eval.models.simple.openai", "OpenAICompatible")


def test_a_folder_that_is_no_checkpoint_and_a_path_that_lmms_eval_cannot_read_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        backend_for(tmp_path / "none", UNIFORM_8, Evaluate(), [])
    write_json(tmp_path / "a,b/config.json", {"model_type": "qwen2_5_vl"})
    with pytest.raises(InputError, match=r"model argument \(pretrained\) that holds ,"):
        _ = backend_for(tmp_path / "a,b", UNIFORM_8, Evaluate(), []).argument_text


def test_one_number_of_frames_fits_all_clips(tmp_path: Path):
    write_clip(tmp_path / "long.mp4", 12)
    write_clip(tmp_path / "short.mp4", 5)
    assert frames_for_all([tmp_path / "long.mp4"], UNIFORM_8) == 8
    assert frames_for_all([tmp_path / "long.mp4", tmp_path / "short.mp4"], UNIFORM_8) == 4
    assert frames_for_all([], UNIFORM_8) == 8


def test_clips_that_cannot_be_sampled_are_named(tmp_path: Path):
    single, long = tmp_path / "single.mp4", tmp_path / "long.mp4"
    write_clip(single, 1)
    write_clip(long, 36)
    with pytest.raises(InputError, match=r"single\.mp4: 1 frame"):
        check_clips([single], UNIFORM_8)
    with pytest.raises(InputError, match=r"long\.mp4.*6 frames.*\(4\)"):
        check_clips([long], Vision(sampling="fps", fps=2, frames=4))
