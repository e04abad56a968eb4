"""Training on one GPU with random models of real sizes: MFU of SFT, decoding, the GRPO update, the feature cache.

    PYTHONPATH=scripts .venv/bin/python benchmarks/train_gpu.py [--sizes 3B 7B] [--parts sft cache decode update]

sft: packed rows of 8 to 16 thousand tokens of videos, in the first of `SETTINGS` that fits, for all weights and for
LoRA; FLOPs against the measured peak of the device. cache: the same steps where the vision tower runs in each of them.
decode: 8 prompts of 2,048 tokens with 8 completions each, in fixed buffers (on CUDA: one captured graph); the step of a
token, sampling included, against the weights' bytes over the measured bandwidth. update: a group as one packed row
against a batch of whole sequences, as in `train_update.py`.

Clocks are read when the device has finished; figures are medians without the first calls. On CUDA each part runs in a
process of its own, whose end gives all memory back. A part that fails is written down, and the script ends in status 1.
Without CUDA everything runs at toy size, which shows that it runs and nothing else. Writes
`benchmarks/results/train_gpu.json`.
"""

import argparse
import multiprocessing
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, PreTrainedModel, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from measure import WORK, write_result
from nep.config.sft import Sft
from nep.demo.tiny_checkpoint import (
    IMAGE_PAD,
    PAD,
    TURN_END,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    build_processor,
    save_checkpoint,
)
from nep.errors import InputError
from nep.files import read_json
from nep.model.param_groups import part_of
from nep.model.samples import Sample, SampleBuilder
from nep.model.scoring import Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.batches import prepared_ahead
from nep.train.distributed import start_distributed
from nep.train.engine import DTYPES, Engine, deepspeed_config, load_model
from nep.train.rl.decoding import Decoding, uniforms
from nep.train.rl.kv_cache import CudaGraphCache, SharedPromptCache
from nep.train.rl.rollout import Rollout
from nep.train.runtime.flops import measured_peak
from nep.train.runtime.meter import Meter
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preflight import memory_lines, model_size
from nep.train.sft import SftPlan, load_samples, sft_batch, sft_step
from random_run import WORDS, make_run
from train_update import LENGTHS, WAYS, NoVisuals, group, relative_error, token_ratio
from train_update import TARGET as UPDATE_TARGET

