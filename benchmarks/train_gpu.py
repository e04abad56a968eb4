"""The published training on one GPU: the share of one of its eight processes, a random model of Qwen2.5-VL-7B's size.

    PYTHONPATH=scripts .venv/bin/python benchmarks/train_gpu.py [--toy]

Recipes are those of config/v1_33k.yaml. This process is rank 0 of eight, and torch's fake process group stands for the
other seven: it returns at once, and what a rank would receive is a copy of its own share. So shapes, memory and times
are those of a rank, without the time of sending; values mean nothing, but must be finite.

sft: seven steps on two of sixteen samples, packed and with gradient checkpointing; a validation; under ZeRO-2 a
checkpoint. grpo: steps of 2 prompts × 8 completions of up to 2,048 tokens, 300 on average; under ZeRO-2 a validation;
before them a step of decoding over each view of the buffers, and one with its sampling. All of it under ZeRO-2 and
ZeRO-3; each time the peak of memory against what the preflight has estimated. What CUDA does by kernels of its own is
compared with plain forms: packed rows with single sequences, captured graphs with growing caches.

Seconds on an H200, by arithmetic (16.6 GB of weights; a new process 12, weights from the page cache 8, DeepSpeed 5;
flex attention compiled once 45, from its cache 15; a decoded token 8 ms, the longest of 16 completions 1,000 tokens;
27 GB of a checkpoint copied at 4.8 and written at 1 GB/s):
    model and data     12 + 3 + 17 (write) + 8                                                       =  40
    sft, ZeRO-2        12 + 8 + 5 + 45 + 7 × 0.6 + 6 + 27                                            = 107
    grpo, ZeRO-2       12 + 16 + 5 + 15 + 18 (decode) + 3 × (8 + 3) + 2 × 2,048 × 0.008 (validation) = 132
    grpo, ZeRO-3       12 + 24 + 5 + 15 + 18 + 3 × (8 + 4)                                           = 110
    sft, ZeRO-3        12 + 8 + 5 + 15 + 7 × 0.8                                                     =  46
together 435, a bit over seven minutes. The disk takes 44 GB, the host 45 GB.

Figures are medians without the first steps. Each part runs in a process of its own, whose end gives all memory back;
the result is written after each. A part that fails is written down, and the script ends in status 1. `--toy` runs all
of it in about a minute, on a CPU too, which shows that it runs and nothing else. Writes
`benchmarks/results/train_gpu.json`.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
import yaml
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoProcessor, PreTrainedModel, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from measure import ROOT, WORK, write_result
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.whole import load_config
from nep.data.selection import dataset_files
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
from nep.model.packing import Tree, pack_row, trees_of
from nep.model.param_groups import part_of
from nep.model.precision import DTYPES
from nep.model.samples import Sample, SampleBuilder
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.dataset import read_sft
from nep.train import distributed
from nep.train.batches import prepared_ahead
from nep.train.checkpoint import Checkpoints
from nep.train.distributed import DistributedContext, start_distributed
from nep.train.engine import Engine, deepspeed_config
from nep.train.rl.decoding import Decoding, uniforms
from nep.train.rl.grpo import GrpoTrainer
from nep.train.rl.kv_cache import CudaGraphCache, SharedPromptCache
from nep.train.rl.rewards import Rewards
from nep.train.rl.rollout import Rollout
from nep.train.runtime.flops import measured_peak
from nep.train.runtime.meter import Meter
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preflight import memory_lines, model_size
from nep.train.runtime.step_log import peak_memory_bytes
from nep.train.sft import SftPlan, load_samples, sft_batch, sft_step, validation_loss
from random_run import WORDS, make_run
from train_update import NoVisuals

RANKS = 8
Zero = Literal["zero2", "zero3"]
Part = Literal["sft", "grpo"]
CASES: tuple[tuple[Part, Zero], ...] = (("sft", "zero2"), ("grpo", "zero2"), ("grpo", "zero3"), ("sft", "zero3"))
# Seconds by arithmetic (docs/speed.md): of an SFT step, a decoded token, a GRPO step with one answer at the limit.
GOALS = {"sft": 0.4, "token": 0.006, "grpo": 20.0}
MEAN_TOKENS = 300
WARM_UP, SFT_STEPS, GRPO_STEPS, ROUNDS = 2, 7, 3, 20
ROWS, HELD_OUT = 32, 16
COPIED_BYTES = {"cuda": 4 << 30, "cpu": 1 << 26}
# Of results that two ways compute in different order; a token that sees what it must not makes them differ by about 1.
LARGEST_ERROR = {"fp32": 1e-4, "bf16": 0.2}
# Narrow logits, so that all tokens are drawn alike.
FLATTER = 0.05
Measured = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """A model, and how much it is given.

    Attributes:
        text, vision: of the config. words: of a prompt and of an answer. changes: to the published recipes, by stage.
        decoded: tokens of the prompts whose decoding is timed, in buffers of `places`. sampled: tokens of a completion
            of the rollout that is timed.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    words: tuple[int, int]
    decoded: tuple[int, ...]
    places: int
    sampled: int = 160
    changes: dict[Part, dict[str, Any]] = field(default_factory=lambda: {"sft": {}, "grpo": {}})


