"""What a run will need in memory, before anything is loaded: a table in the log, and a refusal of what cannot fit.

Weights, gradients and optimiser states are counted; activations and KV cache are estimated from the model's config.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Training
from nep.errors import InputError
from nep.model.adapters import add_adapters
from nep.model.param_groups import freeze
from nep.model.scoring import CHUNK
from nep.train.runtime.host_memory import host_memory

GIB = 1 << 30
FP32_BYTES = 4
BYTES = {"fp32": 4, "bf16": 2}
DEEPSPEED_BUCKET = 500_000_000
# Of one decoder layer, in units of the hidden and of the intermediate size, as autograd keeps them: both norms in and
# out, attention in and out, residuals; gate, up, activation and product.
HIDDEN_PER_LAYER, INTERMEDIATE_PER_LAYER = 10, 4
# fp32 copies of a chunk's logits. SFT: the logits, their softmax, the gradient. GRPO: what the log-prob and the entropy
# keep (two softmaxes and their exponential), and three gradients on the way back.
SFT_LOGITS_COPIES, GRPO_LOGITS_COPIES = 3, 6
# Of a process on a GPU: CUDA's context, the libraries' workspaces, NCCL's buffers.
CUDA = "CUDA and NCCL"
CUDA_BYTES = 3 * GIB // 2
# DeepSpeed's own, in elements: weights of other processes that ZeRO-3 holds at a time.
DEEPSPEED_LIVE = 1_000_000_000

Place = Literal["device", "host"]


@dataclass(frozen=True)
class ModelSize:
    """Element counts of a model, and the shape of its language model."""

    parameters: int
    trainable: int
    layers: int
    hidden: int
    intermediate: int
    key_value: int
    vocabulary: int


@dataclass(frozen=True)
class Line:
    """One entry of the table, for one process: what it is, where it lies, and what would make it smaller."""

    name: str
    bytes: int
    place: Place
    smaller: str


def memory_lines(
    model: ModelSize, training: Sft | Grpo, deepspeed: dict[str, Any], processes: int, on_gpu: bool = True
) -> list[Line]:
    """What each of `processes` processes needs; `deepspeed` is the engine's configuration. Without a GPU one memory is
    both places."""
    zero = deepspeed["zero_optimization"]
    stage, item = zero["stage"], BYTES[training.precision]
    weights_at, states_at = (_place_of(zero, key) for key in ("offload_param", "offload_optimizer"))
    masters = stage > 0 or training.precision == "bf16"
    more = "more processes, or a higher ZeRO stage"
    frozen = "lora, freeze more parts"
    held = model.parameters // (processes if stage == 3 else 1)
    states = model.trainable // (processes if masters else 1)
    gradients = model.trainable // (processes if stage >= 2 else 1)
    lines = [
        Line("weights", held * item, weights_at, "ZeRO stage 3, or a smaller model"),
        Line("gradients", gradients * item, states_at if stage >= 2 else "device", f"{frozen}, or {more}"),
        Line("master weights", states * FP32_BYTES * masters, states_at, f"offload_optimizer, {frozen}, or {more}"),
        Line("optimizer states", 2 * states * FP32_BYTES, states_at, f"offload_optimizer, {frozen}, or {more}"),
        Line("gradients in fp32", states * FP32_BYTES * masters, states_at, f"offload_optimizer, {frozen}, or {more}"),
        Line("buckets", _buckets(zero, model) * item, "device", "reduce_bucket_size in the DeepSpeed file"),
        Line("gathered weights", _gathered(zero, model) * item, "device", "stage3_max_live_parameters in that file"),
        Line(
            "activations",
            _activations(model, training, processes) * item,
            "device",
            "pack_tokens, or gradient_checkpointing",
        ),
        Line("logits", _logits(model, training) * FP32_BYTES, "device", "a smaller vocabulary"),
        Line("checkpoint being written", _checkpoint(model, training, stage, states), "host", f"{frozen}, or {more}"),
    ]
    if isinstance(training, Grpo):
        lines += _rollout_lines(model, training, stage, processes, on_gpu)
    if on_gpu:
        return [line for line in [*lines, Line(CUDA, CUDA_BYTES, "device", "a GPU with more memory")] if line.bytes]
    # On a CPU AdamW takes the roots of all second moments at once, in a copy of them.
    step = Line("optimizer step", states * FP32_BYTES, states_at, f"{frozen}, or {more}")
    return [replace(line, place="host") for line in [*lines, step] if line.bytes]


def check(lines: list[Line], capacity: dict[Place, int]) -> None:
    """Raise InputError where the lines of a place do not fit there, naming the largest one and what to change."""
    for place, available in capacity.items():
        here = [line for line in lines if line.place == place]
        needed = sum(line.bytes for line in here)
        if needed > available:
            largest = max(here, key=lambda line: line.bytes)
            raise InputError(
                f"memory: needs {needed / GIB:.1f} GiB of {place} memory; {available / GIB:.1f} GiB available. The "
                f"largest part is {largest.name} with {largest.bytes / GIB:.1f} GiB: change {largest.smaller}"
            )


def table(lines: list[Line], capacity: dict[Place, int]) -> str:
    """The lines in GiB, the sum of each place, and what is there."""
    rows = [f"{line.name:<26}{line.place:<8}{line.bytes / GIB:>9.3f}" for line in lines]
    for place, available in capacity.items():
        needed = sum(line.bytes for line in lines if line.place == place)
        rows.append(f"{'all of it':<26}{place:<8}{needed / GIB:>9.3f} of {available / GIB:.1f} GiB")
    return "\n".join([f"{'memory of a process':<26}{'':<8}{'GiB':>9}", *rows])


def check_memory(folder: Path, training: Sft | Grpo, deepspeed: dict[str, Any], processes: int, shows: bool) -> None:
    """Print the table where it `shows`, and raise InputError where the run cannot fit.

    Reads the model's config, not its weights.
    """
    size, on_gpu = model_size(folder, training), torch.cuda.is_available()
    lines, capacity = memory_lines(size, training, deepspeed, processes, on_gpu), memory_here(processes)
    if shows:
        print(table(lines, capacity), file=sys.stderr)
    check(lines, capacity)


def memory_here(processes: int) -> dict[Place, int]:
    """Bytes that each of `processes` has on this machine."""
    host = host_memory() // min(processes, torch.cuda.device_count() or processes)
    return {"device": torch.cuda.mem_get_info()[1], "host": host} if torch.cuda.is_available() else {"host": host}


def model_size(folder: Path, training: Training) -> ModelSize:
    """Sizes of a checkpoint's model. Raises InputError if it is not a vision-language one."""
    return size_of(meta_model(folder, training))


