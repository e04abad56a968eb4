"""Rollouts by vLLM in a process of its own beside the trainer: prompts as tokens, videos as the vision cache has them.

Each training process has an engine of its own, so that no prompt travels between processes. The engine holds the whole
model (its language model where videos come as features) and takes the trainer's weights after each step.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from nep.errors import InputError
from nep.model.samples import Sample
from nep.model.visual import RawClip, Visuals
from nep.rollouts.environment import Environment
from nep.rollouts.wire import Message
from nep.train.rl.decoding import Decoding
from nep.train.rl.engine_process import EngineEndedError, EngineProcess
from nep.train.rl.engine_weights import engine_weights, handles_of
from nep.train.rl.rollout import Completion, RolloutEngine

SERVER = Path(__file__).resolve().parents[3] / "serve_rollouts.py"
# A draw in [0, 1) has 53 bits.
SEEDS = 1 << 53


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is told once.

    Attributes:
        model: folder of the start model. dtype: `float32` or `bfloat16`.
        max_tokens: of the longest prompt with a completion. sequences: at a time. cache_bytes: for keys and values.
        device: index of its GPU; None on a CPU. shared: whether that is the trainer's GPU too.
        threads: of the CPU. within_s: how long it may take to start, and to answer.
    """

    model: Path
    dtype: str
    max_tokens: int
    sequences: int
    cache_bytes: int
    device: int | None
    shared: bool
    threads: int
    within_s: float


class VllmRollout(RolloutEngine):
    """The engine behind the interface `RolloutEngine`. Attribute: `pid` of its process.

    What it writes is a function of weights, prompts and draws, up to rounding: each completion has a seed of its own,
    but vLLM's sums depend on what it computes together, and so may, rarely, a token.
    """

    def __init__(
        self, environment: Environment, settings: EngineSettings, decoding: Decoding, visuals: Visuals, log: Path
    ) -> None:
        """Start the process, which loads while the caller goes on; what it prints goes to `log`.

        Raises InputError where it ends at once.
        """
        self._environment = environment
        self._settings = settings
        self._decoding = decoding
        self._tower = not visuals.from_features
        self._log = log
        self._wanted = 0
        # Shared memory without a name: it ends with the two processes.
        self._memory = os.memfd_create("nep-weights")
        try:
            self._start()
        except EngineEndedError as error:
            raise InputError(str(error)) from None

    @property
    def pid(self) -> int:
        """Number of the engine's process."""
        return self._process.pid

    def renew(self, version: int) -> None:
        """See `RolloutEngine`."""
        self._wanted = version

    def __call__(
        self, model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, draws: Tensor | None
    ) -> list[list[Completion]]:
        """See `RolloutEngine`. The first draw of a completion is its seed."""
        seeds = torch.empty(len(prompts), 0).long() if draws is None else (draws[:, :, 0] * SEEDS).long()
        header, tensors = described(prompts, visuals)
        header |= {"call": "complete", "temperature": self._decoding.temperature, "limit": self._decoding.limit}
        answer = self._ask(model, Message(header, {**tensors, "seeds": seeds}))
        return completions(answer.tensors, len(prompts), self._decoding.ends.cpu())

    def rest(self) -> None:
        """See `RolloutEngine`."""
        if self._settings.shared and self._held is not None:
            self._held = None
            # One that has died holds no memory, and the next request starts another.
            with suppress(EngineEndedError):
                self._process.send(Message({"call": "rest"}))
                self._process.receive()

    def close(self) -> None:
        """End the process."""
        self._process.close()
        os.close(self._memory)

    def _ask(self, model: PreTrainedModel, message: Message) -> Message:
        """The answer to a request, written with the weights that are wanted. An engine that has died is started again,
        once: what it writes does not depend on what it wrote before."""
        try:
            return self._asked(model, message)
        except EngineEndedError as error:
            tqdm.write(f"warning: {error}\nthe rollout engine is started again", file=sys.stderr)
        try:
            self._start()
            return self._asked(model, message)
        except EngineEndedError as error:
            raise InputError(f"twice for one request, {error}") from None

    def _asked(self, model: PreTrainedModel, message: Message) -> Message:
        if not self._ready:
            self._process.receive()
            self._ready = True
        if self._held != self._wanted:
            self._send_weights(model)
            self._held = self._wanted
        self._process.send(message)
        answer = self._process.receive()
        if answer.header["version"] != self._wanted:
            raise InputError(
                f"stale weights: the rollout engine wrote with version {answer.header['version']} of the weights, and "
                f"the trainer has version {self._wanted}"
            )
        return answer

    def _start(self) -> None:
        settings, decoding = self._settings, self._decoding
        self._held: int | None = None
        self._ready = False
        self._process = EngineProcess(
            engine_command(self._environment),
            process_environment(settings),
            self._log,
            settings.within_s,
            shared=(self._memory,),
        )
        header = {
            "model": str(settings.model),
            "dtype": settings.dtype,
            "max_tokens": settings.max_tokens,
            "sequences": settings.sequences,
            "cache_bytes": settings.cache_bytes,
            "banned": decoding.banned.nonzero()[:, 0].tolist(),
            "ends": decoding.ends.nonzero()[:, 0].tolist(),
            "tower": self._tower,
            "backend": "ipc" if settings.shared else "memory",
            "eager": settings.device is None,
            "sleeps": settings.shared,
        }
        self._process.send(Message(header))

    def _send_weights(self, model: PreTrainedModel) -> None:
        weights = engine_weights(model, self._tower)
        if self._settings.shared:
            handles = handles_of(weights)
            update, kept = handles.update, handles.kept
        else:
            path = f"/proc/self/fd/{self._memory}"
            # The library's own writing to a file renames it, which one without a name does not allow.
            Path(path).write_bytes(save({name: tensor.contiguous() for name, tensor in weights}))
            update, kept = {"path": path}, []
        self._process.send(Message({"call": "weights", "version": self._wanted, "update": update}))
        self._process.receive()
        # Until here the engine has read them.
        del kept


