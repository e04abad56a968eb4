"""What an engine may compute otherwise than the trainer: each fault as a view under which the trainer does the same.

An engine that loses a token or sees no video raises no error: it writes completions of another distribution. Where the
trainer's log-probs under a fault's view are the engine's, that fault is the likely one. Reports of such engines:
two tokens lost (vLLM #46817), placeholders expanded twice (TRL #6294), a blind model (slime #1803), rows of M-RoPE
dropped (slime #2336), log-probs of another distribution (NeMo-RL #793).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nep.errors import InputError
from nep.model.family import Placeholder
from nep.model.packing import Tree, pack_row
from nep.model.samples import Sample
from nep.model.scoring import Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.rl.decoding import Decoding
from nep.train.rl.groups import Group
from nep.train.rl.shuffled import ReorderedCache


@dataclass(frozen=True)
class View:
    """How the trainer scores one completion.

    Attributes:
        tree: the prompt, and the completion as its one branch.
        visual: (P,) bool, which of the prompt's tokens are visual ones. text_only: the prompt without its video.
        visuals: what the model is given for the videos. decoding: temperature and banned tokens. model: the weights.
    """

    tree: Tree
    visual: Tensor
    text_only: Sample
    visuals: Visuals
    decoding: Decoding
    model: PreTrainedModel

    @torch.no_grad()
    def log_probs(self, packs: bool) -> Tensor:
        """(R,) fp32, on the CPU, of the completion's tokens. `packs`: see `Engine`."""
        device = self.decoding.banned.device
        row = pack_row([self.tree], self.visuals, packs, device)
        return Scorer(self.model)(row.inputs, row.rows, row.targets, self.decoding)[0].float().cpu()


@dataclass(frozen=True)
class Resources:
    """What views are made from: the cache, how the model's inputs come from one, and the start weights (None where they
    are those under training)."""

    cache: VisionCache
    visuals_of: Callable[[Any], Visuals]
    start_model: Callable[[], PreTrainedModel] | None


# The view under a fault; None where it cannot be told apart from the plain one.
Change = Callable[[View, Resources], View | None]


@dataclass(frozen=True)
class Fault:
    """`says` what the engine does, and `look` where to look."""

    says: str
    look: str
    change: Change


def completion_tree(prompt: Sample, tokens: Tensor) -> Tree:
    """A prompt with one completion, (R,) int64."""
    return Group(prompt, [tokens], torch.zeros(1)).tree()


def faults(family: str) -> list[Fault]:
    """The known faults, those that cost least to try first."""
    tokens = "does it take the prompt as token ids, and expand the video's placeholder as the cache says (index.jsonl)?"
    rope = f"its M-RoPE for the family {family!r}; another version of the engine"
    order = "the order of the frames or of `video_embeds` that it is given, and its `frames_indices`"
    blind = f"`limit_mm_per_prompt`, `enable_mm_embeds`, and whether it knows the family {family!r}"
    policy = (
        "`logprobs_mode: processed_logprobs`, its temperature (grpo.temperature) and the tokens that it may not say"
    )
    weights = "the transfer of the weights after each step, and whether its prefix cache is dropped with the old"
    return [
        *(Fault(f"has lost {name} of the prompt", tokens, _recounted(places, 0)) for name, places in PLACES.items()),
        *(Fault(f"has {name} of the prompt twice", tokens, _recounted(places, 2)) for name, places in PLACES.items()),
        Fault("counts positions as in a text, without the video's grid", rope, _text_positions),
        Fault("takes the positions' temporal row alone for all of them", rope, _temporal_positions),
        Fault("goes on at the number of tokens, not behind the highest position", rope, _completion_by_count),
        Fault("sees the frames in reverse order", order, _reordered(lambda count, key: list(range(count))[::-1])),
        Fault("sees the frames one step late", order, _reordered(lambda count, key: _rotated(count, -1))),
        Fault("sees the frames one step early", order, _reordered(lambda count, key: _rotated(count, 1))),
        Fault("is blind: features of zero stand for the video", blind, _zeroed),
        Fault("is blind: no features take the place of the visual tokens", blind, _unmerged),
        Fault("is blind: its prompt has no video", blind, _without_video),
        Fault("says log-probs of temperature 1", policy, _temperature_one),
        Fault("says log-probs in which banned tokens have a share", policy, _nothing_banned),
        Fault("says log-probs of temperature 1 in which banned tokens have a share", policy, _raw),
        Fault("has stale weights: those that the training began with", weights, _start_weights),
    ]


def _first(count: int) -> Callable[[Tensor], list[int]]:
    return lambda visual: list(range(count))


def _last(count: int) -> Callable[[Tensor], list[int]]:
    return lambda visual: list(range(len(visual) - count, len(visual)))


def _around_video(visual: Tensor) -> list[int]:
    places = visual.nonzero()[:, 0].tolist()
    return [places[0] - 1, places[-1] + 1] if places else []


PLACES: dict[str, Callable[[Tensor], list[int]]] = {
    "the first token": _first(1),
    "the first two tokens": _first(2),
    "the last token": _last(1),
    "the last two tokens": _last(2),
    "the two tokens around the video": _around_video,
}


