"""A run with demo videos whose questions are reviewed, and its server."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.own_benchmark_run import own_question, write_questions

from nep.config.demo_videos import DemoVideos
from nep.demo.hub_layout import DemoVideo, encode_video
from nep.demo.world import draw_scenario
from nep.own_benchmark.decisions import Decision, read_decisions
from nep.own_benchmark.rows import OwnQuestion
from nep.review.parts import Parts
from nep.review.server import Review, review_server
from nep.review.session import Session, read_questions
from nep.web.handler import address_of

SPEC = DemoVideos(train=1, test=1, size=224)


@dataclass(frozen=True)
class Served:
    """A review that is under way."""

    address: str
    session: Session

    @property
    def decisions(self) -> dict[str, Decision]:
        """What is in the reviewer's file, by question."""
        file = self.session.file
        return dict(read_decisions([file]).get(self.session.reviewer, {})) if file.exists() else {}


def demo_question(number: int, **changes: str) -> OwnQuestion:
    """A question about the next two lamps of a demo video."""
    world = draw_scenario(random.Random(f"review/{number}"))
    runs = [world.after[:2], world.after[1::-1], [world.after[1], world.after[2]], [world.after[2], world.after[0]]]
    letters = "BCAD"
    options = {
        letter: f"First the {a} lamp lights up, then the {b} one." for letter, (a, b) in zip(letters, runs, strict=True)
    }
    return own_question(
        number,
        cut=round(world.split_time, 3),
        kind="hop2",
        question=changes.get("question", "Which two lamps light up next, and in which order?"),
        options=dict(sorted(options.items())),
        answer="B",
        happens=tuple(f"The {colour} lamp lights up." for colour in world.after[:2]),
        video_path=changes.get("video_path", f"clip{number}.mp4"),
    )


def write_demo_run(root: Path, questions: list[OwnQuestion]) -> Path:
    """The run: question number N is about demo video N; a video of another name has no film in it."""
    write_questions(root / "questions" / "to_review.jsonl", questions)
    videos = root / "download" / "videos"
    videos.mkdir(parents=True)
    for number, question in enumerate(questions):
        made = DemoVideo(number, draw_scenario(random.Random(f"review/{number}")))
        is_made = question.video_path == f"clip{number}.mp4"
        (videos / question.video_path).write_bytes(encode_video(made, SPEC) if is_made else b"no film")
    return root


@contextmanager
def served(root: Path, file: Path, reviewer: str = "anna", others: tuple[Path, ...] = ()) -> Iterator[Served]:
    """The review of a run by one reviewer."""
    session = Session(read_questions(root / "questions" / "to_review.jsonl"), reviewer, file, others)
    review = Review(session, Parts(root / "download" / "videos", root / "work" / "review"), "kitchen")
    with review_server(review) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield Served(address_of(server, review.token), session)
        server.shutdown()
