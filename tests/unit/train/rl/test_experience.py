"""Groups refilled where they give no signal, videos shuffled in time, and whole runs that use both."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch
from support.thread_context import ThreadContext

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.files import read_jsonl, sha256_of_file
from nep.model.samples import end_tokens
from nep.model.visual import Visuals
from nep.train.rl import experience
from nep.train.rl.advantages import zero_variance
from nep.train.rl.decoding import decoding_for
from nep.train.rl.experience import Collector, Experience, refill
from nep.train.rl.grpo import GrpoTrainer, train_grpo
from nep.train.rl.questions import Question
from nep.train.rl.rewards import Rewards
from nep.train.rl.rollout import Rollout
from nep.train.rl.shuffled import ShuffledCache, shuffled_order

PARITY, NEVER = "support.own_rewards:parity", "support.own_rewards:never"
STEPS = {"steps": 2, "prompts_per_step": 4, "completions": 2, "max_new_tokens": 4, "lr": 1e-3, "threads": 1}


def collect(parts, processes: int, **settings) -> tuple[list[Experience], list[Experience], int]:
    """Step 0 on so many processes: first and kept groups by slot, and how many were replaced."""
    grpo = Grpo(**{**STEPS, "rewards": {PARITY: 1.0}, **settings})
    questions = [Question(prompt, prompt, {"id": prompt.id, "answer": "A"}) for prompt in parts.prompts]
    decoding = decoding_for(parts.model, parts.processor, 1.0, grpo.max_new_tokens)
    shared, barrier = [None] * processes, Barrier(processes)

    def run(rank: int):
        distributed = ThreadContext(rank, processes, shared, barrier)
        rewards = Rewards(grpo)
        collector = Collector(
            grpo, 0, questions, rewards, parts.cache, parts.processor, Rollout(decoding, captured=False), distributed
        )
        return collector.collect(parts.model, 0)

    with ThreadPoolExecutor(processes) as pool:
        results = list(pool.map(run, range(processes)))
    slots = range(grpo.prompts_per_step)
    first, kept = ([results[slot % processes][kind][slot // processes] for slot in slots] for kind in (0, 1))
    assert len({replaced for _, _, replaced in results}) == 1
    return first, kept, results[0][2]


def said(experiences: list[Experience]) -> list[tuple]:
    return [(item.question.prompt.id, [c.tokens.tolist() for c in item.completions]) for item in experiences]


def flat(experience: Experience) -> bool:
    return bool(zero_variance(experience.rewards[None]))


def test_groups_without_signal_are_replaced_and_the_others_stay(parts) -> None:
    plain, same, none = collect(parts, 1)
    assert said(plain) == said(same)
    assert none == 0
    first, kept, replaced = collect(parts, 1, refill_rounds=3)
    assert said(first) == said(plain)
    without = [flat(item) for item in first]
    assert 0 < sum(without) < len(without), "the seed must give both kinds"
    assert replaced >= sum(without)
    assert sum(map(flat, kept)) < sum(without)
    for before, after, was_flat in zip(first, kept, without, strict=True):
        assert (said([before]) != said([after])) == was_flat
    once = said(collect(parts, 1, refill_rounds=1)[1])
    asked = {prompt for prompt, _ in said(first)}
    assert not asked & {prompt for (prompt, _), was_flat in zip(once, without, strict=True) if was_flat}


def test_groups_outside_the_bounds_of_accuracy_are_replaced_though_their_rewards_differ(parts, monkeypatch) -> None:
    """By a judge that random texts can please: four completions, of which one to three are to be right."""
    monkeypatch.setattr(experience, "is_accurate", lambda text, answer: len(text) % 3 == 0)
    settings = {"completions": 4, "rewards": {PARITY: 1.0, "support.own_rewards:length": 0.1}, "refill_rounds": 2}
    plain, _, without = collect(parts, 1, **settings)
    first, kept, replaced = collect(parts, 1, **settings, refill_accuracy=(0.2, 0.8))
    assert said(first) == said(plain)
    outside = [item.accuracy not in (0.25, 0.5, 0.75) for item in first]
    assert 0 < sum(outside) < len(outside), "the seed must give both kinds"
    assert without < sum(outside) <= replaced
    for before, after, was_outside in zip(first, kept, outside, strict=True):
        assert (said([before]) != said([after])) == was_outside
    assert sum(item.accuracy not in (0.25, 0.5, 0.75) for item in kept) < sum(outside)


def test_two_processes_collect_what_one_collects(parts) -> None:
    alone, both = (collect(parts, processes, refill_rounds=3, shuffled_bonus=0.3) for processes in (1, 2))
    assert said(alone[0]) == said(both[0])
    assert said(alone[1]) == said(both[1])
    assert alone[2] == both[2] > 0


def test_truncated_are_those_that_met_the_limit_without_an_end(parts) -> None:
    ends = end_tokens(parts.model, parts.processor)
    for item in collect(parts, 1)[0]:
        endless = [completion for completion in item.completions if int(completion.tokens[-1]) not in ends]
        assert item.sums["truncated"] == len(endless)
        assert all(len(completion.tokens) == STEPS["max_new_tokens"] for completion in endless)


def test_refilling_ends_after_its_rounds(parts) -> None:
    _, kept, replaced = collect(parts, 1, refill_rounds=2, rewards={NEVER: 1.0})
    assert replaced == 2 * len(kept)
    assert all(map(flat, kept))


def test_refills_are_drawn_among_unused_questions_while_there_are_any() -> None:
    used = {0, 2, 4}
    assert sorted(refill(range(6), 3, used, "0/1/1")) == [1, 3, 5]
    assert (
        refill(range(100), 5, used, "0/1/1")
        == refill(range(100), 5, used, "0/1/1")
        != refill(range(100), 5, used, "0/1/2")
    )
    assert set(refill(range(3), 4, {0, 1, 2}, "place")) == {0, 1, 2}


def test_shuffled_orders_are_permutations_and_never_the_original() -> None:
    orders = [shuffled_order(4, f"{step}/clip") for step in range(50)]
    assert all(sorted(order) == [0, 1, 2, 3] != order for order in orders)
    assert len({tuple(order) for order in orders}) > 10
    assert orders[7] == shuffled_order(4, "7/clip")
    assert shuffled_order(1, "clip") == [0]


def test_shuffled_features_are_those_of_shuffled_frames(parts) -> None:
    key = parts.prompts[0].video_keys[0]
    cache = ShuffledCache(parts.cache, seed=0, step=0)
    frames, original = cache.frames(key), parts.cache.frames(key)
    assert frames.tolist() == torch.cat([original[2:], original[:2]]).tolist()
    cpu = torch.device("cpu")
    pixels = Visuals(cache, parts.processor, [], cpu).inputs([key])
    with torch.no_grad():
        computed = parts.model.model.get_video_features(**pixels).pooler_output[0]
    torch.testing.assert_close(cache.features(key), computed, atol=1e-4, rtol=1e-4)


def test_a_run_with_all_of_it_writes_its_figures_and_repeats_itself(paths_to, tmp_path: Path, torch_settings) -> None:
    grpo = Grpo(
        **STEPS,
        rewards={"letter": 1.0, PARITY: 0.5},
        kl_coef=0.0,
        entropy_coef=0.0,
        clip_high=0.28,
        refill_rounds=1,
        overlong_buffer=2,
        shuffled_bonus=0.3,
        entropy_floor=1.0,
    )
    for name in ("one", "two"):
        train_grpo(grpo, 0, "nep", paths_to(tmp_path / name))
    one, two = (sha256_of_file(tmp_path / name / "out" / "model" / "model.safetensors") for name in ("one", "two"))
    assert one == two
    rows = read_jsonl(tmp_path / "one" / "out" / "metrics.jsonl")
    assert {"reward_letter", f"reward_{PARITY}", "reward_overlong", "reward_shuffled", "reward_errors"} <= set(rows[0])
    assert rows[0]["reward"] == pytest.approx(0.5 * rows[0][f"reward_{PARITY}"] + rows[0]["reward_overlong"], abs=1e-6)
    assert 0 < rows[0]["entropy_min"] <= rows[0]["entropy"]
    validation = read_jsonl(tmp_path / "one" / "out" / "validation.jsonl")
    assert {"reward", "accuracy", "text_only_accuracy"} < set(validation[0])


@pytest.mark.parametrize(("kl_coef", "passes"), [(0.0, 1), (1e-2, 6)])
def test_groups_without_signal_have_a_backward_pass_only_where_kl_needs_it(
    paths_to, tmp_path: Path, engine_of, monkeypatch: pytest.MonkeyPatch, kl_coef: float, passes: int
) -> None:
    """No group has a signal: of a pass for each completion, one with weight 0 is left, for the optimiser's step."""
    grpo = Grpo(
        **{**STEPS, "prompts_per_step": 3, "pack_tokens": 1},
        rewards={NEVER: 1.0},
        kl_coef=kl_coef,
        entropy_coef=0.0,
    )
    engine, paths = engine_of(grpo), paths_to(tmp_path)
    files = {"next_event_mc": paths.convert / "grpo" / "next_event_mc.jsonl"}
    losses = []
    accumulate = engine.accumulate
    monkeypatch.setattr(engine, "accumulate", lambda loss, last: (losses.append(loss), accumulate(loss, last)))
    row, _ = GrpoTrainer(grpo, 0, engine, files, Rewards(grpo), paths).step(0)
    assert len(losses) == passes
    assert row["zero_variance_groups"] == 1.0
    assert row["grad_norm"] == pytest.approx(0.0, abs=1e-6)


def test_a_failing_reward_names_its_sample(paths_to, tmp_path: Path, torch_settings) -> None:
    grpo = Grpo(**STEPS, rewards={"math:sqrt": 1.0})
    with pytest.raises(InputError, match=r"record question-\d: reward 'math:sqrt': TypeError"):
        train_grpo(grpo, 0, "nep", paths_to(tmp_path))
