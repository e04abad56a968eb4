"""The gate in front of vLLM's rollouts on the CPU: vLLM as it is passes, and what it is made to do wrongly is named."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.broken_engines import CPU, LIMIT, TEMPERATURE, Broken, check, long_clips, moved, shown, without
from support.entry_points import ROOT
from support.tiny_checkpoint import tiny_checkpoint
from support.training_fixtures import parts, run_folder

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.model.visual import Visuals
from nep.rollouts.environment import find_environment
from nep.train.rl.decoding import Decoding, decoding_for
from nep.train.rl.engine_client import EngineSettings, VllmRollout
from nep.train.rl.rollout import RolloutEngine

__all__ = ["check", "long_clips", "moved", "parts", "run_folder", "tiny_checkpoint"]


@pytest.fixture(scope="module")
def vllm(parts, run_folder: Path, moved, long_clips, tmp_path_factory) -> Iterator[Callable[[Decoding], RolloutEngine]]:
    """One engine process, which takes the weights that it is handed at each call anew."""
    settings = EngineSettings(
        model=run_folder / "models/base",
        dtype="float32",
        max_tokens=256,
        sequences=8,
        cache_bytes=1 << 24,
        device=None,
        shared=False,
        threads=1,
        within_s=900,
    )
    decoding = decoding_for(moved, parts.processor, TEMPERATURE, LIMIT)
    visuals = Visuals(long_clips, parts.processor, Grpo().freeze, CPU)
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    engine = VllmRollout(find_environment(str(ROOT / ".venv-vllm")), settings, decoding, visuals, log)
    versions = itertools.count()

    def renewed(decoding: Decoding) -> RolloutEngine:
        engine.renew(next(versions))
        return engine

    yield renewed
    engine.close()


def test_vllm_passes_and_its_faults_are_named(parts, long_clips, vllm, check) -> None:
    gap = check(lambda decoding: Broken(decoding, engine=vllm))
    assert gap.tokens > 10
    # Measured: see docs/training.md.
    assert gap.mean < 1e-4
    assert gap.largest < 1e-3

    broken = {
        "has lost the last token of the prompt": without(-1),
        "sees the frames in reverse order": shown(parts, long_clips, lambda steps: steps.flip(0)),
        "has stale weights": lambda asked: replace(asked, model=parts.model),
    }
    for fault, change in broken.items():
        with pytest.raises(InputError, match=fault):
            check(lambda decoding, change=change: Broken(decoding, change, engine=vllm))