PARTS = ("sft", "cache", "decode", "update")
MFU_TARGET, DECODE_TARGET = 0.5, 1.5
WARM_UP, STEPS, ROUNDS = 2, 5, 5
COPIED_BYTES = {"cuda": 4 << 30, "cpu": 1 << 26}
# Of results that two ways compute in different order; a token that sees what it must not makes them differ by about 1.
LARGEST_ERROR = {"fp32": 1e-4, "bf16": 0.2}
Measured = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """A model, and how much it is given.

    Attributes:
        text, vision: of the config. clip: frames, and pixels of a side. samples: of a step, each a clip and `words`.
        pack_tokens: of a row, the longer and the shorter setting. prompt: tokens. limit: tokens of a completion.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    tied: bool
    precision: str = "bf16"
    threads: int = 2
    clip: tuple[int, int] = (56, 224)
    words: int = 100
    samples: int = 16
    pack_tokens: tuple[int, int] = (16384, 8192)
    prompts: int = 8
    completions: int = 8
    prompt: int = 2048
    limit: int = 256


@dataclass(frozen=True)
class Setting:
    """What of SFT is chosen for memory: `long` rows or short ones, and keys of the recipe."""

    name: str
    long: bool
    recipe: dict[str, Any] = field(default_factory=dict)


TOWER = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "window_size": 112}
TOWER |= {"fullatt_block_indexes": [7, 15, 23, 31]}
SIZES = {
    "toy": Size(
        text={
            "vocab_size": 4096,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 128,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        vision={**TOWER, "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
        | {"fullatt_block_indexes": [1]},
        tied=True,
        precision="fp32",
        threads=1,
        clip=(4, 112),
        words=20,
        samples=4,
        pack_tokens=(256, 128),
        prompts=2,
        completions=2,
        prompt=32,
        limit=4,
    ),
    "3B": Size(
        text={
            "vocab_size": 151936,
            "hidden_size": 2048,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "intermediate_size": 11008,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision=TOWER,
        tied=True,
    ),
    "7B": Size(
        text={
            "vocab_size": 152064,
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "intermediate_size": 18944,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision=TOWER,
        tied=False,
    ),
}
CHECKPOINTING = {"gradient_checkpointing": True}
# Each from what costs the least time to what takes the least memory.
SETTINGS = {
    "all weights": (
        Setting("long rows", long=True),
        Setting("short rows", long=False),
        Setting("long rows, gradient checkpointing", long=True, recipe=CHECKPOINTING),
    ),
    "LoRA": (
        Setting("long rows", long=True, recipe={"lora": {}}),
        Setting("short rows", long=False, recipe={"lora": {}}),
        Setting("long rows, gradient checkpointing", long=True, recipe={"lora": {}, **CHECKPOINTING}),
    ),
}


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["3B", "7B"] if on_gpu else ["toy"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    result = measure(options.sizes, options.parts, WORK / "gpu")
    write_result("train_gpu", result)
    for row in result["ratios"]:
        print("{clip}, {what}: {ratio:.2f} of {against} (target {target})".format(**row))
    for part, reason in result["failed"].items():
        print(f"{part} failed: {reason}", file=sys.stderr)
    sys.exit(bool(result["failed"]))


def measure(sizes: Sequence[str], parts: Sequence[str], work: Path) -> Measured:
    """The whole result. Targets are null on a CPU, and for models that are not of a real size."""
    machine = alone(device_figures)
    found: dict[str, dict[str, Measured]] = {name: {} for name in sizes}
    failed: dict[str, str] = {}

    def noted(what: str, call: Callable[..., Any], *values: Any) -> Any:
        """The result, or None: time on a GPU is scarce, and the rest goes on whatever went wrong."""
        try:
            return call(*values)
        except Exception as error:
            traceback.print_exc()
            failed[what] = f"{type(error).__name__}: {error}"
            return None

    for name in sizes:
        shutil.rmtree(work, ignore_errors=True)
        paths = noted(f"{name}, data", alone, prepare, name, work)
        for part in parts if paths else ():
            found[name][part] = noted(f"{name}, {part}", measure_part, part, name, paths, found[name])
    ratios = [row for name in sizes for row in ratios_of(name, found[name], machine)]
    real = machine["device"] != "cpu" and "toy" not in sizes
    return {
        **machine,
        "size": ", ".join(sizes),
        "goals": "measured" if real else "not measured",
        "measured": found,
        "failed": failed,
        "ratios": ratios if real else [{**row, "target": None} for row in ratios],
    }


def measure_part(part: str, name: str, paths: RunPaths, before: dict[str, Measured]) -> Measured:
    """One of `PARTS`; `before` holds the parts measured so far."""
    if part == "sft":
        return {kind: first_that_fits(name, kind, paths) for kind in SETTINGS}
    if part == "cache":
        measured = before.get("sft") or measure_part("sft", name, paths, before)
        kind, chosen = next((kind, each) for kind, each in measured.items() if "setting" in each)
        (setting,) = (setting for setting in SETTINGS[kind] if setting.name == chosen["setting"])
        without = alone(sft, name, setting, without_features(paths))
        return {"kind": kind, "features": {"seconds": chosen["seconds"]}, "frames": without}
    return alone({"decode": decode, "update": update}[part], name, paths)


def alone(call: Callable[..., Any], *values: Any) -> Any:
    """The result of a call in a process of its own where there is a GPU, else in this one."""
    if not torch.cuda.is_available():
        return call(*values)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *values).result()


def device_figures() -> Measured:
    """Name and memory of the device, and what it was measured to do in bf16 (a CPU: in fp32) and when it copies."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    source = torch.zeros(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = min(seconds_of(lambda: target.copy_(source), ROUNDS))
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "device_memory_gib": torch.cuda.mem_get_info()[1] / 2**30 if cuda else None,
        "peak_flops": measured_peak(device, torch.bfloat16 if cuda else torch.float32),
        "bandwidth": 2 * len(source) / best,
    }


def prepare(name: str, work: Path) -> RunPaths:
    """A random checkpoint, clips of noise and their features below `work`."""
    size = SIZES[name]
    processor = build_processor([" ".join(WORDS)])
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config_of(size, processor), dtype=dtype_of(size))
    save_checkpoint(model, processor, work / "model")
    frames, side = size.clip
    features = str(dtype_of(size)).removeprefix("torch.")
    return make_run(work / "run", work / "model", size.samples, size.words, frames, side, features)


def config_of(size: Size, processor: Any) -> Qwen2_5_VLConfig:
    """The config of a released Qwen2.5-VL of that size, but for the tokens' ids."""
    ids = {token: processor.tokenizer.convert_tokens_to_ids(token) for token in processor.tokenizer.get_vocab()}
    special = {"bos_token_id": ids[PAD], "eos_token_id": ids[TURN_END], "pad_token_id": ids[PAD]}
    return Qwen2_5_VLConfig(
        text_config={**size.text, **special, "max_position_embeddings": 128000},
        vision_config={**size.vision, "out_hidden_size": size.text["hidden_size"]},
        tie_word_embeddings=size.tied,
        image_token_id=ids[IMAGE_PAD],
        video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
    )


