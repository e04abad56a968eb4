"""What lmms-eval is told about a model: which of its wrappers runs it, and with what frames and pixels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nep.config.endpoint import Endpoint
from nep.config.evaluate import Evaluate
from nep.config.vision import Vision
from nep.errors import InputError
from nep.evaluate.frame_counts import count_frames, sampled_frames
from nep.evaluate.wrappers import FAMILY_WRAPPER, VLLM_WRAPPER
from nep.files import read_json
from nep.rollouts.environment import EVALUATIONS, find_environment

# Families whose wrapper in lmms-eval takes the frames and pixels of the encode stage (tests compare them). The others
# run in `nep.evaluate.family_model`, which takes them for every family, and weights of fewer bits.
LMMS_EVAL_WRAPPERS = frozenset({"qwen2_5_vl"})
OPENAI_KEY = "OPENAI_API_KEY"
# Questions that are asked at once of an engine which makes batches of its own.
ENGINE_CHUNK = 256
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
# Separators and quotes in lmms-eval's `--model_args`.
_SIGNS_OF_MODEL_ARGS = ",'\"{}[]"


@dataclass(frozen=True)
class Backend:
    """A model as lmms-eval is told of it.

    Attributes:
        model: the wrapper's name in lmms-eval.
        arguments: its arguments.
        batch_size: questions of one forward pass.
        chunk: questions that are asked at a time, and lost where the process is killed meanwhile.
        same_frames: where the wrapper takes the number of frames of a batch from its first clip, the most that it
            takes: only clips of which it would take as many share a batch.
        processes: processes that share the questions.
        exact: whether the weights are loaded in fp32, by a wrapper that cannot be told so.
        environment: variables of the process.
        python: interpreter of the environment that it runs in; None: that of the stage.
        versions: packages there that decide the answers, by name; empty where it is that of the stage.
        remote: whether the model runs elsewhere, behind an API.
        comparable: whether the model's logits can be compared with those of the vision cache.
        seen: what the report says about frames and pixels.
    """

    model: str
    arguments: Mapping[str, Any]
    batch_size: int
    chunk: int
    same_frames: int | None = None
    processes: int = 1
    exact: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    python: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    remote: bool = False
    comparable: bool = False
    seen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def argument_text(self) -> str:
        """The string of `--model_args`. Raises InputError for a value that lmms-eval would take apart."""
        for key, value in self.arguments.items():
            if found := sorted(set(_SIGNS_OF_MODEL_ARGS) & set(str(value))):
                raise InputError(
                    f"{value}: lmms-eval cannot read a model argument ({key}) that holds {' '.join(found)}"
                )
        return ",".join(f"{key}={value}" for key, value in self.arguments.items())


def backend_for(
    model_dir: Path, vision: Vision, evaluate: Evaluate, videos: Iterable[Path], others: bool = False
) -> Backend:
    """How `evaluate.backend` runs a checkpoint on `videos`, and on `others` whose length is not known.

    Raises InputError for a folder that is no checkpoint.
    """
    family = read_json(model_dir / "config.json").get("model_type")
    if not isinstance(family, str):
        raise InputError(f"{model_dir / 'config.json'}: model_type {family!r}, should be the name of a model family")
    videos = sorted(set(videos))
    if evaluate.backend == "vllm":
        return _vllm(model_dir, vision, evaluate)
    if evaluate.backend == "sglang":
        return _sglang(model_dir, vision, evaluate, videos)
    runs = evaluate.device != "cpu" or evaluate.processes == 1
    # At a rate, lmms-eval's wrapper has no upper limit.
    in_budget = vision.sampling == "uniform" or not others
    if family in LMMS_EVAL_WRAPPERS and runs and in_budget and evaluate.quantize is None:
        check_clips(videos, vision)
        return _lmms_eval(model_dir, family, vision, evaluate)
    return _family(model_dir, vision, evaluate)


def endpoint_backend(endpoint: Endpoint, vision: Vision, videos: Iterable[Path], others: bool = False) -> Backend:
    """How a model behind an API is asked about `videos`, and `others`. Raises InputError where it has no key."""
    key = endpoint.key()
    frames = frames_for_all(videos, vision)
    sampling = {"max_frames_num": frames} if vision.sampling == "uniform" else {"video_fps": vision.fps}
    return Backend(
        model="openai",
        arguments={
            "model_version": endpoint.model,
            "base_url": endpoint.url,
            "timeout": endpoint.timeout_s,
            "num_concurrent": endpoint.concurrent,
            **sampling,
        },
        batch_size=1,
        chunk=ENGINE_CHUNK,
        environment={OPENAI_KEY: key},
        remote=True,
        seen={**sampling, "pixels": "decided by the endpoint"},
    )


def frames_for_all(videos: Iterable[Path], vision: Vision) -> int:
    """Frames that every clip has, `vision.frames` at most, for wrappers that take one number for all clips; even."""
    return min((sampled_frames(path, vision.frames) for path in set(videos)), default=vision.frames)


def check_clips(videos: Iterable[Path], vision: Vision) -> None:
    """Raise InputError naming a clip that lmms-eval's wrapper could not sample as training does: one of fewer than two
    frames, or, as the wrapper knows no upper limit at a rate, one that needs more than `vision.frames`."""
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


def _lmms_eval(model_dir: Path, family: str, vision: Vision, evaluate: Evaluate) -> Backend:
    sampling = {"max_num_frames": vision.frames} if vision.sampling == "uniform" else {"fps": vision.fps}
    return Backend(
        model=family,
        arguments={
            "pretrained": model_dir.resolve(),
            **sampling,
            "min_pixels": vision.min_pixels,
            "max_pixels": vision.max_pixels,
            "device_map": evaluate.device,
            "attn_implementation": "sdpa",
            **evaluate.model_args,
        },
        batch_size=evaluate.batch_size,
        chunk=evaluate.batch_size,
        same_frames=vision.frames if vision.sampling == "uniform" else None,
        processes=evaluate.processes,
        exact=evaluate.precision == "fp32",
        comparable=True,
        seen=vision.model_dump(),
    )


def _family(model_dir: Path, vision: Vision, evaluate: Evaluate) -> Backend:
    return Backend(
        model=FAMILY_WRAPPER,
        arguments={
            "pretrained": model_dir.resolve(),
            **vision.model_dump(),
            "dtype": DTYPES[evaluate.precision],
            **({"quantize": evaluate.quantize} if evaluate.quantize else {}),
            **evaluate.model_args,
        },
        batch_size=evaluate.batch_size,
        chunk=evaluate.batch_size,
        processes=evaluate.processes,
        comparable=True,
        seen=vision.model_dump(),
    )


def _vllm(model_dir: Path, vision: Vision, evaluate: Evaluate) -> Backend:
    found = find_environment(evaluate.vllm_environment, EVALUATIONS)
    return Backend(
        model=VLLM_WRAPPER,
        arguments={"pretrained": model_dir.resolve(), **vision.model_dump(), **evaluate.model_args},
        batch_size=ENGINE_CHUNK,
        chunk=ENGINE_CHUNK,
        python=found.python,
        versions=found.versions,
        # One process, which is killed with ours.
        environment={"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"},
        seen=vision.model_dump(),
    )


def _sglang(model_dir: Path, vision: Vision, evaluate: Evaluate, videos: list[Path]) -> Backend:
    sampling = _engine_sampling(vision, videos)
    return Backend(
        model="sglang",
        arguments={
            "model": model_dir.resolve(),
            **sampling,
            "max_pixels": vision.max_pixels,
            "min_pixels": vision.min_pixels,
            "trust_remote_code": False,
            **evaluate.model_args,
        },
        batch_size=ENGINE_CHUNK,
        chunk=ENGINE_CHUNK,
        seen={**sampling, "min_pixels": vision.min_pixels, "max_pixels": vision.max_pixels},
    )


def _engine_sampling(vision: Vision, videos: list[Path]) -> dict[str, Any]:
    if vision.sampling == "fps":
        return {"fps": vision.fps, "max_frame_num": vision.frames}
    frames = frames_for_all(videos, vision)
    return {"nframes": frames, "max_frame_num": frames}