TOWER = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "window_size": 112}
TOWER |= {"fullatt_block_indexes": [7, 15, 23, 31]}
SIZES = {
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
        words=(700, 250),
        # One for each view of the buffers that 768 + 8 × 2,048 tokens ask for, but for 16k, which is as good as all.
        decoded=(768, 3072, 7168, 16512),
        places=17152,
    ),
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
        words=(20, 8),
        decoded=(24, 60),
        places=512,
        sampled=4,
        changes={
            "sft": {"precision": "fp32", "threads": 1},
            "grpo": {"precision": "fp32", "threads": 1, "completions": 2, "max_new_tokens": 8},
        },
    ),
}


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="at a size that says nothing, on a CPU too")
    name = "toy" if parser.parse_args().toy else "7B"
    if name != "toy" and not torch.cuda.is_available():
        sys.exit("train_gpu.py: CUDA cannot be used here; --toy runs on the CPU")
    call = partial(measure, name, WORK / "gpu", partial(write_result, "train_gpu"))
    result = call() if torch.cuda.is_available() else alone(call)
    for row in result["ratios"]:
        print("{clip}, {what}: {ratio:.2f} of {against}".format(**row))
    for part, reason in result["failed"].items():
        print(f"{part} failed: {reason}", file=sys.stderr)
    sys.exit(bool(result["failed"]))


def measure(name: str, work: Path, report: Callable[[Measured], Any]) -> Measured:
    """The whole result, which `report` is given after each part. Without CUDA it needs a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    in_process = alone if torch.cuda.is_available() else _here
    paths, machine = in_process(prepare, name, work)
    found: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    result = {**machine, "size": name, "ranks": RANKS, "measured": found, "failed": failed, "ratios": []}
    for part, zero in CASES:
        try:
            found[f"{part}, {zero}"] = in_process({"sft": sft, "grpo": grpo}[part], name, zero, paths)
        except Exception as error:
            # Time on a GPU is scarce, and the rest goes on whatever went wrong.
            traceback.print_exc()
            failed[f"{part}, {zero}"] = f"{type(error).__name__}: {error}"
        result["ratios"] = [{"clip": name, **row} for row in ratios_of(found, machine)]
        report(result)
    return result


def alone(call: Callable[..., Any], *values: Any) -> Any:
    """The result of a call in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *values).result()


def _here(call: Callable[..., Any], *values: Any) -> Any:
    return call(*values)


def prepare(name: str, work: Path) -> tuple[RunPaths, Measured]:
    """A random checkpoint and rows of random words below `work`; what the device is and does."""
    size = SIZES[name]
    processor = build_processor([" ".join(WORDS)])
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            config_of(size, processor), dtype=DTYPES[published("sft", name, "zero2").precision]
        )
    with torch.no_grad():
        model.get_output_embeddings().weight *= FLATTER
    ends = max(1, round(len(processor.tokenizer) / MEAN_TOKENS))
    model.generation_config.eos_token_id = processor.tokenizer.convert_tokens_to_ids(WORDS[:ends])
    save_checkpoint(model, processor, work / "model")
    prompt, answer = size.words
    paths = make_run(work / "run", work / "model", ROWS, prompt, answer_words=answer, held_out=HELD_OUT)
    return paths, device_figures()


