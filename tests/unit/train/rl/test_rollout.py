"""Decoding against `generate` and against a teacher-forced pass."""

import pytest
import torch
from torch import Tensor

from nep.model.packing import pack_row
from nep.model.scoring import Scorer
from nep.train.rl.decoding import Decoding, decoding_for, multimodal_tokens, pick, uniforms
from nep.train.rl.groups import Group
from nep.train.rl.rollout import Completion, Rollout

LIMIT, WIDTH = 14, 3


@pytest.fixture
def decoding(parts) -> Decoding:
    return decoding_for(parts.model, parts.processor, temperature=0.7, limit=LIMIT)


@pytest.fixture(params=[False, True], ids=["growing", "fixed"])
def rollout(request, decoding: Decoding) -> Rollout:
    return Rollout(decoding, captured=request.param)


def draws_for(prompts, step: int = 0, limit: int = LIMIT) -> Tensor:
    return torch.stack([uniforms(0, step, slot, prompt, WIDTH, limit) for slot, prompt in enumerate(prompts)])


def flat(groups: list[list[Completion]]) -> list[Completion]:
    return [completion for group in groups for completion in group]


def test_greedy_rollout_equals_generate(parts, decoding: Decoding, rollout: Rollout) -> None:
    prompts = [*parts.prompts[:2], parts.dialogues[0]]
    ours = rollout(parts.model, prompts, parts.visuals, draws=None)
    for prompt, (completion,) in zip(prompts, ours, strict=True):
        grid = torch.tensor([parts.cache.placeholder(key).grid for key in prompt.video_keys])
        tokens = prompt.input_ids[None]
        generated = parts.model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=torch.tensor(parts.processor.create_mm_token_type_ids(tokens.tolist())),
            video_grid_thw=grid,
            second_per_grid_ts=torch.tensor(
                [parts.cache.placeholder(key).second_per_grid for key in prompt.video_keys]
            ),
            do_sample=False,
            max_new_tokens=LIMIT,
            suppress_tokens=decoding.banned.nonzero()[:, 0].tolist(),
            **parts.visuals.inputs(prompt.video_keys),
        )[0, len(prompt) :]
        assert completion.tokens.tolist() == generated.tolist()


def test_log_probs_and_entropies_equal_those_of_a_teacher_forced_pass(
    parts, decoding: Decoding, rollout: Rollout
) -> None:
    prompts = parts.prompts[:3]
    groups = rollout(parts.model, prompts, parts.visuals, draws_for(prompts))
    packed = [
        Group(prompt, [completion.tokens for completion in group], torch.zeros(WIDTH))
        for prompt, group in zip(prompts, groups, strict=True)
    ]
    row = pack_row([group.tree() for group in packed], parts.visuals, True, torch.device("cpu"))
    with torch.no_grad():
        expected, entropies = Scorer(parts.model)(row.inputs, row.rows, row.targets, decoding)
    computed = torch.cat([completion.log_probs for completion in flat(groups)])
    torch.testing.assert_close(computed, expected, atol=1e-5, rtol=0)
    measured = torch.cat([completion.entropies for completion in flat(groups)])
    torch.testing.assert_close(measured, entropies, atol=1e-5, rtol=0)


def test_a_completion_depends_only_on_seed_step_and_prompt(parts, decoding: Decoding, rollout: Rollout) -> None:
    prompts = parts.prompts[:3]
    draws = draws_for(prompts)
    together = rollout(parts.model, prompts, parts.visuals, draws)
    alone = rollout(parts.model, prompts[2:], parts.visuals, draws[2:])
    assert [item.tokens.tolist() for item in together[2]] == [item.tokens.tolist() for item in alone[0]]
    other = rollout(parts.model, prompts[2:], parts.visuals, draws_for(prompts, step=1)[2:])
    assert [item.tokens.tolist() for item in other[0]] != [item.tokens.tolist() for item in alone[0]]


def test_visual_tokens_are_never_sampled_even_where_they_are_likely(
    parts, decoding: Decoding, rollout: Rollout
) -> None:
    banned = multimodal_tokens(parts.model, parts.processor)
    named = parts.processor.tokenizer.convert_tokens_to_ids(
        ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    )
    assert set(named) <= set(banned)
    favour = torch.zeros(parts.model.lm_head.out_features)
    favour[named] = 1e3
    handle = parts.model.lm_head.register_forward_hook(lambda module, inputs, output: output + favour)
    try:
        sampled = rollout(parts.model, parts.prompts[:2], parts.visuals, draws_for(parts.prompts[:2]))
        greedy = rollout(parts.model, parts.prompts[:2], parts.visuals, draws=None)
    finally:
        handle.remove()
    tokens = {token for item in flat(sampled) + flat(greedy) for token in item.tokens.tolist()}
    assert tokens
    assert not tokens & set(banned)


def test_completions_stop_at_the_end_token(parts, decoding: Decoding, rollout: Rollout) -> None:
    end = parts.processor.tokenizer.eos_token_id
    favour = torch.zeros(parts.model.lm_head.out_features)
    favour[end] = 3.0
    handle = parts.model.lm_head.register_forward_hook(lambda module, inputs, output: output + favour)
    try:
        sampled = flat(rollout(parts.model, parts.prompts[:4], parts.visuals, draws_for(parts.prompts[:4])))
    finally:
        handle.remove()
    assert len({len(item.tokens) for item in sampled}) > 1
    for item in sampled:
        tokens = item.tokens.tolist()
        assert end not in tokens[:-1]
        assert item.finished == (tokens[-1] == end)
        assert item.finished or len(tokens) == LIMIT
        assert len(item.log_probs) == len(tokens)


def test_picks_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, torch.finfo(torch.float32).min, 1.0])
    probabilities = logits.softmax(-1)
    draws = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    chosen = pick(logits.expand(100_000, -1), draws)
    shares = chosen.bincount(minlength=5) / 100_000
    torch.testing.assert_close(shares, probabilities, atol=2e-5, rtol=0)
    assert pick(logits[None], torch.tensor([0.0], dtype=torch.float64)).tolist() == [0]
    nearly_one = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert pick(logits[None], nearly_one).tolist() == [4]
