from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nep.data.bounds import broken_bound, folded, is_similar_length, overlap
from nep.data.draw import stable_random
from nep.data.inputs import Item, LeftOut
from nep.data.multiple_choice import events_after
from nep.data.options import arrange
from nep.data.prompts import Prompts
from nep.data.questions import (
    NEIGHBOURS,
    Continuations,
    around_the_truth,
    collect_continuations,
    draw_caption_question,
    draw_question,
    next_events,
)

Make = Callable[..., Any]
JOINER = "; then "


def as_item(record: Any, part: str = "train") -> Item:
    return Item(record, part, {"first": f"segments/first/{record.id}.mp4"})


def options_of(row: dict[str, Any]) -> dict[str, str]:
    lines = row["problem"].splitlines()[1:5]
    return {line[0]: line[3:] for line in lines}


def ask(item: Item, hops: int, prompts: Prompts, source: str = "same_video", items: tuple = (), seed: int = 0) -> dict:
    continuations = collect_continuations([item, *items], [1, 2, 3], prompts.sequence_joiner, seed)
    return draw_question(item, hops, prompts, source, continuations, seed).grpo_row(prompts).to_json()


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_row_asks_for_the_events_after_the_split(make_record: Make, prompts: Prompts, hops: int) -> None:
    record = make_record(1)
    row = ask(as_item(record), hops, prompts)
    first_line = row["problem"].splitlines()[0].removeprefix("<video>")
    options = options_of(row)
    assert first_line in prompts.question_pools.next_event_mc[hops]
    assert options[row["answer"]] == JOINER.join(
        ["Event 3 of 1", *(f"event {scene} of 1" for scene in range(4, 3 + hops))]
    )
    assert list(options) == ["A", "B", "C", "D"]
    assert len(set(options.values())) == 4
    for first, *others in (text.split(JOINER) for text in options.values()):
        assert first in {f"Event {scene} of 1" for scene in range(1, 6)}
        assert set(others) <= {f"event {scene} of 1" for scene in range(1, 6)}
        assert len(others) == hops - 1
    assert row["problem"].endswith(prompts.instructions.reason)
    assert {key: row[key] for key in ("id", "video_id", "source", "view", "videos", "kind", "part")} == {
        "id": f"{record.id}-hop{hops}",
        "video_id": record.id,
        "source": "youtube",
        "view": "first",
        "videos": [f"segments/first/{record.id}.mp4"],
        "kind": f"hop{hops}",
        "part": "train",
    }


def test_a_row_has_the_events_of_the_second_part_where_the_recipe_asks_for_them(
    make_record: Make, prompts: Prompts
) -> None:
    record = make_record(1)
    item = Item(record, "train", {"first": "segments/first/a.mp4", "full": "a.mp4"})
    continuations = collect_continuations([item], [1], prompts.sequence_joiner, 0)
    question = draw_question(item, 1, prompts, "same_video", continuations, 0)
    plain, chained = (question.grpo_row(prompts, chains).to_json() for chains in (False, True))
    assert chained == {**plain, "events": [f"Event {scene} of 1." for scene in (3, 4, 5)]}
    assert "events" not in replace(question, view="full").grpo_row(prompts, True).to_json()
    assert events_after(make_record(1, split_scene=None)) == ()


def test_the_right_letter_is_uniform(make_record: Make, prompts: Prompts) -> None:
    counts = Counter(ask(as_item(make_record(number)), 1, prompts)["answer"] for number in range(2000))
    assert set(counts) == set("ABCD")
    # Chi-squared with 3 degrees of freedom: above 16.3 once in a thousand.
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 16.3


def test_the_seed_changes_the_draw_and_nothing_else_does(make_record: Make, prompts: Prompts) -> None:
    items = [as_item(make_record(number)) for number in range(40)]
    rows = [ask(item, 2, prompts, seed=1) for item in items]
    assert rows == [ask(item, 2, prompts, seed=1, items=tuple(items[:5])) for item in items]
    assert rows != [ask(item, 2, prompts, seed=2) for item in items]


def test_options_that_read_the_same_are_one(make_record: Make, prompts: Prompts) -> None:
    texts = ["The lamp lights up.", "A cup falls", "the lamp  lights UP", "A cup falls.", "A key", "A hat"]
    events = [{"scene": scene, "description": text} for scene, text in enumerate(texts, start=1)]
    for number in range(30):
        options = options_of(ask(as_item(make_record(number, events=events)), 1, prompts))
        assert len({" ".join(text.casefold().split()) for text in options.values()}) == 4