def engine_command(environment: Environment) -> list[str]:
    """The engine's command line, up to the number of its socket."""
    return [str(environment.python), str(SERVER)]


def process_environment(settings: EngineSettings) -> dict[str, str]:
    """Variables of the engine's process, beside the trainer's own."""
    device = {"CUDA_VISIBLE_DEVICES": "" if settings.device is None else visible_device(settings.device)}
    # Handles of the trainer's memory are pickled by torch, and come from the trainer alone.
    handles = {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"} if settings.shared else {}
    return {
        **device,
        **handles,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(settings.threads),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # The engine's core in the one process that the trainer has started, whose requests come in a fixed order.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }


def visible_device(index: int) -> str:
    """Name of the GPU that this process sees as number `index`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)


def described(prompts: Sequence[Sample], visuals: Visuals) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Prompts as header and tensors of a request. A clip that several of them show is in it once.

    Raises InputError for a family without a grid of patches.
    """
    keys = sorted({key for prompt in prompts for key in prompt.video_keys})
    clips = {key: visuals.clip(key) for key in keys}
    tensors = {
        f"clip.{number}.{name}": value
        for number, (key, clip) in enumerate(clips.items())
        for name, value in clip_tensors(key, clip).items()
    }
    shapes = []
    for number, prompt in enumerate(prompts):
        tensors |= {f"prompt.{number}": prompt.input_ids, f"positions.{number}": prompt.position_ids}
        shown = [clips[key] for key in prompt.video_keys]
        visual = shown[0].token if shown else None
        shapes.append(
            {
                "clips": [keys.index(key) for key in prompt.video_keys],
                "visual": visual,
                "places": places(prompt.input_ids == visual, [clip.placeholder.tokens for clip in shown]),
            }
        )
    return {"clips": len(keys), "prompts": shapes}, tensors


def places(visual: Tensor, counts: Sequence[int]) -> list[tuple[int, int]]:
    """Of each clip of a prompt, the place of its first visual token and that behind its last one.

    `visual`: (L,) bool, where visual tokens stand. `counts`: how many each clip has, in their order.
    """
    found = visual.nonzero()[:, 0].split(list(counts)) if counts else ()
    return [(int(run[0]), int(run[-1]) + 1) for run in found]


def clip_tensors(key: str, clip: RawClip) -> dict[str, Tensor]:
    """A clip by the names of its model's inputs: features or pixels, and the grid (3,)."""
    placeholder = clip.placeholder
    if placeholder.grid is None or (clip.features is not None and clip.features.ndim != 2):
        raise InputError(
            f"clip {key!r}: grpo.rollout: 'vllm' takes models that see a video as one grid of patches with one layer "
            "of features (Qwen2-VL, Qwen2.5-VL); set it to 'own' for this model"
        )
    shown = {"video_embeds": clip.features} if clip.pixels is None else clip.pixels
    named = {name: value for name, value in shown.items() if name in ("video_embeds", "pixel_values_videos")}
    return {**named, "video_grid_thw": torch.tensor(placeholder.grid)}


def completions(tensors: Mapping[str, Tensor], prompts: int, ends: Tensor) -> list[list[Completion]]:
    """The completions of each prompt from one answer's `tokens` and `log_probs`, one behind the other, of `lengths`.

    `ends`: (V,) bool, tokens that end a completion. Where the engine gives no entropies, the negative log-prob of the
    token that was drawn stands for each: its mean is the entropy's unbiased estimate.
    """
    lengths = tensors["lengths"].tolist()
    rows = [
        Completion(tokens=tokens, log_probs=log_probs, entropies=-log_probs, finished=bool(ends[tokens[-1]]))
        for tokens, log_probs in zip(tensors["tokens"].split(lengths), tensors["log_probs"].split(lengths), strict=True)
    ]
    width = len(rows) // prompts
    return [rows[start : start + width] for start in range(0, len(rows), width)]
