"""Which engine writes the completions of a training, and what it is told of it."""

from pathlib import Path

import torch

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.model.precision import DTYPES
from nep.model.visual import Visuals
from nep.rollouts.environment import find_environment
from nep.train.engine import Engine
from nep.train.rl.decoding import Decoding
from nep.train.rl.engine_client import EngineSettings, VllmRollout
from nep.train.rl.rollout import Rollout, RolloutEngine
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preflight import cached_tokens, size_of

LOGS = "logs/rollouts"
# Tokens by which a sequence's part of the cache is larger than it: vLLM hands out blocks of at most so many.
BLOCK = 128


def start_rollouts(grpo: Grpo, engine: Engine, decoding: Decoding, visuals: Visuals, paths: RunPaths) -> RolloutEngine:
    """The engine of `grpo.rollout` for this process; vLLM starts in the background.

    Raises InputError where it cannot.
    """
    distributed = engine.distributed
    on_gpu = distributed.device.type == "cuda"
    if grpo.engine_environment is None:
        return Rollout(decoding, captured=on_gpu)
    own = -(-grpo.prompts_per_step // distributed.size)
    settings = EngineSettings(
        model=paths.model,
        dtype=str(DTYPES[grpo.precision]).removeprefix("torch."),
        # Not more than the model has positions: vLLM refuses that.
        max_tokens=min(
            grpo.max_prompt_tokens + grpo.max_new_tokens,
            engine.model.config.get_text_config().max_position_embeddings,
        ),
        sequences=max(own * grpo.completions, grpo.prompts_per_step),
        cache_bytes=cache_bytes(engine, grpo),
        device=engine_device(grpo, distributed.device.index) if on_gpu else None,
        shared=on_gpu and grpo.rollout_gpus == "shared",
        threads=grpo.threads,
        within_s=grpo.rollout_timeout_s,
    )
    log = Path(paths.run) / LOGS / f"{paths.out.parent.name}-{distributed.rank}.log"
    return VllmRollout(find_environment(grpo.engine_environment), settings, decoding, visuals, log)


def cache_bytes(engine: Engine, grpo: Grpo) -> int:
    """Bytes of the keys and values that a rollout or a validation holds at a time, so that nothing waits for room."""
    size = size_of(engine.model)
    sequences = grpo.prompts_per_step * grpo.completions
    tokens = cached_tokens(grpo, engine.distributed.size) + sequences * BLOCK
    return tokens * size.layers * size.key_value * torch.finfo(DTYPES[grpo.precision]).bits // 8


def engine_device(grpo: Grpo, own: int) -> int:
    """Index of the GPU of an engine whose trainer has number `own` of its node. Raises InputError where there is none.

    Not run here: this machine has no GPU.
    """
    if grpo.rollout_gpus == "shared":
        return own
    here, needed = torch.cuda.device_count(), 2 * grpo.processes
    if here < needed:
        raise InputError(
            f"grpo.rollout_gpus: 'own' needs {needed} GPUs on each node for {grpo.processes} processes and as many "
            f"engines, and this job sees {here}; ask for them, lower grpo.processes, or set it to 'shared'"
        )
    return own + grpo.processes