def meta_model(folder: Path, training: Training) -> PreTrainedModel:
    """A checkpoint's model without memory, frozen as `training` says. Raises InputError if it is no vision-language
    one."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
            if training.lora:
                add_adapters(model, training.lora, seed=0)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: cannot be loaded as a vision-language checkpoint ({error})") from None
    freeze(model, training)
    return model


def size_of(model: PreTrainedModel) -> ModelSize:
    """Element counts of a model."""
    text = model.config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    return ModelSize(
        parameters=sum(weight.numel() for weight in model.parameters()),
        trainable=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        key_value=2 * head * (getattr(text, "num_key_value_heads", None) or heads),
        vocabulary=text.vocab_size,
    )


def _place_of(zero: dict[str, Any], key: str) -> Place:
    return "host" if zero.get(key, {}).get("device") == "cpu" else "device"


def _buckets(zero: dict[str, Any], model: ModelSize) -> int:
    """Elements of the buffers that gradients and weights are sent from, two of them where sending overlaps."""
    if zero["stage"] < 2:
        return 0
    size = min(int(zero.get("reduce_bucket_size", DEEPSPEED_BUCKET)), model.trainable)
    return size * (2 if zero.get("overlap_comm") else 1)


def _gathered(zero: dict[str, Any], model: ModelSize) -> int:
    """Elements of other processes' weights that ZeRO-3 holds while it computes with them."""
    if zero["stage"] < 3:
        return 0
    return min(int(zero.get("stage3_max_live_parameters", DEEPSPEED_LIVE)), model.parameters)


