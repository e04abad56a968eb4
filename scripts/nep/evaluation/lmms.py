"""One run of lmms-eval in a process of its own: its arguments, its surroundings, what it logged."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nep.config import Evaluate, Vision
from nep.errors import InputError
from nep.evaluation.questions import count_frames
from nep.evaluation.task_folder import Task
from nep.evaluation.tasks.futurebench.utils import METRIC
from nep.files import read_json, read_jsonl

LOG_NAME = "lmms_eval.log"
_LOG_LINES = 25
_PR_SET_PDEATHSIG = 1
# Separators and quotes in lmms-eval's `--model_args`.
_SIGNS_OF_MODEL_ARGS = ",'\"{}[]"

# Wrappers of lmms-eval whose arguments for frames and pixels are the ones that `model_arguments` gives.
KNOWN_MODEL_TYPES = ("qwen2_5_vl",)


class LmmsEvalError(InputError):
    """lmms-eval did not evaluate every question; the message holds the end of its log."""


def check_model(model_dir: Path, model_type: str) -> None:
    """Raise InputError unless `model_dir` holds a checkpoint of `model_type` and lmms-eval's wrapper is one we know."""
    if model_type not in KNOWN_MODEL_TYPES:
        raise InputError(
            f"evaluate.model_type: unknown model family {model_type!r}, should be one of {', '.join(KNOWN_MODEL_TYPES)}"
        )
    found = read_json(model_dir / "config.json").get("model_type")
    if found != model_type:
        raise InputError(f"{model_dir / 'config.json'}: model_type {found!r}, should be {model_type!r}")
    if found_signs := set(_SIGNS_OF_MODEL_ARGS) & set(str(model_dir.resolve())):
        raise InputError(f"{model_dir}: lmms-eval cannot read a model path that holds {' '.join(sorted(found_signs))}")


def model_arguments(model_dir: Path, vision: Vision, evaluate: Evaluate) -> str:
    """The string of `--model_args`: checkpoint, frame and pixel budget, device, then `evaluate.model_args`."""
    sampling = {"max_num_frames": vision.frames} if vision.sampling == "uniform" else {"fps": vision.fps}
    arguments = {
        "pretrained": model_dir.resolve(),
        **sampling,
        "min_pixels": vision.min_pixels,
        "max_pixels": vision.max_pixels,
        "device_map": evaluate.device,
        "attn_implementation": "sdpa",
        **evaluate.model_args,
    }
    return ",".join(f"{key}={value}" for key, value in arguments.items())


def safe_batch_size(videos: Iterable[Path], vision: Vision, batch_size: int) -> int:
    """Batch size at which every clip is sampled as it would be alone.

    With uniform sampling the wrapper takes the number of frames of a whole batch from its first clip: a clip shorter
    than `vision.frames` would thin out its neighbours or stop the run, so such clips are evaluated one by one. With a
    rate, the wrapper knows no upper limit: a clip that needs more than `vision.frames` raises InputError, as does one
    of fewer than two frames.
    """
    shortest = vision.frames
    for path in sorted(set(videos)):
        frames, fps = count_frames(path)
        if frames < 2:
            raise InputError(f"{path}: {frames} frame(s), should have at least 2 to be evaluated")
        # The wrapper floors to an even number of frames.
        needed = int(frames / fps * vision.fps) // 2 * 2
        if vision.sampling == "fps" and needed > vision.frames:
            raise InputError(
                f"{path}: {vision.fps:g} frames a second make {needed} frames, more than vision.frames "
                f"({vision.frames}), and lmms-eval has no such limit; raise it or use sampling 'uniform'"
            )
        shortest = min(shortest, frames)
    return batch_size if vision.sampling == "fps" or shortest >= vision.frames else 1