def device_figures() -> Measured:
    """Name and memory of the device, and what it was measured to do in bf16 (a CPU: in fp32) and when it copies."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    source = torch.zeros(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = min(seconds_of(lambda: target.copy_(source), 5))
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "device_memory_gib": torch.cuda.mem_get_info()[1] / 2**30 if cuda else None,
        "peak_flops": measured_peak(device, torch.bfloat16 if cuda else torch.float32),
        "bandwidth": 2 * len(source) / best,
    }


def config_of(size: Size, processor: Any) -> Qwen2_5_VLConfig:
    """The config of a released Qwen2.5-VL of that size, but for the tokens' ids."""
    ids = {token: processor.tokenizer.convert_tokens_to_ids(token) for token in processor.tokenizer.get_vocab()}
    special = {"bos_token_id": ids[PAD], "eos_token_id": ids[TURN_END], "pad_token_id": ids[PAD]}
    return Qwen2_5_VLConfig(
        text_config={**size.text, **special, "max_position_embeddings": 128000},
        vision_config={**size.vision, "out_hidden_size": size.text["hidden_size"]},
        tie_word_embeddings=False,
        image_token_id=ids[IMAGE_PAD],
        video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
    )


def published(part: Part, name: str, zero: Zero) -> Sft | Grpo:
    """The published recipe with another ZeRO stage and this benchmark's rows; a toy's is smaller."""
    config = load_config(yaml.safe_load((ROOT / "config/v1_33k.yaml").read_text()))
    changes = {"deepspeed": str(ROOT / f"config/deepspeed/{zero}.json")}
    rows = {"sft": {"next_event": ROWS - HELD_OUT}, "grpo": {"next_event_mc": ROWS - HELD_OUT}}
    recipe = getattr(config.experiments["nep"], part)
    return recipe.model_copy(update={**changes, "datasets": rows[part], **SIZES[name].changes[part]})


def one_of_eight(threads: int) -> DistributedContext:
    """Rank 0 of a group whose other processes are pretended."""
    if not dist.is_initialized():
        os.environ.update(RANK="0", WORLD_SIZE=str(RANKS), LOCAL_RANK="0")
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=RANKS)
        # What the processes tell each other by way of the host too.
        distributed.host_group = lambda: dist.group.WORLD
    return start_distributed(threads)


def sft(name: str, zero: Zero, paths: RunPaths) -> Measured:
    """Medians of the trainer's own timings; a validation; under ZeRO-2 a checkpoint."""
    recipe = published("sft", name, zero)
    context = one_of_eight(recipe.threads)
    engine = Engine(paths.model, recipe, context, seed=0)
    processor, cache = AutoProcessor.from_pretrained(paths.model, local_files_only=True), VisionCache(paths.encode)
    builder = SampleBuilder(processor, engine.model, cache)
    train, held_out = (
        load_samples(recipe, {"next_event": read_sft(paths.convert / f"sft/{file}.json")}, builder, cache)[0]
        for file in ("next_event", "next_event.validation")
    )
    visuals = Visuals(cache, processor, recipe.freeze, context.device)
    error = packed_error(engine, trees_of(train[:4], recipe.pack_tokens), visuals, recipe.precision)
    _forget_peak()
    plan, timings = SftPlan(len(train), recipe, seed=0), []
    meter = Meter(engine.model, visuals, context.device, context.size)
    steps = prepared_ahead(
        range(SFT_STEPS), lambda step: sft_batch([train[index] for index in plan.batch(step)], recipe, visuals, engine)
    )
    for _, batch in meter.timed(steps):
        loss, norm = sft_step(batch, engine, recipe.lr)
        timings.append({**meter.row(batch.trees, batch.samples), "loss": finite(loss), "grad_norm": finite(norm)})
    peak = peak_memory_bytes()
    found = {
        "sample_tokens": statistics.mean(map(len, train)),
        **medians(timings, ("seconds", "mfu", "data_wait_seconds")),
        "validation_seconds": seconds(lambda: validation_loss(held_out, recipe, visuals, engine, _nothing)),
        **memory(paths, recipe, peak),
        "packed_error": error,
        "steps": timings,
    }
    return found | ({"checkpoint": checkpoint(engine, paths.run / "work")} if zero == "zero2" else {})


@torch.no_grad()
def packed_error(engine: Engine, trees: list[Tree], visuals: Visuals, precision: str) -> float:
    """Relative difference of the log-probs of a packed row and of its sequences alone, which SDPA attends to."""
    device = engine.distributed.device
    together = engine.score(pack_row(trees, visuals, engine.packs, device))[0]
    alone = torch.cat([engine.score(pack_row([tree], visuals, False, device))[0] for tree in trees])
    return within_bound(float((together - alone).norm() / alone.norm()), precision, "packed rows: log-probs")


