"""Tokens a second of rollouts: the trainer's own engine and vLLM beside it; same weights, prompts, videos, lengths.

    make bench-rollouts   or, with .venv-vllm made:   PYTHONPATH=scripts .venv/bin/python benchmarks/rollout_engines.py

A random model that never ends a completion, so that all have the full length; questions about clips of noise, whose
features are cached. CPU, fp32, one thread each, in turn; vLLM gets the weights anew in each round. Its seconds are also
given in CPU time of both processes, which other work on the machine disturbs less. Writes
`benchmarks/results/rollout_engines.json`.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from transformers import AutoProcessor, PreTrainedModel

from measure import ROOT, WORK, write_result
from nep.config.grpo import Grpo
from nep.model.samples import Sample, SampleBuilder, video_keys
from nep.model.scoring import Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rollouts.environment import find_environment
from nep.rows.base import read_rows
from nep.rows.dataset import GrpoRow
from nep.train.engine import load_model
from nep.train.rl.decoding import Decoding, decoding_for, uniforms
from nep.train.rl.engine_client import EngineSettings, VllmRollout
from nep.train.rl.rollout import Rollout, RolloutEngine
from nep.train.runtime.options import RunPaths
from random_run import make_model, make_run

MODELS = {"tiny": {}, "100 M": {"hidden_size": 768, "layers": 16, "heads": 12}}
# As a process of the demo's GRPO has them; of the larger model what a CPU does in a minute.
SETTINGS = {
    "tiny": {"prompts": 8, "completions": 8, "new_tokens": 48, "frames": 16},
    "100 M": {"prompts": 2, "completions": 8, "new_tokens": 64, "frames": 16},
}
WORDS = 60
CPU = torch.device("cpu")
ENGINE = ROOT / ".venv-vllm"
Seconds = dict[str, list[float]]


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = find_environment(str(ENGINE)).versions
    measured = {name: measure(name, SETTINGS[name], options.rounds) for name in options.models}
    for name, found in measured.items():
        rates = found["tokens_per_second"]
        print(f"{name}: own {rates['own']:.0f}, vLLM {rates['vllm']:.0f} tokens a second; {rates}")
    write_result("rollout_engines", {"rounds": options.rounds, "engine": versions, "measured": measured})


def measure(name: str, settings: dict[str, int], rounds: int) -> dict[str, Any]:
    """Seconds of each rollout by engine, and tokens a second of the median one."""
    folder = WORK / f"rollouts-{name.replace(' ', '').lower()}"
    shutil.rmtree(folder, ignore_errors=True)
    make_model(folder / "model", MODELS[name])
    paths = make_run(folder, folder / "model", settings["prompts"], WORDS, frames=settings["frames"])
    model = load_model(paths.model, Grpo(), CPU).eval()
    # Gives it the attention of the model under training.
    Scorer(model)
    processor = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
    cache = VisionCache(paths.encode)
    visuals = Visuals(cache, processor, Grpo().freeze, CPU)
    prompts = prompts_of(paths, SampleBuilder(processor, model, cache))
    decoding = decoding_for(model, processor, 1.0, settings["new_tokens"])
    vllm = start_vllm(paths, model, prompts, decoding, visuals, settings["completions"])
    engines: dict[str, RolloutEngine] = {"own": Rollout(decoding, captured=False), "vllm": vllm}
    found: dict[str, Seconds] = {"wall": {}, "cpu": {}, "weights": {}}
    try:
        for number in range(rounds + 1):
            draws = [
                uniforms(0, number, place, prompt, settings["completions"], decoding.limit)
                for place, prompt in enumerate(prompts)
            ]
            vllm.renew(number)
            sent, _ = seconds_of(vllm, vllm, model, prompts[:1], visuals, draws[0][None, :1])
            for engine, rollout in engines.items():
                wall, used = seconds_of(vllm, roll_out, rollout, model, prompts, visuals, torch.stack(draws))
                # The first round warms up.
                if number:
                    found["wall"].setdefault(engine, []).append(wall)
                    found["cpu"].setdefault(engine, []).append(used)
            if number:
                found["weights"].setdefault("vllm, with one completion", []).append(sent)
    finally:
        vllm.close()
    tokens = settings["prompts"] * settings["completions"] * settings["new_tokens"]
    return {
        "settings": settings,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "prompt_tokens": statistics.mean(map(len, prompts)),
        "seconds": found,
        "tokens_per_second": {engine: tokens / statistics.median(found["wall"][engine]) for engine in engines},
        "tokens_per_cpu_second": {engine: tokens / statistics.median(found["cpu"][engine]) for engine in engines},
    }


def prompts_of(paths: RunPaths, builder: SampleBuilder) -> list[Sample]:
    """The questions of a run's GRPO set."""
    rows = read_rows(GrpoRow, paths.convert / "grpo/next_event_mc.jsonl")
    return [builder.prompt(row.id, [{"role": "user", "content": row.problem}], video_keys(row)) for row in rows]


def start_vllm(
    paths: RunPaths, model: PreTrainedModel, prompts: list[Sample], decoding: Decoding, visuals: Visuals, width: int
) -> VllmRollout:
    """vLLM with room for all completions at once, as a training starts it."""
    text = model.config.get_text_config()
    longest = max(map(len, prompts)) + decoding.limit
    token_bytes = 2 * text.num_hidden_layers * text.hidden_size * 4
    settings = EngineSettings(
        model=paths.model,
        dtype="float32",
        max_tokens=longest,
        sequences=len(prompts) * width,
        cache_bytes=len(prompts) * width * (longest + 256) * token_bytes,
        device=None,
        shared=False,
        threads=1,
        within_s=3600.0,
    )
    return VllmRollout(find_environment(str(ENGINE)), settings, decoding, visuals, Path(paths.run) / "engine.log")


def seconds_of(engine: VllmRollout, call: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """Seconds of the clock that a call takes, and of both processes' CPU."""
    began, used = time.monotonic(), cpu_seconds(engine)
    call(*arguments)
    return time.monotonic() - began, cpu_seconds(engine) - used


def cpu_seconds(engine: VllmRollout) -> float:
    """CPU seconds that this process and the engine's have used; of an engine that has yet to start, too."""
    times = psutil.Process(engine.pid).cpu_times()
    return time.process_time() + times.user + times.system


def roll_out(
    engine: RolloutEngine, model: PreTrainedModel, prompts: list[Sample], visuals: Visuals, draws: Tensor
) -> None:
    """One rollout. Raises RuntimeError where a completion is shorter than the others."""
    lengths = {len(said.tokens) for group in engine(model, prompts, visuals, draws) for said in group}
    if lengths != {draws.shape[-1]}:
        raise RuntimeError(f"completions of {sorted(lengths)} tokens, should all have {draws.shape[-1]}")


if __name__ == "__main__":
    main()