def test_too_few_own_events_are_filled_up_from_the_same_source(make_record: Make, prompts: Prompts) -> None:
    few = make_record(1, split_scene=1, events=[{"scene": s, "description": f"Own {s}."} for s in (1, 2)])
    others = tuple(as_item(make_record(number)) for number in (2, 3, 4))
    strangers = tuple(as_item(make_record(number, source="ego4d")) for number in range(5, 9))
    options = options_of(ask(as_item(few), 1, prompts, items=others + strangers))
    assert {"Own 1", "Own 2"} < set(options.values())
    assert len(set(options.values()) & {f"Event 3 of {number}" for number in (2, 3, 4)}) == 2
    with pytest.raises(LeftOut, match="too_few_distractors"):
        ask(as_item(few), 1, prompts, items=strangers)


def test_other_videos_give_what_came_next_there(make_record: Make, prompts: Prompts) -> None:
    items = tuple(as_item(make_record(number)) for number in range(2, 30))
    row = ask(as_item(make_record(1)), 2, prompts, "other_videos", items)
    options = options_of(row)
    wrong = {text for letter, text in options.items() if letter != row["answer"]}
    assert wrong <= {f"Event 3 of {number}; then event 4 of {number}" for number in range(2, 30)}
    with pytest.raises(LeftOut, match="too_few_distractors"):
        ask(as_item(make_record(1)), 2, prompts, "other_videos", items[:2])


def test_validation_texts_are_not_in_training_questions(make_record: Make, prompts: Prompts) -> None:
    held = tuple(as_item(make_record(number), "validation") for number in range(2, 20))
    with pytest.raises(LeftOut, match="too_few_distractors"):
        ask(as_item(make_record(1)), 1, prompts, "other_videos", held)


def test_a_new_record_changes_few_distractors(make_record: Make, prompts: Prompts) -> None:
    items = [as_item(make_record(number)) for number in range(200)]
    extra = as_item(make_record(999))
    before = collect_continuations(items, [1], JOINER, 0)
    after = collect_continuations([*items, extra], [1], JOINER, 0)
    changed = sum(
        draw_question(item, 1, prompts, "other_videos", before, 0)
        != draw_question(item, 1, prompts, "other_videos", after, 0)
        for item in items
    )
    assert 1 <= changed <= 8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split_scene": None}, "no_split_scene"),
        ({"split_scene": 5}, "too_few_events_after_split"),
        ({"split_scene": 4}, "too_few_events_after_split"),
        ({"events": []}, "too_few_events_after_split"),
    ],
)
def test_a_record_without_the_events_is_left_out(
    make_record: Make, prompts: Prompts, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LeftOut, match=reason):
        ask(as_item(make_record(1, **changes)), 2, prompts)


def test_a_gap_in_the_scenes_is_not_jumped(make_record: Make) -> None:
    events = [{"scene": scene, "description": f"E{scene}"} for scene in (1, 2, 3, 5)]
    record = make_record(1, events=events)
    assert next_events(record, 1) == ["E3"]
    assert next_events(record, 2) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The caf\u00e9 opens", "The cafe\u0301 opens", True),
        ("She says \u201cgo\u201d", 'She says "go"', True),
        ("It\u2019s red", "It's red", True),
        ("The egg falls!", "The egg falls.", True),
        ("The egg, then the pan", "the EGG then\u00a0the  pan", True),
        ("a well-known cook", "a well\u2013known cook", True),
        ("a well-known cook", "a well known cook", True),
        ("\uff21 \ufb01sh", "A fish", True),
        ("Wait\u2026", "Wait ...", True),
        ("The egg falls", "The egg fell", False),
        ("1.5 cups", "15 cups", False),
        ("at 3:20", "at 32:0", False),
        ("-5 degrees", "5 degrees", False),
        ("C++", "C", False),
        ("?", "!", False),
        ("cafe", "caf\u00e9", False),
    ],
)
def test_what_two_options_say_is_compared(one: str, other: str, same: bool) -> None:
    assert (folded(one) == folded(other)) is same


def test_similar_length_is_by_words() -> None:
    assert is_similar_length("a b", "a b c d e")
    assert not is_similar_length("a b", "a b c d e f")
    assert is_similar_length("w " * 20, "w " * 30)
    assert not is_similar_length("w " * 20, "w " * 31)


def test_the_ring_goes_once_round_without_the_record_itself(make_record: Make) -> None:
    records = [make_record(number) for number in range(6)]
    continuations = Continuations(0)
    for record in records:
        continuations.add(record, "hop1", record.id)
    continuations.seal()
    for record in records:
        found = list(continuations.after(record, "hop1"))
        assert sorted(found) == sorted(other.id for other in records if other.id != record.id)


def test_the_truth_is_arranged_at_its_letter() -> None:
    assert arrange("t", ["1", "2", "3"], "C") == {"A": "1", "B": "2", "C": "t", "D": "3"}