def checkpoint(engine: Engine, folder: Path) -> Measured:
    """Seconds that a checkpoint stops the training and until it is complete, and its bytes; it is deleted again."""
    checkpoints = Checkpoints(folder, engine, "loss", "lowest")
    began = time.perf_counter()
    checkpoints.save(1)
    paused = time.perf_counter() - began
    checkpoints.finish()
    whole = time.perf_counter() - began
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return {"paused_seconds": paused, "seconds": whole, "bytes": written}


def grpo(name: str, zero: Zero, paths: RunPaths) -> Measured:
    """Decoding by itself; medians of the trainer's own timings; under ZeRO-2 a validation."""
    recipe = published("grpo", name, zero)
    context = one_of_eight(recipe.threads)
    engine = Engine(paths.model, recipe, context, seed=0)
    files = dataset_files("grpo", recipe, paths.convert)
    trainer = GrpoTrainer(recipe, 0, engine, files, Rewards(recipe), paths)
    decoded = {
        "copy_seconds": seconds(engine.plain_model),
        "copy_again_seconds": seconds(engine.plain_model),
        **decode(engine.plain_model().eval(), SIZES[name], recipe),
    }
    _forget_peak()
    rows = [trainer.step(step) for step in range(GRPO_STEPS)]
    peak, timings = peak_memory_bytes(), [timing for _, timing in rows]
    own = recipe.prompts_per_step // RANKS * recipe.completions
    usual = medians(timings, ("update_seconds",))["update_seconds"]
    found = {
        "decode": decoded,
        # With the longest answer at its limit, of which the steps here fall short.
        "longest_step_seconds": usual + decoded["sampled_token_seconds"] * recipe.max_new_tokens,
        **medians(timings, ("seconds", "rollout_seconds", "update_seconds")),
        "completion_tokens": [timing["tokens_per_second"] * timing["seconds"] / own for timing in timings],
        **memory(paths, recipe, peak),
        "grad_norms": [finite(row["grad_norm"]) for row, _ in rows],
        "steps": timings,
    }
    return found | ({"validation_seconds": seconds(lambda: trainer.validate(_nothing))} if zero == "zero2" else {})


@torch.no_grad()
def decode(model: PreTrainedModel, size: Size, recipe: Grpo) -> Measured:
    """Seconds of a token over each view of the buffers, and in a rollout. Raises RuntimeError where caches disagree."""
    prompts, width = recipe.prompts_per_step // RANKS, recipe.completions
    rows = CudaGraphCache(model, prompts, width, size.places)
    tokens = torch.zeros(prompts, width, dtype=torch.long, device=model.device)
    by_prompt = {}
    for length in size.decoded:
        texts = [text_prompt(number, length, size) for number in range(prompts)]
        start = seconds(partial(rows.start, texts, NoVisuals(), 0))
        places = iter(range(WARM_UP + ROUNDS))
        each = seconds_of(lambda places=places: rows.feed(tokens, next(places)), ROUNDS)
        by_prompt[f"{length}"] = {"start_seconds": start, "token_seconds": statistics.median(each)}
    texts = [text_prompt(number, size.decoded[0], size) for number in range(prompts)]
    error = buffers_error(rows, model, texts, recipe)
    none = torch.zeros(size.text["vocab_size"], dtype=torch.bool, device=model.device)
    decoding = Decoding(banned=none, ends=none, temperature=1.0, limit=size.sampled, pad=0)
    draws = torch.stack([uniforms(0, 0, text.id, text, width, size.sampled) for text in texts])
    rollout = Rollout(decoding, captured=True)
    whole = statistics.median(seconds_of(lambda: rollout(model, texts, NoVisuals(), draws), 3))
    return {
        "prompts": prompts,
        "completions": width,
        "by_prompt_tokens": by_prompt,
        # With its share of the prefill. At the real size all of them are in the first view.
        "sampled_token_seconds": whole / size.sampled,
        "weight_bytes": read_bytes(model),
        "buffers_error": error,
    }


