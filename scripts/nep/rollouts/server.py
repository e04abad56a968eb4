"""The rollout engine's side: vLLM in this process, asked by the trainer that started it over one socket.

One request at a time, in the order of the calls: `start`, then `weights`, `complete` and `rest` in any. A
request that fails is answered by its reason, and the engine stays; it ends when its trainer has closed the socket.
"""

import hashlib
import itertools
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from vllm import SamplingParams
from vllm.config import WeightTransferConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.inputs.engine import EngineInput, mm_input, tokens_input
from vllm.model_executor.models.interfaces import supports_mrope
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItem, MultiModalKwargsItems, PlaceholderRange
from vllm.outputs import RequestOutput
from vllm.v1.engine.llm_engine import LLMEngine

from nep.rollouts.vllm_parts import BANNED, BannedTokens, TrainersPositions, register_memory_transfer
from nep.rollouts.wire import ClosedError, Message, receive, send

# What a clip has one of; of other fields each token or patch has a row.
WHOLE = ("video_grid_thw",)


def serve(descriptor: int) -> None:
    """Answer the trainer at the other end of the socket until it closes it, or dies."""
    with socket.socket(fileno=descriptor) as connection:
        try:
            engine = _answered(connection, lambda message: (Engine(message.header), Message({"version": None})))
            while True:
                _answered(connection, lambda message: (None, engine.answer(message)))
        except ClosedError:
            return


class Engine:
    """vLLM with the model of one training.

    `settings`: `model` (folder), `dtype`, `max_tokens` (of prompt and completion), `sequences` (at once),
    `cache_bytes` (keys and values), `banned` (token ids), `ends` (token ids), `tower` (whether videos come as pixels),
    `backend` (of the weights' transfer: `memory` or `ipc`), `eager`, `sleeps`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        register_memory_transfer()
        self._ends = settings["ends"]
        self._sleeps = settings["sleeps"]
        self._version: int | None = None
        self._awake = True
        self._numbers = itertools.count()
        self._llm = LLMEngine.from_engine_args(engine_args(settings))
        self._rpc("init_weight_transfer_engine", {})
        self._positions = TrainersPositions()
        self._llm.apply_model(self._take_positions)

    def answer(self, message: Message) -> Message:
        """The answer to a request."""
        calls = {"weights": self._weights, "complete": self._complete, "rest": self._rest}
        header, tensors = calls[message.header["call"]](message)
        return Message({"version": self._version, **header}, tensors)

    def _weights(self, message: Message) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Take the weights of a version; nothing that was computed with older ones is used again."""
        if not self._awake:
            self._llm.wake_up(tags=["weights"])
        self._rpc("start_weight_update")
        self._rpc("update_weights", message.header["update"])
        self._rpc("finish_weight_update")
        if not self._awake:
            self._llm.wake_up(tags=["kv_cache"])
        self._awake = True
        self._llm.reset_prefix_cache()
        self._llm.reset_encoder_cache()
        self._version = message.header["version"]
        return {}, {}

    def _complete(self, message: Message) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Completions of each prompt, one for each of its `seeds` (prompts, n); a greedy one where there are none."""
        temperature, limit = message.header["temperature"], message.header["limit"]
        seeds = message.tensors["seeds"].tolist()
        requests = [
            (prompt, self._sampling(temperature, limit, seed))
            for prompt, row in zip(self._prompts(message), seeds, strict=True)
            for seed in row or [None]
        ]
        outputs = [output.outputs[0] for output in self._run(requests)]
        tokens = [list(output.token_ids) for output in outputs]
        log_probs = [
            [place[token].logprob for place, token in zip(output.logprobs, output.token_ids, strict=True)]
            for output in outputs
        ]
        return {}, {
            "tokens": torch.tensor(list(itertools.chain(*tokens))),
            "log_probs": torch.tensor(list(itertools.chain(*log_probs)), dtype=torch.float32),
            "lengths": torch.tensor([len(row) for row in tokens]),
        }

    def _rest(self, message: Message) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Give the GPU's memory to the trainer until the next weights come."""
        if self._sleeps:
            self._llm.sleep(level=2)
            self._awake, self._version = False, None
        return {}, {}

    def _take_positions(self, model: nn.Module) -> None:
        if supports_mrope(model):
            model.get_mrope_input_positions = self._positions

    def _sampling(self, temperature: float, limit: int, seed: int | None) -> SamplingParams:
        return SamplingParams(
            temperature=0.0 if seed is None else temperature,
            seed=seed,
            max_tokens=limit,
            stop_token_ids=self._ends,
            logprobs=0,
            detokenize=False,
        )

    def _run(self, requests: Sequence[tuple[EngineInput, SamplingParams]]) -> list[RequestOutput]:
        """The outputs of the requests, in their order."""
        names = [str(next(self._numbers)) for _ in requests]
        for name, (prompt, sampling) in zip(names, requests, strict=True):
            self._llm.add_request(name, prompt, sampling)
        done: dict[str, RequestOutput] = {}
        while self._llm.has_unfinished_requests():
            done |= {output.request_id: output for output in self._llm.step() if output.finished}
        self._positions.forget()
        return [done[name] for name in names]

    def _prompts(self, message: Message) -> list[EngineInput]:
        """The prompts of a request; the engine knows their positions until it has run them."""
        prompts = prompts_of(message)
        for number, prompt in enumerate(prompts):
            clips = prompt["mm_hashes"]["video"] if prompt["type"] == "multimodal" else []
            self._positions.know(prompt["prompt_token_ids"], clips, message.tensors[f"positions.{number}"])
        return prompts

    def _rpc(self, method: str, *arguments: Any) -> None:
        self._llm.collective_rpc(method, args=arguments)