def first_that_fits(name: str, kind: str, paths: RunPaths) -> Measured:
    """SFT in the first setting of a kind that fits; `refused` says why those before it, or all, do not."""
    refused = {}
    for setting in SETTINGS[kind]:
        try:
            return {**alone(sft, name, setting, paths), "refused": refused}
        except (InputError, torch.OutOfMemoryError) as error:
            refused[setting.name] = str(error)
    return {"refused": refused}


def sft(name: str, setting: Setting, paths: RunPaths) -> Measured:
    """Medians of the trainer's own timings, over `STEPS` steps after `WARM_UP` ones."""
    size = SIZES[name]
    recipe = Sft(
        precision=size.precision,
        threads=size.threads,
        batch_size=size.samples,
        epochs=WARM_UP + STEPS,
        pack_tokens=size.pack_tokens[0 if setting.long else 1],
        **setting.recipe,
    )
    distributed = start_distributed(recipe.threads)
    engine = Engine(paths.model, recipe, distributed, seed=0)
    processor, cache = AutoProcessor.from_pretrained(paths.model, local_files_only=True), VisionCache(paths.encode)
    rows = {"next_event": read_json(paths.convert / "sft/next_event.json")}
    samples, _ = load_samples(recipe, rows, SampleBuilder(processor, engine.model, cache), cache)
    visuals = Visuals(cache, processor, recipe.freeze, distributed.device)
    visuals.check(engine.model, samples)
    plan, meter, timings = (
        SftPlan(len(samples), recipe, seed=0),
        Meter(engine.model, visuals, engine.distributed.device, engine.distributed.size),
        [],
    )
    steps = prepared_ahead(
        range(plan.steps),
        lambda step: sft_batch([samples[index] for index in plan.batch(step)], recipe, visuals, engine),
    )
    for _, batch in meter.timed(steps):
        loss, norm = sft_step(batch, engine, recipe.lr)
        timings.append({**meter.row(batch.trees, batch.samples), "loss": loss, "grad_norm": norm})
    lines = memory_lines(model_size(paths.model, recipe), recipe, deepspeed_config(recipe), distributed.size)
    counted = timings[WARM_UP:]
    return {
        "setting": setting.name,
        "pack_tokens": recipe.pack_tokens,
        "row_tokens": sum(len(sample) - 1 for sample in samples) / len(batch.rows),
        **{key: statistics.median(row[key] for row in counted) for key in ("seconds", "mfu", "data_wait_seconds")},
        "peak_memory_bytes": counted[-1]["peak_memory_bytes"],
        "preflight_bytes": sum(line.bytes for line in lines if line.place == "device"),
        "steps": timings,
    }


def without_features(paths: RunPaths) -> RunPaths:
    """The same run with the frames alone in its cache."""
    frames_only = paths.run / "encode-frames"
    frames_only.mkdir(exist_ok=True)
    shutil.copyfile(paths.encode / "index.jsonl", frames_only / "index.jsonl")
    shutil.copytree(paths.encode / "frames", frames_only / "frames", dirs_exist_ok=True)
    return replace(paths, encode=frames_only)


@torch.no_grad()
def decode(name: str, paths: RunPaths) -> Measured:
    """Seconds of a rollout's parts. Raises RuntimeError where fixed buffers and growing ones disagree."""
    size, model = SIZES[name], policy_of(name, paths).eval()
    prompts = [text_prompt(number, size) for number in range(size.prompts)]
    shape = (len(prompts), size.completions, CudaGraphCache.length_for(prompts, size.completions, size.limit))
    rows = CudaGraphCache(model, *shape)
    error = buffers_error(rows, model, prompts, size)
    start = statistics.median(seconds_of(lambda: rows.start(prompts, NoVisuals(), 0), ROUNDS))
    tokens = torch.zeros(shape[:2], dtype=torch.long, device=model.device)
    places = iter(range(size.limit))
    forward = seconds_of(lambda: rows.feed(tokens, next(places)), size.limit - WARM_UP)

    none = torch.zeros(size.text["vocab_size"], dtype=torch.bool, device=model.device)
    rollout = Rollout(Decoding(banned=none, ends=none, temperature=1.0, limit=size.limit, pad=0), captured=True)
    draws = torch.stack([uniforms(0, 0, prompt.id, prompt, size.completions, size.limit) for prompt in prompts])
    whole = statistics.median(seconds_of(lambda: rollout(model, prompts, NoVisuals(), draws), ROUNDS))
    return {
        "prompts": size.prompts,
        "completions": size.completions,
        "prompt_tokens": size.prompt,
        "limit": size.limit,
        "cache_places": shape[2],
        "rollout_seconds": whole,
        "start_seconds": start,
        "forward_seconds": statistics.median(forward),
        "step_seconds": (whole - start) / (size.limit - 1),
        "weight_bytes": read_bytes(model),
        "buffers_error": error,
    }


