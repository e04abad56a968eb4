import itertools
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from nep.data.draw import stable_choice, stable_random, stable_unit, take_first_by_hash


@dataclass(frozen=True)
class Row:
    id: str
    source: str = ""
    component: str | None = None


def rows(count: int) -> list[Row]:
    return [Row(f"record-{number}") for number in range(count)]


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
    before = {row.id for row in take_first_by_hash(rows(200), 50, seed=1)}
    for number in range(200, 260):
        after = {row.id for row in take_first_by_hash([*rows(200), Row(f"record-{number}")], 50, seed=1)}
        assert len(before - after) <= 1


@pytest.mark.parametrize("size", [None, 30, 31])
def test_all_rows_are_taken_where_there_are_no_more(size: int | None) -> None:
    taken = take_first_by_hash(rows(30), size, seed=1)
    assert sorted(row.id for row in taken) == sorted(row.id for row in rows(30))


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


def mixed_rows(sizes: dict[str, int]) -> list[Row]:
    return [Row(f"{name}-{number}", source=name) for name, size in sizes.items() for number in range(size)]


def counts(taken: list[Row], key: str = "source") -> Counter[str]:
    return Counter(getattr(row, key) for row in taken)


@pytest.mark.parametrize("size", [1, 7, 30, 90, 100])
def test_sources_are_balanced_where_asked_as_long_as_they_last(size: int) -> None:
    sizes = {"youtube": 400, "charades": 60, "ego4d": 20}
    taken = counts(take_first_by_hash(mixed_rows(sizes), size, 1, balance_sources=True))
    full = [name for name in sizes if taken[name] < sizes[name]]
    assert max(taken[name] for name in full) - min(taken[name] for name in full) <= 1
    assert all(taken[name] == 20 for name in sizes if name not in full)
    plain = counts(take_first_by_hash(mixed_rows(sizes), 90, 1))
    assert plain["youtube"] > 60


def test_balanced_sizes_are_nested_and_end_with_all_rows() -> None:
    rows_ = mixed_rows({"a": 50, "b": 9, "c": 23})
    taken = [take_first_by_hash(rows_, size, 1, balance_sources=True) for size in (10, 40, None)]
    assert taken[1][:10] == taken[0]
    assert taken[2][:40] == taken[1]
    assert sorted(row.id for row in taken[2]) == sorted(row.id for row in rows_)


@pytest.mark.parametrize("size", [5, 20, 45, 60])
def test_a_further_row_takes_one_place_at_most_of_a_balanced_draw(size: int) -> None:
    sizes = {"a": 40, "b": 10, "c": 15}
    rows_ = [replace(row, component=f"part{number % 2}") for number, row in enumerate(mixed_rows(sizes))]
    before = {row.id for row in take_first_by_hash(rows_, size, 1, balance_sources=True)}
    for source, component in itertools.product("abcd", ("part0", "part1", "part2")):
        further = Row(f"new-{source}-{component}", source, component)
        after = {row.id for row in take_first_by_hash([*rows_, further], size, 1, balance_sources=True)}
        assert len(before - after) <= 1


def test_components_stay_equal_with_and_without_balanced_sources() -> None:
    rows_ = [
        replace(row, id=f"{part}-{row.id}", component=part)
        for part in ("next_event", "critique", "distill")
        for row in mixed_rows({"youtube": 80, "ego4d": 20})
    ]
    for balance in (False, True):
        taken = take_first_by_hash(rows_, 90, 1, balance_sources=balance)
        assert set(counts(taken, "component").values()) == {30}
    by_both = Counter((row.component, row.source) for row in taken)
    assert set(by_both.values()) == {15}
