"""Typed answers of a real HTTP server, kept and paid for once."""

import asyncio
import logging
import multiprocessing
import stat
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import ValidationInfo, model_validator
from support.annotator import ANSWERS, Annotator, Noise, Seen
from support.asking import IMPATIENT, KEY, SeenLamps, endpoint, question, world

from nep.ask.asker import Asker, for_each
from nep.ask.body import body_of, key_of
from nep.ask.request import EndpointDownError, Frame, Request, Unanswered
from nep.ask.sender import MOST_TRIES
from nep.ask.spending import Usage
from nep.config.asked_endpoint import AskedEndpoint
from nep.errors import InputError
from nep.rows.quarantine import Reason


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)


def ask_all(
    asked: AskedEndpoint, cache: Path, requests: Iterable[Request], **how: Any
) -> tuple[list[SeenLamps | Unanswered], dict[str, Usage]]:
    """Answers, or why there is none, in the order of the requests; and what was used."""

    async def work() -> tuple[list[SeenLamps | Unanswered], dict[str, Usage]]:
        async with Asker(asked, cache, patience=IMPATIENT, **how) as asker:

            async def one(request: Request) -> SeenLamps | Unanswered:
                try:
                    return await asker.ask(request)
                except Unanswered as reason:
                    return reason

            return await for_each(requests, one, at_once=16), asker.usage

    return asyncio.run(work())


def truth(number: int) -> SeenLamps:
    return SeenLamps(colours=world(number).events[:4])


@pytest.mark.parametrize("structured", ["json_schema", "validate"])
def test_an_answer_comes_from_the_frames_and_is_paid_for_once(tmp_path: Path, structured: str) -> None:
    with Annotator(key=KEY) as annotator:
        asked = endpoint(annotator, structured=structured, price_in=1e6, price_out=1e6)
        requests = [question(number) for number in range(4)]
        answers, usage = ask_all(asked, tmp_path, requests)
        assert answers == [truth(number) for number in range(4)]
        assert usage["lamps"].requests == annotator.requests == 4
        assert usage["lamps"].money == usage["lamps"].prompt_tokens + usage["lamps"].completion_tokens > 0

        again, usage = ask_all(asked, tmp_path, [*requests, question(5)])
        assert again == [*answers, truth(5)]
        assert annotator.requests == 5
        assert usage["lamps"].cached == 4 and usage["lamps"].requests == 5, "earlier starts' money counts"


def test_the_same_question_at_the_same_time_is_paid_for_once(tmp_path: Path) -> None:
    with Annotator() as annotator:
        answers, usage = ask_all(endpoint(annotator), tmp_path, [question(1)] * 8)
        assert answers == [truth(1)] * 8
        assert (annotator.requests, usage["lamps"].cached) == (1, 7)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("system", {"system": "You look."}),
        ("content", {"content": (*question(1).content, "!")}),
        ("temperature", {"temperature": 0.5}),
        ("max_tokens", {"max_tokens": 90}),
        ("sample", {"sample": 1}),
    ],
)
def test_what_decides_an_answer_asks_anew(name: str, changes: dict[str, Any]) -> None:
    asked = AskedEndpoint(url="http://localhost/v1", model="a")
    assert key_of(asked, question(1, **changes)) != key_of(asked, question(1)), name


def test_a_frame_a_schema_a_model_and_a_parameter_ask_anew_a_step_and_an_address_do_not() -> None:
    asked = AskedEndpoint(url="http://localhost/v1", model="a")
    first = question(1)
    content = [*first.content]
    content[2] = Frame(content[2].jpeg + b"\0")
    keys = {
        key_of(asked, first),
        key_of(asked, replace(first, content=tuple(content))),
        key_of(asked, replace(first, answer=CheckedLamps)),
        key_of(asked.model_copy(update={"model": "b"}), first),
        key_of(asked.model_copy(update={"structured": "validate"}), first),
        key_of(asked.model_copy(update={"parameters": {"seed": 1}}), first),
    }
    assert len(keys) == 6
    elsewhere = asked.model_copy(update={"url": "http://other/v1", "concurrent": 1, "max_reasks": 0})
    assert key_of(elsewhere, replace(first, step="other", context={"most": 1})) == key_of(asked, first)


class CheckedLamps(SeenLamps):
    """Lamps of which the context allows no more than `most`."""

    @model_validator(mode="after")
    def _few(self, info: ValidationInfo) -> Self:
        if len(self.colours) > info.context["most"]:
            raise ValueError(f"{len(self.colours)} lamps, should be at most {info.context['most']}")
        return self


