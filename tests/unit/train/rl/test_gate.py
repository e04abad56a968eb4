"""The gate in front of rollouts: right engines pass, and each kind of broken one is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.broken_engines import (
    Asked,
    Broken,
    around_video,
    as_text,
    check,
    long_clips,
    moved,
    on_prompts,
    shown,
    temporal_row,
    under,
    without,
)

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.train.rl import kv_cache
from nep.train.rl.rollout import Completion

__all__ = ["check", "long_clips", "moved"]


def nothing_banned(asked: Asked) -> Asked:
    return replace(asked, decoding=replace(asked.decoding, banned=torch.zeros_like(asked.decoding.banned)))


def test_right_engines_pass_and_are_asked_once_a_step(check) -> None:
    asked = []

    def watched(asked_for: Asked) -> Asked:
        asked.append(asked_for)
        return asked_for

    gap = check(lambda decoding: Broken(decoding, watched))
    assert gap.tokens > 10
    assert 0 < gap.largest < 1e-4
    assert gap.mean <= gap.largest
    assert len(asked) == 1


BROKEN: list[tuple[str, str, Callable]] = [
    ("lost the first token", "token ids", lambda parts, clips: without(0)),
    ("lost the last token", "token ids", lambda parts, clips: without(-1)),
    ("lost the first two tokens", "index.jsonl", lambda parts, clips: without(0, 1)),
    ("lost the last two tokens", "index.jsonl", lambda parts, clips: without(-2, -1)),
    (
        "lost the two tokens around the video",
        "token ids",
        lambda parts, clips: on_prompts(lambda p: around_video(p, 0)),
    ),
    (
        "two tokens around the video of the prompt twice",
        "ids",
        lambda parts, clips: on_prompts(lambda p: around_video(p, 2)),
    ),
    ("positions as in a text", "M-RoPE for the family 'qwen2_5_vl'", lambda parts, clips: on_prompts(as_text)),
    ("temporal row alone", "M-RoPE", lambda parts, clips: on_prompts(temporal_row)),
    (
        "frames in reverse order",
        "frames_indices",
        lambda parts, clips: shown(parts, clips, lambda steps: steps.flip(0)),
    ),
    ("frames one step late", "video_embeds", lambda parts, clips: shown(parts, clips, lambda steps: steps.roll(1, 0))),
    ("features of zero", "enable_mm_embeds", lambda parts, clips: shown(parts, clips, torch.zeros_like)),
    ("log-probs of temperature 1 (", "processed_logprobs", lambda parts, clips: under(temperature=1.0)),
    ("in which banned tokens have a share", "may not say", lambda parts, clips: nothing_banned),
    ("stale weights", "transfer", lambda parts, clips: lambda asked: replace(asked, model=parts.model)),
]


@pytest.mark.parametrize(("name", "look", "broken"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_each_fault_is_named_with_where_to_look(
    parts, long_clips, check, name: str, look: str, broken: Callable
) -> None:
    with pytest.raises(InputError) as refused:
        check(lambda decoding: Broken(decoding, broken(parts, long_clips)), engine_gap=1e-3)
    assert name in str(refused.value)
    assert "the trainer does the same within" in str(refused.value)


def test_a_completion_at_the_wrong_positions_is_named(check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "next_position", len)
    with pytest.raises(InputError, match="goes on at the number of tokens, not behind the highest position"):
        check(Broken)


def shifted(completion: Completion, by: int) -> Completion:
    return replace(completion, log_probs=completion.log_probs.roll(by))


def one_lost(completion: Completion) -> Completion:
    """Without its sixth token, and that one's log-prob."""
    kept = [place for place in range(len(completion.tokens)) if place != 5]
    return replace(completion, tokens=completion.tokens[kept], log_probs=completion.log_probs[kept])


SAID_WRONGLY: list[tuple[str, Callable[[Completion], Completion]]] = [
    ("each log-prob stands one token late", lambda completion: shifted(completion, 1)),
    ("each log-prob stands one token early", lambda completion: shifted(completion, -1)),
    ("the first 5 tokens of each completion agree: tokens of completions are lost", one_lost),
    ("no known fault explains it", lambda completion: replace(completion, log_probs=completion.log_probs - 1)),
    ("log-probs of the engine are no numbers", lambda said: replace(said, log_probs=said.log_probs * torch.nan)),
]


@pytest.mark.parametrize(("name", "say"), SAID_WRONGLY, ids=["late", "early", "lost", "unknown", "not-a-number"])
def test_what_is_said_wrongly_is_named_or_said_to_be_unknown(check, name: str, say: Callable) -> None:
    with pytest.raises(InputError) as refused:
        check(lambda decoding: Broken(decoding, say=say))
    assert name in str(refused.value)


def test_the_bound_is_the_configured_one(check) -> None:
    def apart(completion: Completion) -> Completion:
        return replace(completion, log_probs=completion.log_probs + 0.05)

    assert check(lambda decoding: Broken(decoding, say=apart), engine_gap=0.06).mean == pytest.approx(0.05, abs=1e-4)
    with pytest.raises(
        InputError, match=r"differ by 0\.05 nats on average, 0\.05 at most, above grpo\.engine_gap = 0\.04"
    ):
        check(lambda decoding: Broken(decoding, say=apart), engine_gap=0.04)
    assert (Grpo().gap_bound, Grpo(precision="bf16").gap_bound) == (5e-4, 0.05)