def _recounted(places_of: Callable[[Tensor], list[int]], count: int) -> Change:
    """The prompt with the tokens at some places `count` times."""

    def change(view: View, resources: Resources) -> View | None:
        places = places_of(view.visual)
        inside = all(0 <= place < len(view.visual) for place in places)
        if not places or not inside or view.visual[places].any() or len(places) == len(view.visual):
            return None
        counts = torch.ones_like(view.tree.prefix)
        counts[places] = count
        return replace(view, tree=recounted(view.tree, counts))

    return change


def recounted(tree: Tree, counts: Tensor) -> Tree:
    """The tree with each token of its prefix `counts` (P,) times; what follows moves by as many positions."""
    more = counts - 1
    before = more.cumsum(0) - more
    copies = torch.cat([torch.arange(count) for count in counts.tolist()])
    moved = before.repeat_interleave(counts) + copies
    positions = tree.positions.repeat_interleave(counts, dim=1) + moved
    branches = tuple(replace(branch, positions=branch.positions + more.sum()) for branch in tree.branches)
    return replace(tree, prefix=tree.prefix.repeat_interleave(counts), positions=positions, branches=branches)


def _text_positions(view: View, resources: Resources) -> View | None:
    tree = view.tree
    return _at(view, torch.arange(len(tree.prefix)).expand_as(tree.positions), len(tree.prefix))


def _temporal_positions(view: View, resources: Resources) -> View | None:
    tree = view.tree
    return _at(view, tree.positions[:1].expand_as(tree.positions), int(tree.branches[0].positions[0, 0]))


def _completion_by_count(view: View, resources: Resources) -> View | None:
    return _at(view, view.tree.positions, len(view.tree.prefix))


def _at(view: View, positions: Tensor, start: int) -> View | None:
    """The view with other positions, the completion's from `start` on; None where they are the same."""
    tree, (branch,) = view.tree, view.tree.branches
    places = torch.arange(start, start + len(branch.tokens)).expand_as(branch.positions)
    if torch.equal(positions, tree.positions) and torch.equal(places, branch.positions):
        return None
    return replace(view, tree=replace(tree, positions=positions, branches=(replace(branch, positions=places),)))


def _rotated(count: int, by: int) -> list[int]:
    return [(step + by) % count for step in range(count)]


def _reordered(order: Callable[[int, str], list[int]]) -> Change:
    return lambda view, resources: _seen(view, resources, ReorderedCache(resources.cache, order))


def _zeroed(view: View, resources: Resources) -> View | None:
    return _seen(view, resources, ZeroedCache(resources.cache))


def _seen(view: View, resources: Resources, cache: Any) -> View | None:
    return replace(view, visuals=resources.visuals_of(cache)) if view.tree.video_keys else None


class ZeroedCache:
    """A vision cache whose frames and features are zeros."""

    def __init__(self, cache: VisionCache) -> None:
        self._cache = cache
        self.has_features = cache.has_features

    def frames(self, key: str) -> Tensor:
        """Frames uint8 (T, H, W, 3)."""
        return torch.zeros_like(self._cache.frames(key))

    def features(self, key: str) -> Tensor:
        """Features, see `VisionCache`."""
        return torch.zeros_like(self._cache.features(key))

    def placeholder(self, key: str) -> Placeholder:
        """What stands for the clip in a prompt."""
        return self._cache.placeholder(key)


class NoVisuals:
    """Nothing for any video: the model takes the visual tokens' own embeddings."""

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """See `Visuals`."""
        return {}


def _unmerged(view: View, resources: Resources) -> View | None:
    return replace(view, visuals=NoVisuals()) if view.tree.video_keys else None


def _without_video(view: View, resources: Resources) -> View | None:
    (branch,) = view.tree.branches
    return replace(view, tree=completion_tree(view.text_only, branch.tokens)) if view.tree.video_keys else None


def _temperature_one(view: View, resources: Resources) -> View | None:
    return _under(view, 1.0, view.decoding.banned)


def _nothing_banned(view: View, resources: Resources) -> View | None:
    return _under(view, view.decoding.temperature, torch.zeros_like(view.decoding.banned))


def _raw(view: View, resources: Resources) -> View | None:
    if view.decoding.temperature == 1.0:
        return None
    return _under(view, 1.0, torch.zeros_like(view.decoding.banned))


def _under(view: View, temperature: float, banned: Tensor) -> View | None:
    decoding = view.decoding
    if temperature == decoding.temperature and torch.equal(banned, decoding.banned):
        return None
    return replace(view, decoding=replace(decoding, temperature=temperature, banned=banned))


def _start_weights(view: View, resources: Resources) -> View | None:
    return replace(view, model=resources.start_model()) if resources.start_model else None


def log_probs_under(fault: Fault, views: Sequence[View], resources: Resources, packs: bool) -> list[Tensor] | None:
    """The trainer's log-probs of each completion under the fault; None where it cannot be put to any of them."""
    try:
        changed = [fault.change(view, resources) for view in views]
        if all(view is None for view in changed):
            return None
        return [(new or view).log_probs(packs) for view, new in zip(views, changed, strict=True)]
    except InputError:
        # Frames whose visual tokens do not fall into steps in time cannot be reordered.
        return None
