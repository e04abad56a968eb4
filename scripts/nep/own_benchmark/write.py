"""One question: written from events, checked against them, tried without the video, measured with either part.

Each step is one prompt, one typed answer and one function.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nep.annotate.rows import AnnotatedVideo
from nep.ask.asker import Asker
from nep.ask.request import A, Frame, Request
from nep.config.own_benchmark import OwnBenchmark
from nep.data.draw import stable_choice, stable_hash, stable_random
from nep.data.options import arrange
from nep.own_benchmark.answers import ChosenOption, NewDistractors, RightOptions, WrittenQuestion
from nep.own_benchmark.events import Asked, asked_events, events_after, events_before
from nep.own_benchmark.rows import OwnQuestion, Tries, Wording
from nep.rows.quarantine import Reason, Rejection
from nep.rows.question import LETTERS, Kind

Part = Literal["first", "second"]
FramesOf = Callable[[Part], Awaitable[Sequence[Frame]]]

# What the model that writes wrong answers is told of those that it is to replace.
FAULTS = {
    Reason.TWO_RIGHT_OPTIONS: "the events make more than one of the answers right.",
    Reason.SOLVED_WITHOUT_VIDEO: "who has not seen the video tells the right answer from them.",
}


@dataclass(frozen=True)
class Draft:
    """A question on its way; `used`: the wrong answers that it had in the rounds before."""

    id: str
    question: str
    truth: str
    distractors: tuple[str, ...]
    used: tuple[str, ...] = ()
    rounds: int = 0

    def arranged(self, *key: str | int) -> tuple[dict[str, str], str]:
        """Options by letter and the letter of the right one, both drawn by `key`."""
        return self.at(stable_choice(LETTERS, *key, self.id, "position"), *key)

    def at(self, letter: str, *key: str | int) -> tuple[dict[str, str], str]:
        """Options with the right one at `letter`, the others in an order drawn by `key`."""
        others = list(self.distractors)
        stable_random(*key, self.id, "order").shuffle(others)
        return arrange(self.truth, others, letter), letter

    def presentations(self, tries: int) -> list[tuple[dict[str, str], str]]:
        """The forms in which it is tried: the right option stands at each letter equally often.

        Drawn by the id alone, so that another seed asks nothing again.
        """
        first = stable_hash(self.id, "first letter")
        return [self.at(LETTERS[(first + number) % len(LETTERS)], "try", number) for number in range(tries)]


@dataclass(frozen=True)
class Writer:
    """Makes questions about one video; `frames_of` gives the frames of a part that the vision model is shown."""

    text: Asker
    vision: Asker
    frames_of: FramesOf
    prompts: Mapping[str, str]
    how: OwnBenchmark
    seed: int

    async def question(self, video: AnnotatedVideo, kind: Kind) -> OwnQuestion:
        """The question of one kind about a video. Raises Rejection with the gate that it does not pass."""
        asked = asked_events(video, kind)
        draft, text_only = await self._passed(video, await self._written(video, kind, asked))
        return await self._measured(video, kind, asked, draft, text_only)

    async def _written(self, video: AnnotatedVideo, kind: Kind, asked: Asked) -> Draft:
        told = [f"Later event that the question tells: {asked.told}"] if asked.told else []
        request = self._request("write", WrittenQuestion, _story(video), f"Kind of question: {kind}", *told)
        written = await self.text.ask(request)
        return Draft(f"{video.id}-{kind}", written.question, written.answer, tuple(written.distractors))

    async def _passed(self, video: AnnotatedVideo, draft: Draft) -> tuple[Draft, Tries]:
        """The question with wrong answers that pass both gates, new ones after each failure; and its last tries."""
        while True:
            fault = await self._checked(video, draft)
            if fault is None:
                tries = await self._tried(draft, "text_only")
                if tries.right < self.how.solved_from:
                    return draft, tries
                fault = self._solved(draft, tries)
            if draft.rounds == self.how.rounds:
                raise fault
            draft = await self._with_new_distractors(video, draft, fault.reason)

    def _solved(self, draft: Draft, tries: Tries) -> Rejection:
        found = f"right {tries.right} of {tries.asked} times without the video, {self.how.solved_from} are too many"
        return Rejection(Reason.SOLVED_WITHOUT_VIDEO, f"{draft.question!r}: {found}")

    async def _checked(self, video: AnnotatedVideo, draft: Draft) -> Rejection | None:
        """Whether the events make the answer right, and a fault where they make another one right too.

        Raises Rejection (not_what_happens) where the answer is wrong: new wrong answers do not mend that.
        """
        options, letter = draft.arranged("check")
        request = self._request("check", RightOptions, _story(video), _posed(draft, options))
        found = await self.text.ask(request)
        right = sorted(set(found.right))
        if letter not in right:
            raise Rejection(
                Reason.NOT_WHAT_HAPPENS, f"{draft.question!r}: the events do not make {draft.truth!r} right"
            )
        others = [options[other] for other in right if other != letter]
        if others:
            return Rejection(
                Reason.TWO_RIGHT_OPTIONS, f"{draft.question!r}: {draft.truth!r} is right, and {others[0]!r} too"
            )
        return None

    async def _with_new_distractors(self, video: AnnotatedVideo, draft: Draft, fault: Reason) -> Draft:
        used = (*draft.used, *draft.distractors)
        had = "\n".join(["Wrong answers that do not serve:", *(f"- {text}" for text in used)])
        posed = f"Question: {draft.question}\nRight answer: {draft.truth}"
        request = self._request("distract", NewDistractors, _story(video), posed, had, f"Why: {FAULTS[fault]}")
        context = {"question": draft.question, "answer": draft.truth, "used": used}
        found = await self.text.ask(replace(request, context=context))
        return replace(draft, distractors=tuple(found.distractors), used=used, rounds=draft.rounds + 1)

    async def _measured(
        self, video: AnnotatedVideo, kind: Kind, asked: Asked, draft: Draft, text_only: Tries
    ) -> OwnQuestion:
        options, letter = draft.arranged(self.seed)
        without = await self._tried(draft, "without_video")
        first = await self._tried(draft, "first_part", await self.frames_of("first"))
        second = await self._tried(draft, "second_part", await self.frames_of("second"))
        return OwnQuestion(
            id=draft.id,
            video_id=video.id,
            video_path=video.video_path,
            cut=video.cut,
            kind=kind,
            text=Wording(question=draft.question, options=options, answer=letter),
            happens=asked.happens,
            rounds=draft.rounds,
            text_only=text_only,
            without_video=without,
            first_part=first,
            second_part=second,
            visual_gain=second.share - without.share,
        )

    async def _tried(
        self,
        draft: Draft,
        step: Literal["text_only", "without_video", "first_part", "second_part"],
        frames: Sequence[Frame] = (),
    ) -> Tries:
        """Ask the question in all its presentations, in one of the ways."""
        presented = draft.presentations(self.how.tries)
        requests = [self._request(step, ChosenOption, *frames, _posed(draft, options)) for options, _ in presented]
        asker = self.text if step == "text_only" else self.vision
        answers = await _all_of(map(asker.ask, requests))
        right = sum(answer.letter == letter for answer, (_, letter) in zip(answers, presented, strict=True))
        return Tries(right=right, asked=len(presented))

    def _request(self, step: str, answer: type[A], *content: str | Frame) -> Request[A]:
        return Request(
            step=step,
            system=self.prompts["without_video" if step == "text_only" else step],
            content=content,
            answer=answer,
            max_tokens=self.how.max_answer_tokens,
        )


async def _all_of(asked: Iterable[Awaitable[A]]) -> list[A]:
    """All answers; an error is raised when all have ended, so that none that was paid for is lost."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if errors:
        # What ends the run goes before what ends this question.
        raise min(errors, key=lambda error: isinstance(error, Rejection))
    return answers


def _story(video: AnnotatedVideo) -> str:
    """The events of a video as text, those before the cut and those after it."""
    before = _listed("Events before the cut:", events_before(video))
    after = _listed("Events after the cut:", events_after(video))
    return f"{before}\n\n{after}"


def _listed(title: str, events: tuple[str, ...]) -> str:
    lines = [f"{number}. {event}" for number, event in enumerate(events, start=1)]
    return "\n".join([title, *(lines or ["none"])])


def _posed(draft: Draft, options: dict[str, str]) -> str:
    return "\n".join([draft.question, *(f"{letter}. {options[letter]}" for letter in LETTERS)])