def run_lmms_eval(
    folder: Path,
    model_dir: Path,
    tasks: Sequence[Task],
    vision: Vision,
    evaluate: Evaluate,
    batch_size: int,
    seed: int,
) -> None:
    """Load the model once and run all `tasks`, defined in `folder / "tasks"`, logging samples below `folder / "out"`.

    Raises LmmsEvalError if it ends with an error. It also ends with status 0 after one, so see `logged_samples`.
    """
    arguments = {
        "--model": evaluate.model_type,
        "--model_args": model_arguments(model_dir, vision, evaluate),
        "--tasks": ",".join(task.name for task in tasks),
        "--include_path": str((folder / "tasks").resolve()),
        "--output_path": str((folder / "out").resolve()),
        "--batch_size": str(batch_size),
        "--device": evaluate.device,
        "--seed": str(seed),
        "--process_docs_parallel": "1",
        # Thoughts stay in the samples: the report shows them, and `parse` knows where they end.
        "--reasoning_tags": "none",
    }
    command = [sys.executable, "-m", "lmms_eval", *(word for pair in arguments.items() for word in pair)]
    log = folder / LOG_NAME
    print(f"lmms-eval: {len(tasks)} tasks, batch size {batch_size}, log {log}", file=sys.stderr)
    with log.open("wb") as stream:
        done = subprocess.run(
            [*command, "--log_samples"],
            cwd=folder,
            env=surroundings(folder, evaluate),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,
            check=False,
        )
    if done.returncode != 0:
        raise LmmsEvalError(f"lmms-eval ended with status {done.returncode}\n{_end_of(log)}")


def surroundings(folder: Path, evaluate: Evaluate) -> dict[str, str]:
    """Environment of the process: offline, every cache below `folder`, `nep` importable, a fixed number of threads."""
    caches = folder.resolve() / "cache"
    library = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    own = {
        "PYTHONPATH": library if not inherited else os.pathsep.join((library, inherited)),
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HOME": str(caches / "huggingface"),
        "HF_DATASETS_CACHE": str(caches / "datasets"),
        "LMMS_EVAL_DATASETS_CACHE": str(caches / "datasets"),
        "XDG_CACHE_HOME": str(caches),
        "MPLCONFIGDIR": str(caches / "matplotlib"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "OMP_NUM_THREADS": str(evaluate.threads),
        "MKL_NUM_THREADS": str(evaluate.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "FORCE_QWENVL_VIDEO_READER": "decord",
    }
    if evaluate.device == "cpu":
        own |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    return {**os.environ, **own}


def logged_samples(folder: Path, task: Task, questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Samples that lmms-eval logged for a task, in the order of `questions`.

    Raises LmmsEvalError if there is no log or the samples are not exactly one for each question.
    """
    logs = sorted((folder / "out").rglob(f"*_samples_{task.name}.jsonl"))
    if len(logs) != 1:
        raise LmmsEvalError(f"lmms-eval logged no samples of task {task.name}\n{_end_of(folder / LOG_NAME)}")
    samples: dict[str, dict[str, Any]] = {}
    for row in read_jsonl(logs[0]):
        sample = {key: value for key, value in row[METRIC].items() if key != "score"}
        if sample["question_id"] in samples:
            raise LmmsEvalError(f"{logs[0]}: question {sample['question_id']!r} has two samples")
        samples[sample["question_id"]] = sample
    missing = [row["id"] for row in questions if row["id"] not in samples]
    if missing or len(samples) != len(questions):
        raise LmmsEvalError(
            f"{logs[0]}: {len(samples)} samples for {len(questions)} questions, without {missing[:3]}; "
            f"see {folder / LOG_NAME}"
        )
    return [samples[row["id"]] for row in questions]


def lmms_eval_version() -> str:
    """Version of the installed lmms-eval."""
    return version("lmms-eval")


def _end_of(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join((f"the end of {log}:", *lines[-_LOG_LINES:]))


def _end_with_parent() -> None:
    # A killed workflow must not leave an evaluation behind that takes its restart's memory and cores.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