def engine_args(settings: dict[str, Any]) -> EngineArgs:
    """vLLM's arguments for `settings`, see `Engine`."""
    return EngineArgs(
        model=settings["model"],
        dtype=settings["dtype"],
        seed=0,
        max_model_len=settings["max_tokens"],
        max_num_seqs=settings["sequences"],
        # The whole prompt of a video in one step of the scheduler.
        max_num_batched_tokens=max(8192, settings["max_tokens"]),
        kv_cache_memory_bytes=settings["cache_bytes"],
        # Asked for at the start beside a trainer that holds most of a GPU; the cache's size is set above.
        gpu_memory_utilization=0.1,
        enforce_eager=settings["eager"],
        async_scheduling=False,
        # Without pixels no vision tower is loaded.
        limit_mm_per_prompt={"image": 0, "video": 1 if settings["tower"] else 0},
        enable_mm_embeds=True,
        skip_mm_profiling=True,
        # Pixels come from the trainer's processor, which has done it.
        mm_device_do_normalize=False,
        # It has lost step with the engine over weight updates (docs/training.md).
        mm_processor_cache_gb=0,
        logprobs_mode="processed_logprobs",
        logits_processors=[BannedTokens],
        additional_config={BANNED: settings["banned"]},
        generation_config="vllm",
        enable_sleep_mode=settings["sleeps"],
        weight_transfer_config=WeightTransferConfig(backend=settings["backend"]),
        disable_log_stats=True,
    )


@dataclass(frozen=True)
class Clip:
    """A clip as vLLM's model takes it, and the name that its caches know it by: a hash of all its tensors."""

    item: MultiModalKwargsItem
    digest: str


def prompts_of(message: Message) -> list[EngineInput]:
    """The prompts of a request: `prompts`, each with its `clips` and their `places`.

    In vLLM's own form of a processed prompt: expanded already, so that the tokens are the trainer's.
    """
    clips = [clip_of(message, number) for number in range(message.header["clips"])]
    made = []
    for number, prompt in enumerate(message.header["prompts"]):
        tokens = message.tensors[f"prompt.{number}"]
        if not prompt["clips"]:
            made.append(tokens_input(tokens.tolist()))
            continue
        shown = [clips[index] for index in prompt["clips"]]
        places = [place_of(tokens == prompt["visual"], *range_) for range_ in prompt["places"]]
        made.append(
            mm_input(
                tokens.tolist(),
                MultiModalKwargsItems({"video": [clip.item for clip in shown]}),
                {"video": [clip.digest for clip in shown]},
                {"video": places},
            )
        )
    return made


def clip_of(message: Message, number: int) -> Clip:
    """The clip of this number in a request, its tensors named `clip.<number>.<field>`."""
    start = f"clip.{number}."
    tensors = {name[len(start) :]: value for name, value in message.tensors.items() if name.startswith(start)}
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    fields = {
        name: MultiModalFieldConfig.batched("video", keep_on_cpu=True)
        if name in WHOLE
        else MultiModalFieldConfig.flat_from_sizes("video", torch.tensor([len(value)]))
        for name, value in tensors.items()
    }
    batch = {name: value[None] if name in WHOLE else value for name, value in tensors.items()}
    return Clip(MultiModalKwargsItems.from_hf_inputs(batch, fields)["video"][0], digest.hexdigest())


def place_of(visual: Tensor, first: int, behind: int) -> PlaceholderRange:
    """Where a clip stands, from its `first` visual token to `behind` its last: text may stand between them."""
    mask = visual[first:behind]
    return PlaceholderRange(offset=first, length=len(mask), is_embed=None if mask.all() else mask)


def _answered(connection: socket.socket, call: Callable[[Message], tuple[Any, Message]]) -> Any:
    """Receive a request, send what `call` makes of it, and return its other result."""
    message = receive(connection)
    try:
        result, answer = call(message)
    except Exception as error:
        # The whole of it for the log; its last line for the trainer, which ends with it.
        traceback.print_exc()
        send(connection, Message({"error": f"{type(error).__name__}: {error}"}))
        return None
    send(connection, answer)
    return result
