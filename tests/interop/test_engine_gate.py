"""The gate in front of vLLM's rollouts on the CPU: vLLM as it is passes, and what it is made to do wrongly is named."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.broken_engines import Broken, check, long_clips, moved, shown, without

from nep.errors import InputError
from nep.train.rl.decoding import Decoding
from nep.train.rl.engine_client import VllmRollout

__all__ = ["check", "long_clips", "moved"]

# Other ones than those of test_rollouts.py.
versions = itertools.count(1_000_000)


@pytest.fixture
def vllm(vllm_engine: VllmRollout) -> Callable[[Decoding], VllmRollout]:
    """The shared engine, which takes the weights that it is handed at each call anew."""

    def renewed(decoding: Decoding) -> VllmRollout:
        vllm_engine.renew(next(versions))
        return vllm_engine

    return renewed


def test_vllm_passes_and_its_faults_are_named(parts, long_clips, vllm, check) -> None:
    gap = check(lambda decoding: Broken(decoding, engine=vllm))
    assert gap.tokens > 10
    assert gap.mean < 1e-5
    assert gap.largest < 1e-4

    broken = {
        "has lost the last token of the prompt": without(-1),
        "sees the frames in reverse order": shown(parts, long_clips, lambda steps: steps.flip(0)),
        "has stale weights": lambda asked: replace(asked, model=parts.model),
    }
    for fault, change in broken.items():
        with pytest.raises(InputError, match=fault):
            check(lambda decoding, change=change: Broken(decoding, change, engine=vllm))
