"""Completions from the trainer's own weights: prompts in; tokens, log-probs and finished flags out.

1. One prefill of all prompts, padded on the right (causal attention: no real token sees a pad).
2. Each decode step feeds the newest token of all n completions of a prompt as n queries of ONE row: the cache holds
   the prompt once, then the completions' tokens interleaved, and a mask lets each completion see the prompt and itself.
3. A token is drawn by inverting the cumulative distribution at a uniform number fixed beforehand by (seed, step,
   prompt), so that a completion depends neither on the batch around it nor on the number of processes.

Layers that carry state, or see a window only, can share no row and bear no pads: there, prompts go one at a time, and
each completion goes on in a row of its own.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, ProcessorMixin

from nep.train.attention import can_pack
from nep.train.groups import next_position
from nep.train.losses import policy_logits, token_entropies, token_log_probs
from nep.train.padding import pad_positions, pad_rows
from nep.train.samples import Sample, end_tokens
from nep.train.visual import Visuals


@dataclass(frozen=True)
class Completion:
    """What the model said to one prompt.

    Attributes:
        tokens: (R,) int64, R ≥ 1, with the end token where there is one.
        log_probs: (R,) fp32, of the distribution sampled from (temperature and banned tokens applied).
        entropies: (R,) fp32, nats, of that distribution.
        finished: whether it ends with an end token, and not at the limit.
    """

    tokens: Tensor
    log_probs: Tensor
    entropies: Tensor
    finished: bool


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Attributes:
        banned: (V,) bool, tokens that cannot be sampled. ends: (V,) bool, tokens that end a completion.
        temperature: of the softmax. limit: most tokens of a completion. pad: token that fills ended completions.
    """

    banned: Tensor
    ends: Tensor
    temperature: float
    limit: int
    pad: int


def decoding_for(model: PreTrainedModel, processor: ProcessorMixin, temperature: float, limit: int) -> Decoding:
    """Decoding in which no multimodal special token, and no id beyond the tokenizer's vocabulary, can be sampled."""
    device = model.get_input_embeddings().weight.device
    size = model.get_output_embeddings().out_features
    banned = torch.zeros(size, dtype=torch.bool, device=device)
    banned[len(processor.tokenizer) :] = True
    banned[multimodal_tokens(model, processor)] = True
    ends = torch.zeros_like(banned)
    ends[sorted(end_tokens(model, processor))] = True
    pad = processor.tokenizer.pad_token_id
    return Decoding(banned=banned & ~ends, ends=ends, temperature=temperature, limit=limit, pad=pad)


def multimodal_tokens(model: PreTrainedModel, processor: ProcessorMixin) -> list[int]:
    """Ids of the visual pads and of the tokens around them, by the model's config and the tokenizer's names."""
    config = model.config.to_dict()
    configured = {value for key, value in config.items() if key.endswith("_token_id") and _is_multimodal(key)}
    named = {index for token, index in processor.tokenizer.get_added_vocab().items() if _is_multimodal(token)}
    return sorted(value for value in configured | named if isinstance(value, int))


