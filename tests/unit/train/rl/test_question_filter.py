"""Questions chosen by what the model answers: the definition, kills, several processes, and runs that use it.

Texts of the tiny model hold no letters, so the judge is one that they can please.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from support.recipes import outputs, short_grpo
from support.thread_context import ThreadContext
from support.training_run import grpo_row

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_text
from nep.model.samples import SampleBuilder
from nep.rows.base import rows_as
from nep.rows.dataset import GrpoRow
from nep.train.rl import question_filter
from nep.train.rl.decoding import decoding_for
from nep.train.rl.grpo import train_grpo
from nep.train.rl.question_filter import Choice, Measured, QuestionFilter
from nep.train.rl.questions import Question, with_part
from nep.train.rl.rollout import Rollout

DIFFICULTY = {"samples": 4, "keep": (0.25, 0.75), "refresh_every": 2}
GRPO = short_grpo(steps=5, checkpoint_minutes=0, validate_every=5, difficulty=DIFFICULTY, kl_coef=0.0)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_filter, "is_accurate", lambda text, answer: len(text) % 3 == 0)


def go_on() -> None:
    """Nothing tells the run to stop."""


def measured_in(parts, folder: Path, grpo: Grpo, distributed=None, start: int = 0) -> Measured:
    folder.mkdir(exist_ok=True)
    decoding = decoding_for(parts.model, parts.processor, 1.0, grpo.max_new_tokens)
    distributed = distributed or ThreadContext(0, 1, [None], Barrier(1))
    rollout = Rollout(decoding, captured=False)
    said = lambda completion: parts.processor.tokenizer.decode(completion.tokens, skip_special_tokens=True)  # noqa: E731
    return Measured(grpo, 0, rollout, parts.visuals, said, distributed, folder, start)


def questions_of(parts) -> list[Question]:
    """The prompts, with another one's video in the place of their second parts; the last one has none."""
    others = [replace(other, id=prompt.id) for prompt, other in zip(parts.prompts, parts.prompts[1:], strict=False)]
    given = zip(parts.prompts, [*others, None], strict=True)
    return [Question(prompt, prompt, {"id": prompt.id, "answer": "A"}, part) for prompt, part in given]


def right_in(folder: Path, purpose: str, step: int = 0) -> dict[str, int]:
    rows = [row for row in read_jsonl(folder / question_filter.LOG) if (row["purpose"], row["step"]) == (purpose, step)]
    return {identity: count for row in rows for identity, count in row["right"].items()}


def test_kept_are_the_questions_within_the_bounds_of_accuracy(parts, tmp_path: Path) -> None:
    grpo, questions = Grpo(**{**GRPO.model_dump(), "visual_gain": None}), questions_of(parts)
    choice = QuestionFilter(grpo, questions, measured_in(parts, tmp_path, grpo)).choose(parts.model, 0, go_on)
    shares = [right_in(tmp_path, "difficulty")[question.prompt.id] / 4 for question in questions]
    assert choice.kept == [place for place, share in enumerate(shares) if 0.25 <= share <= 0.75]
    hard, easy = sum(share < 0.25 for share in shares), sum(share > 0.75 for share in shares)
    assert 0 < hard + easy < len(questions), "the seed must give both kinds"
    assert choice.counts == {
        "questions": len(questions),
        "too_hard": hard,
        "too_easy": easy,
        "kept": len(questions) - hard - easy,
    }


def test_visual_gain_is_the_share_right_with_the_part_less_the_one_without(parts, tmp_path: Path) -> None:
    """The difficulty is then measured of those alone that are worth seeing."""
    values = {**GRPO.model_dump(), "visual_gain": {"samples": 2, "least": 0.5}, "difficulty": {"keep": (0, 1)}}
    grpo, questions = Grpo(**values), questions_of(parts)
    choice = QuestionFilter(grpo, questions, measured_in(parts, tmp_path, grpo)).choose(parts.model, 0, go_on)
    seen, unseen = (right_in(tmp_path, purpose) for purpose in ("seen", "unseen"))
    names = [question.prompt.id for question in questions]
    assert seen.keys() == unseen.keys() == set(names[:-1])
    gains = [(seen[name] - unseen[name]) / 2 for name in names[:-1]]
    assert choice.kept == [place for place, gain in enumerate(gains) if gain >= 0.5] != []
    assert choice.counts["not_seen"] == 1
    assert choice.counts["no_gain"] == sum(gain < 0.5 for gain in gains) > 0
    assert right_in(tmp_path, "difficulty").keys() == {names[place] for place in choice.kept}


def test_two_processes_measure_what_one_does(parts, tmp_path: Path) -> None:
    asked = [(prompt, "A") for prompt in parts.prompts]
    shared, barrier = [None] * 2, Barrier(2)

    def shares(rank: int, size: int) -> list[float]:
        context = ThreadContext(rank, size, shared, barrier) if size > 1 else None
        measured = measured_in(parts, tmp_path / f"of-{size}", GRPO, context)
        return measured.shares(parts.model, 0, "difficulty", asked, 3, go_on)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda rank: shares(rank, 2), range(2)))
    assert both == [shares(0, 1)] * 2


def test_a_measurement_that_was_killed_goes_on_with_what_is_missing(parts, tmp_path: Path) -> None:
    asked = [(prompt, "A") for prompt in parts.prompts]
    whole = measured_in(parts, tmp_path / "whole", GRPO).shares(parts.model, 0, "difficulty", asked, 4, go_on)
    calls: list[int] = []

    def die() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KilledError

    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        measured_in(parts, folder, GRPO).shares(parts.model, 0, "difficulty", asked, 4, die)
    with (folder / question_filter.LOG).open("a") as stream:
        stream.write('{"step": 0, "torn')
    noted = right_in_whole_lines(folder)
    assert len(noted) == 4
    calls.clear()
    again = measured_in(parts, folder, GRPO)
    assert again.shares(parts.model, 0, "difficulty", asked, 4, lambda: calls.append(1)) == whole
    assert len(calls) == 2


