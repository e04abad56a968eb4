"""What lmms-eval is given, and what is done when it does not answer every question."""

import os
from pathlib import Path

import pytest
from support.evaluation_run import question, write_clip

from nep.config import Evaluate, Vision
from nep.errors import InputError
from nep.evaluation.lmms import (
    LmmsEvalError,
    check_model,
    logged_samples,
    model_arguments,
    safe_batch_size,
    surroundings,
)
from nep.evaluation.task_folder import Task
from nep.files import write_json, write_jsonl

TASK = Task("direct", None)
UNIFORM_8 = Vision(frames=8)


def test_model_arguments_follow_the_vision_block(tmp_path: Path):
    evaluate = Evaluate(device="cpu", model_args={"attn_implementation": "eager"})
    uniform = model_arguments(tmp_path, Vision(frames=8, min_pixels=784, max_pixels=12544), evaluate)
    assert uniform == (
        f"pretrained={tmp_path},max_num_frames=8,min_pixels=784,max_pixels=12544,"
        "device_map=cpu,attn_implementation=eager"
    )
    assert ",fps=1.5," in model_arguments(tmp_path, Vision(sampling="fps", fps=1.5), evaluate)


def test_clips_shorter_than_the_sample_are_evaluated_one_by_one(tmp_path: Path):
    long, short, exact = tmp_path / "long.mp4", tmp_path / "short.mp4", tmp_path / "exact.mp4"
    write_clip(long, 12)
    write_clip(short, 5)
    write_clip(exact, 8)
    assert safe_batch_size([long, exact], UNIFORM_8, 16) == 16
    assert safe_batch_size([long, short], UNIFORM_8, 16) == 1
    assert safe_batch_size([long, short], Vision(sampling="fps", fps=2, frames=8), 16) == 16


def test_clips_that_cannot_be_sampled_are_named(tmp_path: Path):
    single, long = tmp_path / "single.mp4", tmp_path / "long.mp4"
    write_clip(single, 1)
    write_clip(long, 36)
    with pytest.raises(InputError, match=r"single\.mp4: 1 frame"):
        safe_batch_size([single], UNIFORM_8, 1)
    with pytest.raises(InputError, match=r"long\.mp4.*6 frames.*\(4\)"):
        safe_batch_size([long], Vision(sampling="fps", fps=2, frames=4), 1)


def test_the_process_is_offline_and_its_caches_lie_in_its_folder(tmp_path: Path):
    variables = surroundings(tmp_path, Evaluate(device="cpu", threads=3))
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert str(Path("scripts").resolve()) in variables["PYTHONPATH"].split(os.pathsep)
    for name in ("HF_HOME", "HF_DATASETS_CACHE", "XDG_CACHE_HOME"):
        assert Path(variables[name]).is_relative_to(tmp_path)


def test_a_model_of_another_family_is_refused(tmp_path: Path):
    write_json(tmp_path / "config.json", {"model_type": "llama"})
    with pytest.raises(InputError, match="unknown model family 'llama'"):
        check_model(tmp_path, "llama")
    with pytest.raises(InputError, match=r"config\.json: model_type 'llama', should be 'qwen2_5_vl'"):
        check_model(tmp_path, "qwen2_5_vl")
    with pytest.raises(InputError, match="no such file"):
        check_model(tmp_path / "none", "qwen2_5_vl")


def log(folder: Path, *question_ids: str) -> None:
    (folder / "lmms_eval.log").write_text("loading\nValueError: out of frames\n")
    rows = [{"accuracy": {"question_id": identity, "score": 1.0}} for identity in question_ids]
    write_jsonl(folder / "out/model" / f"20260101_000000_samples_{TASK.name}.jsonl", rows)


def test_samples_are_joined_with_the_questions(tmp_path: Path):
    log(tmp_path, "q1", "q0")
    assert logged_samples(tmp_path, TASK, [question(0), question(1)]) == [{"question_id": "q0"}, {"question_id": "q1"}]


@pytest.mark.parametrize(
    ("logged", "message"),
    [(("q0",), "without .'q1'"), (("q0", "q0"), "'q0' has two samples"), (("q0", "q1", "q2"), "3 samples for 2")],
)
def test_samples_must_be_one_for_each_question(tmp_path: Path, logged: tuple[str, ...], message: str):
    log(tmp_path, *logged)
    with pytest.raises(LmmsEvalError, match=message):
        logged_samples(tmp_path, TASK, [question(0), question(1)])


def test_a_run_without_samples_shows_the_end_of_the_log(tmp_path: Path):
    (tmp_path / "lmms_eval.log").write_text("loading\r 10%\r 20%\nValueError: out of frames\n")
    with pytest.raises(LmmsEvalError, match=r"(?s)no samples of task nep_futurebench_direct.*out of frames"):
        logged_samples(tmp_path, TASK, [question(0)])