def _logits(model: ModelSize, training: Sft | Grpo) -> int:
    """Elements of a chunk's logits, of which a backward pass holds copies."""
    copies = GRPO_LOGITS_COPIES if isinstance(training, Grpo) else SFT_LOGITS_COPIES
    return copies * CHUNK * model.vocabulary


def _checkpoint(model: ModelSize, training: Training, stage: int, states: int) -> int:
    """Bytes of a process's files: its masters and moments; but for ZeRO-3, the leading process writes the weights too,
    and without masters everything. The processes of a node share its memory, hence that part too."""
    alone = stage == 0 and training.precision == "fp32"
    own = states * (2 if alone else 3) * FP32_BYTES
    leading = (model.trainable * BYTES[training.precision] if stage < 3 else 0) + alone * own
    return (not alone) * own + -(-leading // training.processes)


def _activations(model: ModelSize, training: Sft | Grpo, processes: int) -> int:
    """Elements that the backward pass of the longest row needs."""
    layer = HIDDEN_PER_LAYER * model.hidden + INTERMEDIATE_PER_LAYER * model.intermediate + 2 * model.key_value
    if training.lora and training.lora.dora:
        # Of each linear layer, the output without its adapter and the adapter's own, which the magnitudes scale.
        layer += 2 * (3 * model.hidden + model.key_value + 2 * model.intermediate)
    kept = model.layers * model.hidden + layer if training.gradient_checkpointing else model.layers * layer
    # The row's visual features, and the hidden states that go into the head.
    return _longest_row(training, processes) * (kept + 2 * model.hidden)


def _longest_row(training: Sft | Grpo, processes: int) -> int:
    """Tokens of a full row, or of a process's part of a step that has fewer."""
    if isinstance(training, Grpo):
        group = training.max_prompt_tokens + training.completions * training.max_new_tokens
        return min(training.pack_tokens, -(-training.prompts_per_step // processes) * group)
    return min(training.pack_tokens, -(-training.batch_size // processes) * training.max_tokens)


def _rollout_lines(model: ModelSize, grpo: Grpo, stage: int, processes: int, on_gpu: bool) -> list[Line]:
    item = BYTES[grpo.precision]
    cache = cached_tokens(grpo, processes) * model.layers * model.key_value
    whole = model.parameters * item
    copied = grpo.kl_coef > 0 and not grpo.trains_adapters_only
    engine = grpo.rollout == "vllm"
    beside = engine and (grpo.rollout_gpus == "shared" or not on_gpu)
    through_memory = engine and (grpo.rollout_gpus == "own" or not on_gpu)
    return [
        Line("reference model", whole * copied, "device", "kl_coef: 0 or lora, which need none"),
        Line("whole copy for decoding", whole * (stage == 3), "device", "ZeRO stage 2, which needs none"),
        Line("weights of vLLM", whole * beside, "device", "rollout_gpus: own, or rollout: own"),
        # The file's content, and the shared memory that it is written to.
        Line("weights on their way to it", 2 * whole * through_memory, "host", "rollout_gpus: shared"),
        Line(
            "KV cache of the rollout",
            cache * item * (beside or not engine),
            "device",
            "prompts_per_step, completions or max_new_tokens",
        ),
    ]


def cached_tokens(grpo: Grpo, processes: int) -> int:
    """Tokens whose keys and values are held at a time: in a rollout, where completions share their prompt; in a
    validation, one completion of each prompt; or, in models whose completions cannot share it, in one prompt's own."""
    prompt, answer = grpo.max_prompt_tokens, grpo.max_new_tokens
    own = -(-grpo.prompts_per_step // processes)
    rollout = own * (prompt + grpo.completions * answer)
    return max(rollout, grpo.prompts_per_step * (prompt + answer), grpo.completions * (prompt + answer))
