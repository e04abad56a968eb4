"""Which questions a step asks."""

from collections import Counter

from nep.config.grpo import Grpo
from nep.train.batches import draw
from nep.train.rl.order import QuestionOrder, number_of_events

KINDS = ["hop3", "hop1", "caption", "hop2", "hop1", "hop2", "hop3"]
EVENTS = [3, 1, 9, 2, 1, 2, 3]
STEPS, SIZE, SEED = 5, 3, 4


def order(**settings) -> QuestionOrder:
    return QuestionOrder(Grpo(steps=STEPS, prompts_per_step=SIZE, **settings), SEED, KINDS)


def asked(given: QuestionOrder) -> list[int]:
    return [index for step in range(STEPS) for index in given.of_step(step)]


def test_without_a_curriculum_and_a_filter_each_step_asks_what_it_always_did() -> None:
    plain = order()
    for step in range(STEPS):
        assert plain.of_step(step) == draw(len(KINDS), SIZE, SEED, step)
    assert list(plain.others([1])) == list(range(len(KINDS)))


def test_by_hops_the_same_questions_are_asked_the_fewest_events_first() -> None:
    plain, sorted_ = asked(order()), asked(order(order="by_hops"))
    assert Counter(sorted_) == Counter(plain)
    assert sorted_ == sorted(plain, key=lambda index: EVENTS[index]) != plain


def test_by_hops_a_group_is_replaced_by_a_question_of_no_more_events() -> None:
    given = order(order="by_hops")
    assert given.others([1, 3]) == [1, 3, 4, 5]
    assert given.others([2]) == list(range(len(KINDS)))


def test_kept_questions_alone_are_asked_from_their_step_on_in_whole_passes() -> None:
    given = order()
    given.keep([0, 2, 5], 2)
    asked_then = [sorted(given.of_step(step)) for step in range(2, STEPS)]
    assert asked_then == [[0, 2, 5]] * 3
    assert given.others([0]) == [0, 2, 5]
    later = order()
    later.keep([0, 2, 5], 3)
    # A choice at another step is another pass, though the same questions were chosen.
    orders = {tuple(kept.of_step(step)) for kept, first in ((given, 2), (later, 3)) for step in range(first, STEPS)}
    assert len(orders) > 1


def test_by_hops_the_kept_questions_are_sorted() -> None:
    given = order(order="by_hops")
    given.keep([0, 3, 4], 0)
    assert [EVENTS[index] for index in asked(given)] == [1] * 5 + [2] * 5 + [3] * 5


def test_the_number_of_events_is_in_the_kind() -> None:
    assert [number_of_events(kind) for kind in ("hop1", "hop12")] == [1, 12]
    assert number_of_events("interpolation") == number_of_events("caption") > 12