def test_a_kept_answer_is_checked_again_and_asked_for_again_with_its_fault(tmp_path: Path) -> None:
    def few(seen: Seen) -> dict[str, Any]:
        told = [message["content"] for message in seen.body["messages"]][-1]
        colours = [event.colour for event in seen.events]
        return {"colours": colours[:2] if "at most 2" in told else colours}

    with Annotator(answers={"CheckedLamps": few}, remember=True) as annotator:
        checked = replace(question(1), answer=CheckedLamps)
        ask_all(endpoint(annotator), tmp_path, [replace(checked, context={"most": 4})])
        for _ in range(2):
            answers, _ = ask_all(endpoint(annotator), tmp_path, [replace(checked, context={"most": 2})])
            assert answers == [CheckedLamps.model_construct(colours=truth(1).colours[:2])]
        assert annotator.requests == 2
        assert [message["role"] for message in annotator.bodies[1]["messages"]] == [
            *("system", "user", "assistant", "user")
        ]
        # Of several that suit, the first one counts.
        answers, _ = ask_all(endpoint(annotator), tmp_path, [replace(checked, context={"most": 4})])
        assert (len(answers[0].colours), annotator.requests) == (4, 2)


def test_noise_of_every_kind_ends_in_the_same_answers(tmp_path: Path) -> None:
    """A fifth fails, storms of 429, broken JSON and wrong forms: every question is answered, nothing is kept twice."""
    noise = Noise(failures=0.2, storm_every=25, storm_length=6, broken_json=0.1, wrong_form=0.1)
    numbers = range(40)
    with Annotator(noise) as annotator:
        asked = endpoint(annotator, max_reasks=6)
        answers, usage = ask_all(asked, tmp_path, map(question, numbers))
        assert answers == [truth(number) for number in numbers]
        statuses = annotator.statuses
        assert statuses[500] > 3 and statuses[429] > 3
        used = usage["lamps"]
        assert used.retries == statuses[500] + statuses[429]
        assert used.requests == statuses[200] == len(numbers) + used.reasks
        assert used.reasks > 3
        before = annotator.requests
        assert ask_all(asked, tmp_path, map(question, numbers))[0] == answers
        assert annotator.requests == before


@pytest.mark.parametrize(
    ("noise", "reason", "requests"),
    [
        (Noise(broken_json=1), Reason.ANSWER_INVALID, 3),
        (Noise(wrong_form=1), Reason.ANSWER_INVALID, 3),
        (Noise(truncated=1), Reason.ANSWER_TRUNCATED, 1),
        (Noise(refused=1), Reason.ANSWER_REFUSED, 1),
    ],
)
def test_what_cannot_be_used_is_one_questions_problem_and_never_kept(
    tmp_path: Path, noise: Noise, reason: Reason, requests: int
) -> None:
    with Annotator(noise) as annotator:
        answers, usage = ask_all(endpoint(annotator), tmp_path, [question(1)])
        assert answers[0].reason is reason
        assert annotator.requests == usage["lamps"].requests == requests, "what was charged is counted"
        assert not list(tmp_path.glob("ask/*/*"))
        annotator.noise = Noise()
        assert ask_all(endpoint(annotator), tmp_path, [question(1)])[0] == [truth(1)]


def test_a_stalled_request_is_given_up_and_sent_again(tmp_path: Path) -> None:
    stalls = Noise(stalls=0.15, stall_s=3, seed=3)
    with Annotator(stalls) as annotator:
        answers, usage = ask_all(endpoint(annotator, timeout_s=1), tmp_path, map(question, range(12)))
        assert answers == [truth(number) for number in range(12)]
        assert usage["lamps"].retries > 0


def test_a_request_that_always_fails_is_one_questions_problem(tmp_path: Path) -> None:
    class OneFails(Noise):
        def hits(self, share: float, kind: str, *what: object) -> bool:
            return kind == "failure" and what[0] == bad

    with Annotator() as annotator:
        asked = endpoint(annotator)
        bad = Seen(body_of(asked, question(7))).identity
        annotator.noise = OneFails()
        others = [question(number, sample=sample) for sample in range(2) for number in range(10) if number != 7]
        answers, _ = ask_all(asked, tmp_path, [question(7), *others])
        assert answers[0].reason is Reason.ANSWER_FAILED
        assert "status 500" in answers[0].detail
        assert all(isinstance(answer, SeenLamps) for answer in answers[1:])
        assert annotator.statuses[500] == MOST_TRIES