def right_in_whole_lines(folder: Path) -> dict[str, int]:
    path = folder / question_filter.LOG
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    write_text(path.with_name("whole.jsonl"), "".join(whole))
    return {key: value for row in read_jsonl(path.with_name("whole.jsonl")) for key, value in row["right"].items()}


def test_what_weights_that_are_gone_should_have_answered_is_refused(parts, tmp_path: Path) -> None:
    asked = [(prompt, "A") for prompt in parts.prompts]
    with pytest.raises(InputError, match=r"measured\.jsonl: 8 of 8 questions have no 'difficulty' of step 2"):
        measured_in(parts, tmp_path, GRPO, start=3).shares(None, 2, "difficulty", asked, 4, go_on)


def test_a_filter_that_leaves_nothing_ends_the_run_with_its_numbers(parts, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(question_filter, "is_accurate", lambda text, answer: False)
    chooser = QuestionFilter(GRPO, questions_of(parts), measured_in(parts, tmp_path, GRPO))
    message = r"step 0: 0 of 8 questions are asked \(too hard 8\): nothing is left to ask; widen difficulty\.keep"
    with pytest.raises(InputError, match=message):
        chooser.choose(parts.model, 0, go_on)


def test_a_run_chooses_anew_where_that_is_due_and_resumes_with_the_same_questions(
    paths_to, tmp_path: Path, torch_settings, monkeypatch
) -> None:
    """Killed three times: while the questions of step 2 are measured, between two choices, and after the last step."""
    whole, killed = paths_to(tmp_path / "whole"), paths_to(tmp_path / "killed")
    train_grpo(GRPO, 1, "nep", whole)
    for kill, step in ((kill_in_measurement, 2), (kill_after_step, 3), (kill_after_step, 5)):
        with monkeypatch.context() as patch:
            kill(patch, step)
            with pytest.raises(KilledError):
                train_grpo(GRPO, 1, "nep", killed)
    train_grpo(GRPO, 1, "nep", killed)
    assert outputs(killed.out) == outputs(whole.out)
    logs = [next(paths.run.glob(f"work/grpo/nep/*/{question_filter.LOG}")).read_text() for paths in (whole, killed)]
    assert logs[0] == logs[1]
    manifest = read_json(whole.out / "manifest.json")
    chosen = manifest["chosen"]
    assert manifest["samples_to_choose"] == 3 * 4 * chosen[0]["questions"]
    assert [row["step"] for row in chosen] == [0, 2, 4]
    kept = [row["kept_questions"] for row in read_jsonl(whole.out / "metrics.jsonl")]
    assert kept == [row["kept"] for row in chosen for _ in range(2)][:5]
    assert min(kept) < chosen[0]["questions"]


def kill_after_step(patch: pytest.MonkeyPatch, steps: int) -> None:
    from nep.train.checkpoint import Checkpoints

    after = Checkpoints.after_step

    def die(self: Checkpoints, step: int, last: int) -> None:
        after(self, step, last)
        if step == steps:
            self.finish()
            raise KilledError

    patch.setattr(Checkpoints, "after_step", die)


def kill_in_measurement(patch: pytest.MonkeyPatch, step: int) -> None:
    counts = Measured._counts
    calls: list[int] = []

    def die(self: Measured, model, at: int, *others) -> list[int]:
        calls.extend([at] * (at == step))
        if len(calls) == 2:
            raise KilledError
        return counts(self, model, at, *others)

    patch.setattr(Measured, "_counts", die)


class WithSecondParts:
    """A cache that has the second part of one video: its first."""

    def __init__(self, cache, video: str) -> None:
        self._cache, self._video = cache, video

    def __contains__(self, key: str) -> bool:
        return key == f"{self._video}/second" or key in self._cache

    def placeholder(self, key: str):
        return self._cache.placeholder(key.replace("second", "first"))


def test_the_second_part_is_shown_with_words_that_say_so(parts) -> None:
    cache = WithSecondParts(parts.cache, "video-0")
    builder: SampleBuilder = SampleBuilder(parts.processor, parts.model, cache)
    rows = rows_as(GrpoRow, [grpo_row("video-0", 0), grpo_row("video-1", 1), grpo_row("video-2", 2)], "")
    grpo = Grpo(visual_gain={"told": "It shows what happens."})
    seen = [with_part(row, parts.prompts[0], grpo, builder, cache) for row in rows]
    assert seen[0].video_keys == ("video-0/second",) and seen[1] is seen[2] is None
    said, plain = (parts.processor.tokenizer.decode(prompt.input_ids) for prompt in (seen[0], parts.prompts[0]))
    assert said.replace("It shows what happens.\n", "") == plain
    assert with_part(rows[0], parts.prompts[0], Grpo(visual_gain={"part": "first"}), builder, cache) is parts.prompts[0]
    whole = replace(rows[1], view="full")
    assert with_part(whole, parts.prompts[1], grpo, builder, cache) is parts.prompts[1]
    assert with_part(rows[0], parts.prompts[0], Grpo(), builder, cache) is None


def test_the_choice_is_told_in_one_line() -> None:
    choice = Choice(50, [0, 1], {"questions": 9, "too_hard": 7, "too_easy": 0, "kept": 2})
    assert str(choice) == "step 50: 2 of 9 questions are asked (too hard 7)"