def uniforms(seed: int, step: int, slot: int | str, prompt: Sample, completions: int, limit: int) -> Tensor:
    """(completions, limit) fp64 numbers in [0, 1) that decide a group's tokens; `slot` is its place in the step."""
    digest = hashlib.sha256(f"{seed}/{step}/{slot}/{prompt.id}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.rand(completions, limit, dtype=torch.float64, generator=generator)


@torch.no_grad()
def rollout(
    model: PreTrainedModel,
    prompts: Sequence[Sample],
    visuals: Visuals,
    decoding: Decoding,
    draws: Tensor | None,
) -> list[list[Completion]]:
    """Completions of each prompt: sampled by `draws` (B, n, limit), or one greedy completion where it is None."""
    if can_pack(model.config):
        return _in_shared_rows(model, prompts, visuals, decoding, draws)
    groups = [draws[index : index + 1] if draws is not None else None for index in range(len(prompts))]
    return [
        _in_own_rows(model, prompt, visuals, decoding, group) for prompt, group in zip(prompts, groups, strict=True)
    ]


def pick(logits: Tensor, draws: Tensor) -> Tensor:
    """Token of each distribution: the first whose cumulative probability is above the draw. (…, V), (…) → (…)."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    # Strictly above: a token of probability 0 adds nothing to the sum and is never the first.
    return torch.searchsorted(cumulative, draws[..., None] * cumulative[..., -1:], right=True)[..., 0]


def _in_shared_rows(
    model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, decoding: Decoding, draws: Tensor | None
) -> list[list[Completion]]:
    """A prompt a row; its completions are the queries of that row."""
    device = decoding.banned.device
    width = 1 if draws is None else draws.shape[1]
    cache = DynamicCache(config=model.config.get_text_config())
    logits = _prefill(model, prompts, visuals, decoding.pad, cache)[:, None].expand(-1, width, -1)
    mask = _prompt_mask(prompts, width, device)
    own = torch.eye(width, dtype=torch.bool, device=device).expand(len(prompts), 1, -1, -1)
    position = torch.tensor([next_position(prompt) for prompt in prompts], device=device)[:, None].expand(-1, width)
    dimensions = prompts[0].position_ids.shape[0]

    def feed(tokens: Tensor, place: int) -> Tensor:
        nonlocal mask
        mask = torch.cat([mask, own], dim=-1)
        return _step(model, tokens, _in_dimensions(position + place, dimensions), cache, mask)

    return _decode(logits, feed, decoding, draws)


def _in_own_rows(
    model: PreTrainedModel, prompt: Sample, visuals: Visuals, decoding: Decoding, draws: Tensor | None
) -> list[Completion]:
    """A completion a row, all of one prompt."""
    width = 1 if draws is None else draws.shape[1]
    cache = DynamicCache(config=model.config.get_text_config())
    logits = _prefill(model, [prompt], visuals, decoding.pad, cache).expand(width, -1)[:, None]
    # Not batch_repeat_interleave, which layers that carry state lack.
    cache.reorder_cache(torch.zeros(width, dtype=torch.long, device=decoding.banned.device))
    position = torch.full((width, 1), next_position(prompt), device=decoding.banned.device)
    dimensions = prompt.position_ids.shape[0]

    def feed(tokens: Tensor, place: int) -> Tensor:
        return _step(model, tokens, _in_dimensions(position + place, dimensions), cache, None)

    rows = _decode(logits, feed, decoding, None if draws is None else draws.transpose(0, 1))
    return [completion for (completion,) in rows]


def _decode(
    logits: Tensor, feed: Callable[[Tensor, int], Tensor], decoding: Decoding, draws: Tensor | None
) -> list[list[Completion]]:
    """Completions from the logits (B, n, V) of their first tokens; `feed` takes tokens (B, n) and their place."""
    alive = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    tokens, log_probs, entropies = [], [], []
    for place in range(decoding.limit):
        logits = policy_logits(logits, decoding.banned, decoding.temperature)
        chosen = logits.argmax(-1) if draws is None else pick(logits, draws[:, :, place].to(logits.device))
        log_probs.append(token_log_probs(logits, chosen))
        entropies.append(token_entropies(logits))
        tokens.append(chosen)
        alive = alive & ~decoding.ends[chosen]
        if place + 1 == decoding.limit or not alive.any():
            break
        logits = feed(chosen.where(alive, decoding.pad), place)
    return _completions(*(torch.stack(kind, -1) for kind in (tokens, log_probs, entropies)), decoding.ends)


def _step(
    model: PreTrainedModel, tokens: Tensor, positions: Tensor, cache: DynamicCache, mask: Tensor | None
) -> Tensor:
    return model(
        input_ids=tokens, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    ).logits


def _prefill(
    model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, pad: int, cache: DynamicCache
) -> Tensor:
    """Fill `cache` with the prompts; logits (B, V) after the last token of each."""
    device = model.get_input_embeddings().weight.device
    # Not `logits_to_keep`, which some families ignore.
    hidden = model.model(
        input_ids=pad_rows([prompt.input_ids for prompt in prompts], pad).to(device),
        position_ids=pad_positions([prompt.position_ids for prompt in prompts]).to(device),
        past_key_values=cache,
        use_cache=True,
        **visuals.inputs([key for prompt in prompts for key in prompt.video_keys]),
    ).last_hidden_state
    last = [len(prompt) - 1 for prompt in prompts]
    return model.get_output_embeddings()(hidden[range(len(prompts)), last])


def _prompt_mask(prompts: Sequence[Sample], width: int, device: torch.device) -> Tensor:
    """(B, 1, width, longest prompt) bool: the real tokens of each prompt."""
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    real = torch.arange(int(lengths.max()), device=device)[None] < lengths[:, None]
    return real[:, None, None].expand(-1, 1, width, -1)


def _in_dimensions(positions: Tensor, dimensions: int) -> Tensor:
    """(B, n) positions, for all of the model's rotary dimensions: (dimensions, B, n), or unchanged where it has one."""
    return positions if dimensions == 1 else positions.expand(dimensions, -1, -1)


def _completions(tokens: Tensor, log_probs: Tensor, entropies: Tensor, ends: Tensor) -> list[list[Completion]]:
    """Cut (B, n, T) tokens after the first end token of each completion."""
    tokens, log_probs, entropies, ended = tokens.cpu(), log_probs.cpu(), entropies.cpu(), ends[tokens].cpu()
    finished = ended.any(-1)
    lengths = torch.where(finished, ended.int().argmax(-1) + 1, tokens.shape[-1])
    return [
        [
            Completion(
                tokens=tokens[row, column, : lengths[row, column]],
                log_probs=log_probs[row, column, : lengths[row, column]],
                entropies=entropies[row, column, : lengths[row, column]],
                finished=bool(finished[row, column]),
            )
            for column in range(tokens.shape[1])
        ]
        for row in range(tokens.shape[0])
    ]


def _is_multimodal(name: str) -> bool:
    return any(word in name.lower() for word in ("image", "img", "video", "vision", "audio"))