@pytest.mark.parametrize("noise", [Noise(failures=1), Noise(storm_every=1, storm_length=1)])
def test_an_endpoint_that_stays_down_ends_the_run_and_everything_is_kept(tmp_path: Path, noise: Noise) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, down_after_s=1)
        ask_all(asked, tmp_path, map(question, range(5)))
        annotator.noise = noise
        with pytest.raises(EndpointDownError, match=r"scripted: no answer in 1 s .*Every answer so far is kept"):
            ask_all(asked, tmp_path, map(question, range(50)))
        annotator.noise = Noise()
        before = annotator.requests
        ask_all(asked, tmp_path, map(question, range(10)))
        assert annotator.requests == before + 5


def test_an_endpoint_that_nobody_serves_ends_the_run(tmp_path: Path) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, down_after_s=1)
    with pytest.raises(EndpointDownError, match="no connection"):
        ask_all(asked, tmp_path, [question(1)])


def test_a_rest_longer_than_the_patience_ends_the_run_at_once(tmp_path: Path) -> None:
    with Annotator(Noise(storm_every=1, storm_length=1, retry_after_s=7200)) as annotator:
        with pytest.raises(EndpointDownError, match="to be asked again in 7200 s"):
            ask_all(endpoint(annotator), tmp_path, [question(1)])
        assert annotator.requests == 1


def test_retry_after_holds_back_every_request(tmp_path: Path) -> None:
    with Annotator(Noise(storm_every=1000, storm_length=1, retry_after_s=0.4)) as annotator:
        ask_all(endpoint(annotator, concurrent=1), tmp_path, map(question, range(4)))
        assert annotator.times[1] - annotator.times[0] >= 0.4
        assert annotator.requests == 5


def test_requests_that_an_endpoint_does_not_take_end_the_run_where_none_is_taken(tmp_path: Path) -> None:
    with Annotator(answers={}) as annotator:
        with pytest.raises(EndpointDownError, match=r"none of the first 20 requests was taken.*SeenLamps"):
            ask_all(endpoint(annotator), tmp_path / "a", map(question, range(30)))
        assert annotator.requests < 30 + 16
    with Annotator(answers=dict(ANSWERS)) as annotator:
        ask_all(endpoint(annotator), tmp_path / "b", [question(99)])
        unknown = [replace(question(number), answer=CheckedLamps) for number in range(30)]
        answers, _ = ask_all(endpoint(annotator), tmp_path / "b", unknown)
        assert {answer.reason for answer in answers} == {Reason.ANSWER_FAILED}


def test_a_refused_key_ends_the_run_and_the_key_is_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Annotator(key="another") as annotator:
        with pytest.raises(EndpointDownError, match=r"refuses every request .*\[TEST_KEY\].*key in TEST_KEY") as caught:
            ask_all(endpoint(annotator), tmp_path, [question(1)])
        assert annotator.requests == 1
    with Annotator(key=KEY) as annotator:
        asked = endpoint(annotator, max_reasks=0)
        ask_all(asked, tmp_path, [question(1)])
        annotator.noise = Noise(broken_json=1)
        refused, _ = ask_all(asked, tmp_path, [question(2)])
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 2
    assert KEY.encode() not in b"".join(written)
    assert "HTTP Request" in caplog.text
    assert KEY not in "".join((*capfd.readouterr(), caplog.text, str(caught.value), str(refused), repr(asked)))


def test_without_a_key_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with Annotator() as annotator:
        with pytest.raises(InputError, match="the environment has no TEST_KEY"):
            ask_all(endpoint(annotator), tmp_path, [question(1)])
        assert annotator.requests == 0


def test_a_cap_stops_before_it_is_passed_and_counts_earlier_starts(tmp_path: Path) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, price_out=1e6, max_cost=300)
        with pytest.raises(EndpointDownError, match=r"max_cost.* raise max_cost and start again"):
            ask_all(asked, tmp_path, map(question, range(100)))
        first = annotator.requests
        with pytest.raises(EndpointDownError, match="max_cost"):
            ask_all(asked, tmp_path, map(question, range(100)))
        assert annotator.requests == first
        # An answer costs 12 and may cost 100.
        _, usage = ask_all(asked, tmp_path, [])
        assert 200 < usage["lamps"].money <= 300
        _, usage = ask_all(asked.model_copy(update={"max_cost": 1e6}), tmp_path, map(question, range(first + 16)))
        assert usage["lamps"].cached == first, "every answer that was paid for is kept"