def buffers_error(rows: CudaGraphCache, model: PreTrainedModel, prompts: list[Sample], recipe: Grpo) -> float:
    """Relative difference of the logits of fixed buffers, captured on CUDA, and of growing ones after two tokens."""
    growing = SharedPromptCache(model, prompts, recipe.completions, NoVisuals(), 0)
    rows.start(prompts, NoVisuals(), 0)
    noise = torch.Generator().manual_seed(0)
    for place in range(2):
        tokens = torch.randint(0, len(WORDS), (len(prompts), recipe.completions), generator=noise)
        found, expected = (kind.feed(tokens.to(model.device), place).float() for kind in (rows, growing))
    error = float((found - expected).norm() / expected.norm())
    return within_bound(error, recipe.precision, "fixed and growing buffers: logits")


def text_prompt(number: int, length: int, size: Size) -> Sample:
    """A prompt of random tokens: what stands in it costs the language model the same."""
    noise = torch.Generator().manual_seed(number)
    tokens = torch.randint(0, size.text["vocab_size"], (length,), generator=noise)
    return Sample(f"prompt-{number}", tokens, torch.arange(length).expand(3, -1), length, (), 0)


def read_bytes(model: PreTrainedModel) -> int:
    """Bytes of the weights that a decode step reads: not of the embedding, which is not the head here."""
    embedding = model.get_input_embeddings().weight
    weights = [weight for name, weight in model.named_parameters() if part_of(name) == "language_model"]
    return sum(weight.nbytes for weight in weights if weight is not embedding)


def memory(paths: RunPaths, recipe: Sft | Grpo, peak: int) -> Measured:
    """`peak` of this process's tensors with what CUDA itself holds, and the preflight's estimate for one of eight."""
    lines = memory_lines(model_size(paths.model, recipe), recipe, deepspeed_config(recipe), RANKS)
    here = {line.name: line.bytes for line in lines if line.place == "device"}
    by_cuda = 0
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        by_cuda = total - free - torch.cuda.memory_reserved()
    return {"peak_memory_bytes": peak + by_cuda, "preflight_bytes": sum(here.values()), "preflight": here}


def ratios_of(found: dict[str, Measured], machine: Measured) -> list[Measured]:
    """The rows of the result file's `ratios`: seconds against the goals, memory against the preflight."""
    rows = []
    for case, part in found.items():
        goal = GOALS[case.partition(",")[0]]
        step = part.get("longest_step_seconds", part["seconds"])
        rows.append({"what": f"{case}: step", "against": f"{goal} s", "ratio": step / goal})
        ratio = part["peak_memory_bytes"] / part["preflight_bytes"]
        rows.append({"what": f"{case}: memory", "against": "the preflight's estimate", "ratio": ratio})
        if "decode" in part:
            token = part["decode"]["sampled_token_seconds"]
            floor = part["decode"]["weight_bytes"] / machine["bandwidth"]
            what = f"{case}: decoded token"
            rows.append({"what": what, "against": f"{GOALS['token']} s", "ratio": token / GOALS["token"]})
            rows.append({"what": what, "against": "weights over bandwidth", "ratio": token / floor})
        if "mfu" in part:
            rows.append({"what": f"{case}: MFU", "against": "peak FLOP/s", "ratio": part["mfu"]})
    return rows


def medians(rows: list[Measured], keys: tuple[str, ...]) -> Measured:
    """Medians by key, without the first steps."""
    counted = rows[min(WARM_UP, len(rows) - 1) :]
    return {key: statistics.median(row[key] for row in counted) for key in keys}


def finite(value: float) -> float:
    """`value`. Raises RuntimeError where it is not finite: the optimiser's step was then left out."""
    if value - value != 0:
        raise RuntimeError(f"a loss or gradient norm is {value}: steps without an update are no steps")
    return value


def within_bound(error: float, precision: str, what: str) -> float:
    """`error`. Raises RuntimeError where it is not below `LARGEST_ERROR`."""
    if not error < LARGEST_ERROR[precision]:
        raise RuntimeError(f"{what} differ by {error:.1e}, more than {LARGEST_ERROR[precision]}")
    return error


def seconds(call: Callable[[], Any]) -> float:
    """Seconds of one call, until the device has finished."""
    _finish()
    began = time.perf_counter()
    call()
    _finish()
    return time.perf_counter() - began


def seconds_of(call: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls after `WARM_UP` ones."""
    return [seconds(call) for _ in range(WARM_UP + rounds)][WARM_UP:]


def _nothing() -> None:
    """Between the batches of a validation."""


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
