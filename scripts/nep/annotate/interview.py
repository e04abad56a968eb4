"""Questions about one video: the function of each step."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nep.annotate import steps
from nep.annotate.answers import (
    Caption,
    CausalAnalysis,
    Critique,
    CutPlan,
    Prediction,
    Shown,
    SplitCaptions,
    WatchedEvents,
)
from nep.annotate.frames import even_times
from nep.annotate.rows import TimedEvent
from nep.annotate.steps import Step
from nep.ask.asker import Asker
from nep.ask.request import A, Frame, Request
from nep.config.annotate import Annotate
from nep.shots.rows import VideoShots


class Interview:
    """Questions about one video; `read` gives its frames at times, and may block.

    Each function of a step raises Unanswered where the model gives no answer that can be used.
    """

    def __init__(
        self,
        video: VideoShots,
        annotate: Annotate,
        prompts: Mapping[str, str],
        askers: tuple[Asker, Asker],
        read: Callable[[Sequence[float]], list[Frame]],
        reading: asyncio.Semaphore,
    ) -> None:
        self.video = video
        self.annotate = annotate
        self._prompts = prompts
        self._text, self._vision = askers
        self._read = read
        self._reading = reading
        self._whole: list[str | Frame] = []

    async def ask(self, step: Step[A], *content: str | Frame, **context: Any) -> A:
        """The answer to one step."""
        request = Request(
            step=step.name,
            system=self._prompts[step.name],
            content=content,
            answer=step.answer,
            max_tokens=self.annotate.max_answer_tokens,
            temperature=self.annotate.temperature,
            context=context,
        )
        return await (self._vision if step.sees else self._text).ask(request)

    @property
    def spacing(self) -> float:
        """Seconds between frames of the whole video."""
        return self.video.duration / self._frames

    @property
    def _frames(self) -> int:
        return min(self.annotate.frames, self.video.frames)

    async def whole(self) -> list[str | Frame]:
        """Frames of the whole video, each after its time, and the length; read once."""
        if not self._whole:
            duration = self.video.duration
            frames = await self.shown(0, duration, self._frames)
            self._whole = [*frames, _length(duration)]
        return self._whole

    async def shown(self, start: float, end: float, count: int) -> list[str | Frame]:
        """Frames from `start` to `end` (seconds), each after its time."""
        times = even_times(start, end, count)
        async with self._reading:
            frames = await asyncio.to_thread(self._read, times)
        return [part for time, frame in zip(times, frames, strict=True) for part in (f"{time:.2f} s:", frame)]


async def caption(asked: Interview) -> Caption:
    """What the whole video shows, and notes with the times at which things happen."""
    return await asked.ask(steps.CAPTION, *await asked.whole())


async def caption_events(asked: Interview, caption: Caption) -> list[TimedEvent]:
    """The events that a caption and its notes tell, with their times."""
    duration = asked.video.duration
    content = (_titled("Caption", caption.caption), _titled("Notes", caption.notes), _length(duration))
    return (await asked.ask(steps.CAPTION_EVENTS, *content, duration=duration)).events


async def causal_analysis(asked: Interview, events: Sequence[TimedEvent]) -> CausalAnalysis:
    """Whether the video can be foretold, and after which scene it is to be cut."""
    return await asked.ask(steps.CAUSAL_ANALYSIS, told(events), scenes=len(events))


async def split_captions(
    asked: Interview, caption: str, events: Sequence[TimedEvent], last_scene: int
) -> SplitCaptions:
    """The caption as two, for the events up to `last_scene` and for those after it."""
    parts = f"The first part ends with Scene {last_scene}, the second one begins with Scene {last_scene + 1}."
    return await asked.ask(steps.SPLIT_CAPTIONS, _titled("Caption", caption), told(events), parts)


async def place_cut(asked: Interview, parts: SplitCaptions) -> float:
    """Seconds from the first frame to the second part."""
    content = (*await asked.whole(), *_captions(parts))
    return (await asked.ask(steps.PLACE_CUT, *content, duration=asked.video.duration)).time_s


async def predict(asked: Interview, first: str) -> Prediction:
    """What comes after a caption of the first part, and why."""
    return await asked.ask(steps.PREDICT, _titled("Caption", first))


async def rewrite(asked: Interview, thought: Prediction) -> Prediction:
    """The same, as of one who has seen the video and no caption."""
    return await asked.ask(
        steps.REWRITE, _titled("Reasoning", thought.reasoning), _titled("Prediction", thought.prediction)
    )


async def watch(asked: Interview) -> WatchedEvents:
    """Caption and timed events from the frames."""
    return await asked.ask(steps.WATCH, *await asked.whole(), duration=asked.video.duration)


async def plan(asked: Interview, watched: WatchedEvents) -> CutPlan:
    """Whether and where to cut, and the captions of both parts."""
    content = (_titled("Caption", watched.caption), told(watched.events))
    return await asked.ask(steps.PLAN, *content, scenes=len(watched.events))


async def foretell(asked: Interview, first: str) -> Prediction:
    """What comes after the first part, and why, as of one who has seen it."""
    return await asked.ask(steps.FORETELL, _titled("First part", first))


async def verify(asked: Interview, parts: SplitCaptions, cut: float) -> Shown:
    """Whether each part shows what its caption says."""
    half = max(1, asked.annotate.frames // 2)
    first, second = _captions(parts)
    first_frames = await asked.shown(0, cut, half)
    second_frames = await asked.shown(cut, asked.video.duration, half)
    return await asked.ask(steps.VERIFY, first, *first_frames, second, *second_frames)


async def critique(asked: Interview, parts: SplitCaptions, thought: Prediction) -> Critique:
    """The prediction, compared with what happened."""
    content = (
        *_captions(parts),
        _titled("Reasoning", thought.reasoning),
        _titled("Prediction", thought.prediction),
    )
    return await asked.ask(steps.CRITIQUE, *content)


async def hindsight(asked: Interview, parts: SplitCaptions) -> str:
    """A reasoning from the first part that leads to what happens in the second one."""
    return (await asked.ask(steps.HINDSIGHT, *_captions(parts))).reasoning


def told(events: Sequence[TimedEvent]) -> str:
    """Events as text, one a line."""
    lines = [
        f"Scene {number} ({event.start:.2f}-{event.end:.2f} s): {event.description}"
        for number, event in enumerate(events, start=1)
    ]
    return "\n".join(["Events:", *lines])


def _captions(parts: SplitCaptions) -> tuple[str, str]:
    return _titled("First part", parts.caption_part1), _titled("Second part", parts.caption_part2)


def _titled(title: str, text: str) -> str:
    return f"{title}:\n{text}"


def _length(duration: float) -> str:
    return f"The video lasts {duration:.2f} s."
