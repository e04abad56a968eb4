"""Predicted chains of events and what they are worth, against plain definitions."""

import itertools
import random

import pytest
from sacrebleu.metrics import CHRF

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.train.rl.event_chains import chain_similarity, length_score, predicted_chain
from nep.train.rl.rewards import Rewards

TRUE = ["A cup falls from the table.", "The dog runs out.", "The door closes."]
ROW = {"id": "q1", "answer": "B", "kind": "hop1", "events": TRUE}


def thinking(thoughts: str) -> str:
    return f"<think>\n{thoughts}\n</think>\n<answer>\nB\n</answer>"


@pytest.mark.parametrize(
    ("completion", "chain"),
    [
        (thinking("<event>A cup falls.</event> so <event> The dog runs. </event>"), ["A cup falls.", "The dog runs."]),
        (thinking("Red; then blue; and then, green"), ["Red", "blue", "green"]),
        (thinking("First this\n\nThen that; thenceforth"), ["First this", "that", "thenceforth"]),
        (thinking(" ;\n "), []),
        ("A cup falls; then the dog runs.", []),
        (thinking("a</think><think>b"), []),
    ],
)
def test_a_chain_is_the_marked_events_or_the_clauses_of_the_thoughts(completion: str, chain: list[str]) -> None:
    assert predicted_chain(completion) == chain


def by_definition(predicted: list[str], true: list[str]) -> float:
    """The best of all pairings in order: choose equally many events of both sides, pair them as they come."""
    fits = CHRF()

    def similarity(one: str, other: str) -> float:
        return fits.sentence_score(one.rstrip(".").lower(), [other.rstrip(".").lower()]).score / 100

    pairings = (
        zip(ours, theirs, strict=True)
        for size in range(min(len(predicted), len(true)) + 1)
        for ours in itertools.combinations(predicted, size)
        for theirs in itertools.combinations(true, size)
    )
    return max(sum(itertools.starmap(similarity, pairs)) for pairs in pairings) / len(predicted)


def test_the_similarity_of_chains_is_the_best_pairing_in_order() -> None:
    rng = random.Random(0)
    words = ["red", "green", "a red ball", "The ball rolls.", "blue", "it stops"]
    for _ in range(40):
        predicted = rng.choices(words, k=rng.randint(1, 4))
        true = rng.choices(words, k=rng.randint(1, 4))
        assert chain_similarity(predicted, true) == pytest.approx(by_definition(predicted, true), abs=1e-12)


def test_the_true_chain_is_worth_most_and_its_order_counts() -> None:
    assert chain_similarity(TRUE, TRUE) == pytest.approx(1.0)
    assert chain_similarity([event.lower().rstrip(".") for event in TRUE], TRUE) == pytest.approx(1.0)
    assert chain_similarity(TRUE[1:], TRUE) == pytest.approx(1.0)
    assert chain_similarity(TRUE[::-1], TRUE) < 0.6
    # An event that is told twice stands for two.
    assert chain_similarity([TRUE[0]] * 3, TRUE) < 0.6
    assert chain_similarity([], TRUE) == chain_similarity(["A cup falls."], []) == 0.0


@pytest.mark.parametrize(("events", "worth"), [(0, 0), (1, 1 / 3), (2, 2 / 3), (3, 1), (4, 2 / 3), (6, 0), (9, 0)])
def test_the_length_of_a_chain_counts_less_with_each_event_too_many_or_too_few(events: int, worth: float) -> None:
    assert length_score(events, 3) == pytest.approx(worth)
    said = thinking(" ".join(["<event>A cup falls.</event>"] * events))
    assert Rewards(Grpo(rewards={"chain_length": 1.0})).score(said, ROW).total == pytest.approx(worth)


def test_the_number_of_events_that_is_best_is_the_recipes() -> None:
    rewards = Rewards(Grpo(rewards={"chain_length": 1.0}, chain_events=1))
    assert rewards.score(thinking("A cup falls."), ROW).total == 1.0


def test_the_reward_compares_the_thoughts_with_the_events_of_the_row() -> None:
    rewards = Rewards(Grpo(rewards={"letter": 1.0, "event_chain": 0.5}))
    assert rewards.score(thinking("; then ".join(TRUE)), ROW).total == pytest.approx(1.5)
    assert rewards.score("<answer>B</answer>", ROW).total == 0.0


def test_a_question_without_events_says_which_key_brings_them() -> None:
    row = {key: value for key, value in ROW.items() if key != "events"}
    with pytest.raises(InputError, match=r"record q1: reward 'event_chain': ValueError: .* set convert\.event_chains"):
        Rewards(Grpo(rewards={"event_chain": 1.0})).score(thinking("A cup falls."), row)
