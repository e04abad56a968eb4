import random
from collections import Counter

import pytest

from nep.data.draw import stable_choice, stable_random, stable_unit, take_first_by_hash


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": f"record-{number}"} for number in range(count)]


def test_smaller_sizes_are_nested_in_larger_ones() -> None:
    taken = [take_first_by_hash(rows(500), size, seed=1) for size in (10, 100, 300)]
    assert taken[2][:100] == taken[1]
    assert taken[1][:10] == taken[0]


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    shuffled = rows(200)
    random.Random(0).shuffle(shuffled)
    assert take_first_by_hash(shuffled, 50, seed=1) == take_first_by_hash(rows(200), 50, seed=1)
    assert take_first_by_hash(rows(200), 50, seed=2) != take_first_by_hash(rows(200), 50, seed=1)


def test_a_further_row_takes_one_place_at_most() -> None:
    before = {row["id"] for row in take_first_by_hash(rows(200), 50, seed=1)}
    for number in range(200, 260):
        after = {row["id"] for row in take_first_by_hash([*rows(200), {"id": f"record-{number}"}], 50, seed=1)}
        assert len(before - after) <= 1


@pytest.mark.parametrize("size", [None, 30, 31])
def test_all_rows_are_taken_where_there_are_no_more(size: int | None) -> None:
    taken = take_first_by_hash(rows(30), size, seed=1)
    assert sorted(row["id"] for row in taken) == sorted(row["id"] for row in rows(30))


def test_choices_are_uniform_over_keys() -> None:
    counts = Counter(stable_choice("ABCD", 1, f"record-{number}") for number in range(4000))
    # Chi-squared with 3 degrees of freedom: above 16.3 once in a thousand.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 16.3


def test_units_are_uniform_over_keys() -> None:
    below = sum(stable_unit("x", number) < 0.05 for number in range(20000))
    assert 870 < below < 1130


def test_draws_are_the_same_in_every_process() -> None:
    assert stable_choice("ABCDEFGH", 7, "record") == "C"
    assert stable_random(7, "record").randrange(1000) == 958


def test_parts_of_a_key_are_kept_apart() -> None:
    assert stable_unit("ab", "c") != stable_unit("a", "bc")