def told(make_record: Make, number: int, length: int, source: str = "youtube") -> Item:
    """A video whose second part is told in `length` words of its own."""
    return as_item(make_record(number, source=source, caption_part2=f"{'w ' * (length - 1)}n{number}."))


def ask_for_caption(items: list[Item], item: Item, prompts: Prompts, seed: int = 0) -> Any:
    return draw_caption_question(item, prompts, collect_continuations(items, [], JOINER, seed), seed)


def test_a_caption_question_has_captions_of_other_videos_of_the_source(make_record: Make, prompts: Prompts) -> None:
    items = [told(make_record, number, 8 + number % 3) for number in range(60)]
    strangers = [told(make_record, number, 9, "ego4d") for number in range(60, 90)]
    row = ask_for_caption(items + strangers, items[5], prompts).grpo_row(prompts).to_json()
    options = options_of(row)
    assert options[row["answer"]] == items[5].record.caption_part2
    assert set(options.values()) <= {item.record.caption_part2 for item in items}
    assert len(set(options.values())) == 4
    assert row["problem"].splitlines()[0].removeprefix("<video>") in prompts.question_pools.next_caption_mc
    assert (row["id"], row["kind"], row["view"]) == (f"{items[5].record.id}-caption", "caption", "first")


def test_a_caption_question_needs_a_caption_and_neighbours(make_record: Make, prompts: Prompts) -> None:
    without = as_item(make_record(1, caption_part2=None))
    with pytest.raises(LeftOut, match="no_caption_part2"):
        ask_for_caption([without], without, prompts)
    far = [told(make_record, 2, 5), *(told(make_record, number, 40) for number in range(3, 30))]
    with pytest.raises(LeftOut, match="too_few_distractors"):
        ask_for_caption(far, far[0], prompts)


def test_the_truth_is_as_often_the_longest_option_as_the_shortest(make_record: Make, prompts: Prompts) -> None:
    random = stable_random("lengths")
    captions = [f"{'w ' * random.randrange(10, 30)}{'x' * random.randrange(40)}{number}." for number in range(1200)]
    items = [as_item(make_record(number, caption_part2=caption)) for number, caption in enumerate(captions)]
    continuations = collect_continuations(items, [], JOINER, 0)
    places: Counter[int] = Counter()
    for item in items:
        try:
            question = draw_caption_question(item, prompts, continuations, 0)
        except LeftOut:
            continue
        lengths = sorted(map(len, question.options.values()))
        assert broken_bound(question.text, list(question.options.values())) is None
        if len(set(lengths)) == 4:
            places[lengths.index(len(question.options[question.letter]))] += 1
    total = sum(places.values())
    assert total > 600
    # Chi-squared with 3 degrees of freedom: above 16.3 once in a thousand.
    assert sum((places[place] - total / 4) ** 2 / (total / 4) for place in range(4)) < 16.3


def test_texts_of_one_length_are_no_obstacle() -> None:
    assert around_the_truth("What next?", "t t", ["T  t", "a a", "b b", "c c", "d d"], 1) == ["a a", "b b", "c c"]


def test_no_option_stands_out_by_its_form(make_record: Make, prompts: Prompts) -> None:
    texts = ["One two three", "Four", "One " * 40, "Five six", "Seven eight nine", "Ten", "One " * 30]
    events = [{"scene": scene, "description": text} for scene, text in enumerate(texts, start=1)]
    for number in range(40):
        record = make_record(number, events=events, split_scene=1 + number % 2)
        try:
            question = draw_question(as_item(record), 1, prompts, "same_video", Continuations(0), 0)
        except LeftOut as reason:
            assert (reason.reason, number % 2) == ("too_few_distractors", 1)
            continue
        assert broken_bound(question.text, list(question.options.values())) is None


@pytest.mark.parametrize(
    ("options", "broken"),
    [
        (["a", "b", "c", "d"], None),
        (["a", "b", "c", "d d d d"], None),
        (["a", "b", "c", "d d d d d"], "option_length"),
        (["the pan", "a", "b", "c"], None),
        (["the pan the stove", "a b", "b c", "c d"], None),
        (["she puts the pan", "a", "b", "c"], "option_overlap"),
    ],
)
def test_bounds_of_one_question(options: list[str], broken: str | None) -> None:
    assert broken_bound("Where does she put the pan, puts she it there?", options) == broken


def test_overlap_counts_different_words_without_case() -> None:
    assert overlap("Does the Cat see the cat?", "The cat, the CAT") == 2


def test_distractors_are_looked_for_among_a_bounded_number_of_videos(make_record: Make) -> None:
    continuations = Continuations(0)
    for number in range(NEIGHBOURS + 50):
        continuations.add(make_record(number), "hop1", str(number))
    continuations.seal()
    assert NEIGHBOURS - 1 <= len(list(continuations.after(make_record(1), "hop1"))) <= NEIGHBOURS