def test_an_endpoint_that_counts_no_tokens_cannot_pass_the_cap_unseen(tmp_path: Path) -> None:
    with Annotator() as annotator:
        counting = annotator.reply

        def silent(body: dict[str, Any], key: str | None) -> tuple[int, dict[str, str], dict[str, Any]]:
            status, headers, content = counting(body, key)
            return status, headers, {**content, "usage": None}

        annotator.reply = silent
        asked = endpoint(annotator, price_out=1e6, max_cost=200)
        with pytest.raises(EndpointDownError, match="max_cost"):
            ask_all(asked, tmp_path, map(question, range(40)))
        _, usage = ask_all(asked, tmp_path, [])
        assert 100 < usage["lamps"].money <= 200
        assert usage["lamps"].prompt_tokens > 4 * 1000 * usage["lamps"].requests, "a frame is taken for 1,000 tokens"


def test_shards_share_cap_and_requests_at_once(tmp_path: Path) -> None:
    with Annotator(Noise(stalls=1, stall_s=0.02)) as annotator:
        asked = endpoint(annotator, price_out=1e6, max_cost=400, concurrent=4)
        for part in range(2):
            with pytest.raises(EndpointDownError, match="max_cost"):
                ask_all(asked, tmp_path, [question(n, sample=part) for n in range(30)], share=2, part=part)
            _, usage = ask_all(asked, tmp_path, [], share=2, part=part)
            assert 100 < usage["lamps"].money <= 200
        assert annotator.most_at_once == 2
        # What two shards have spent counts for one as well.
        with pytest.raises(EndpointDownError, match=r"[23][0-9]{2}\..* of 400"):
            ask_all(asked, tmp_path, [question(n, sample=5) for n in range(30)])
        with pytest.raises(InputError, match="5 shards cannot share 4 requests"):
            ask_all(asked, tmp_path, [question(1)], share=5)


def test_shards_share_the_requests_a_minute(tmp_path: Path) -> None:
    with Annotator() as annotator:
        ask_all(endpoint(annotator, requests_per_minute=2400), tmp_path, map(question, range(12)), share=2)
        times = annotator.times
        # 20 a second for each: 11 gaps.
        assert times[-1] - times[0] >= 11 / 20 * 0.95


def test_tokens_a_minute_hold_after_the_first_answers(tmp_path: Path) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, tokens_per_minute=1_000_000, concurrent=4)
        _, usage = ask_all(asked, tmp_path, map(question, range(20)))
        used = usage["lamps"].prompt_tokens + usage["lamps"].completion_tokens
        seconds = annotator.times[-1] - annotator.times[0]
        # All but the last one; requests come a little later than they are sent, the first more than others.
        assert used * 19 / 20 / seconds * 60 <= 1_050_000


def test_the_store_shares_answers_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir(mode=0o770)
    (tmp_path / "store").chmod(0o770)
    monkeypatch.setenv("NEP_STORE", str(tmp_path / "store"))
    with Annotator() as annotator:
        ask_all(endpoint(annotator), tmp_path / "one", [question(1)])
        _, usage = ask_all(endpoint(annotator), tmp_path / "two", [question(1)])
        assert (annotator.requests, usage["lamps"].cached, usage["lamps"].requests) == (1, 1, 0)
    made = list((tmp_path / "store").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o770}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o440}


def test_a_killed_process_loses_at_most_the_answers_under_way(tmp_path: Path) -> None:
    with Annotator(Noise(stalls=1, stall_s=0.02)) as annotator:
        asked = endpoint(annotator, concurrent=4)
        child = multiprocessing.get_context("fork").Process(
            target=ask_all, args=(asked, tmp_path, map(question, range(500)))
        )
        child.start()
        while annotator.statuses[200] < 40:
            time.sleep(0.01)
        child.kill()
        child.join()
        answered = annotator.statuses[200]
        assert answered < 500
        # for_each takes 16 at a time, so that later ones may have been answered first.
        _, usage = ask_all(asked, tmp_path, map(question, range(answered + 16)))
        assert usage["lamps"].cached >= answered - asked.concurrent


def test_for_each_takes_few_at_a_time_and_another_error_ends_it_at_once() -> None:
    taken: list[int] = []

    def items() -> Iterable[int]:
        for number in range(100):
            taken.append(number)
            yield number

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        if number == 20:
            raise InputError("stop")
        return number

    with pytest.raises(InputError, match=r"^stop$"):
        asyncio.run(for_each(items(), work, at_once=4))
    assert len(taken) < 40