def buffers_error(rows: CudaGraphCache, model: PreTrainedModel, prompts: list[Sample], size: Size) -> float:
    """Relative difference of the logits of fixed buffers, captured on CUDA, and of growing ones after two tokens."""
    growing = SharedPromptCache(model, prompts, size.completions, NoVisuals(), 0)
    rows.start(prompts, NoVisuals(), 0)
    noise = torch.Generator().manual_seed(0)
    for place in range(2):
        tokens = torch.randint(0, size.text["vocab_size"], (len(prompts), size.completions), generator=noise)
        found, expected = (kind.feed(tokens.to(model.device), place).float() for kind in (rows, growing))
    return within_bound(float((found - expected).norm() / expected.norm()), size, "fixed and growing buffers: logits")


def update(name: str, paths: RunPaths) -> Measured:
    """Seconds of both ways by length of the completions. Raises RuntimeError where their gradients disagree."""
    size, policy = SIZES[name], policy_of(name, paths)
    # Before both ways alike, as the naive one knows no packed rows.
    Scorer(policy)
    policy.model.visual.requires_grad_(False)
    found = {}
    for length in LENGTHS:
        made = group(length, size.text["vocab_size"])
        error = within_bound(relative_error(policy, made), size, f"update, R={length}: gradients")
        seconds = {key: seconds_of(lambda way=way, made=made: way(policy, made), ROUNDS) for key, way in WAYS.items()}
        medians = {key: statistics.median(each) for key, each in seconds.items()}
        found[f"R={length}"] = {"seconds": medians, "tokens_ratio": token_ratio(length), "gradient_error": error}
    return found


def ratios_of(name: str, found: dict[str, Measured], machine: Measured) -> list[Measured]:
    """The rows of the result file's `ratios`, of the parts that were measured."""
    rows = []
    for kind, part in (found.get("sft") or {}).items():
        if "mfu" in part:
            what = {"what": f"SFT, {kind}, {part['setting']}", "against": "peak FLOP/s"}
            rows.append({**what, "ratio": part["mfu"], "target": MFU_TARGET})
    if part := found.get("cache"):
        ratio = part["frames"]["seconds"] / part["features"]["seconds"]
        rows.append({"what": "SFT step from the cache", "against": "vision tower each step", "ratio": ratio})
    if part := found.get("decode"):
        ratio = part["step_seconds"] * machine["bandwidth"] / part["weight_bytes"]
        goal = {"target": DECODE_TARGET, "at_most": True}
        rows.append({"what": "decode step", "against": "weights over bandwidth", "ratio": ratio, **goal})
    for length, part in (found.get("update") or {}).items():
        ratio, target = part["seconds"]["naive"] / part["seconds"]["nep"], UPDATE_TARGET * part["tokens_ratio"]
        rows.append({"what": f"GRPO update, {length}", "against": "naive", "ratio": ratio, "target": target})
    return [{"clip": name, "target": None, **row} for row in rows]


def policy_of(name: str, paths: RunPaths) -> PreTrainedModel:
    """The random model on the device, with the attention of the trainers, in a distributed context as theirs."""
    recipe = Sft(precision=SIZES[name].precision, threads=SIZES[name].threads)
    return Scorer(load_model(paths.model, recipe, start_distributed(recipe.threads).device)).model


def text_prompt(number: int, size: Size) -> Sample:
    """A prompt of random tokens: what stands in it costs the language model the same."""
    noise = torch.Generator().manual_seed(number)
    tokens = torch.randint(0, size.text["vocab_size"], (size.prompt,), generator=noise)
    return Sample(f"prompt-{number}", tokens, torch.arange(size.prompt).expand(3, -1), size.prompt, (), 0)


def read_bytes(model: PreTrainedModel) -> int:
    """Bytes of the weights that a decode step reads: of the embedding only where it is the head too."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    weights = [weight for name, weight in model.named_parameters() if part_of(name) == "language_model"]
    return sum(weight.nbytes for weight in weights if weight is head or weight is not embedding)


def seconds_of(call: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls after `WARM_UP` ones, until the device has finished."""
    seconds = []
    for _ in range(WARM_UP + rounds):
        _finish()
        began = time.perf_counter()
        call()
        _finish()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


def within_bound(error: float, size: Size, what: str) -> float:
    """`error`. Raises RuntimeError where it is not below `LARGEST_ERROR`."""
    if not error < LARGEST_ERROR[size.precision]:
        raise RuntimeError(f"{what} differ by {error:.1e}, more than {LARGEST_ERROR[size.precision]}")
    return error


def dtype_of(size: Size) -> torch.dtype:
    """The dtype of weights and features."""
    return DTYPES[size.precision]


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
