"""A checkpoint that predicts: what it sees, what it writes, what sampling decides."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.evaluation_run import write_clip

from nep.config.vision import Vision
from nep.data.prompts import Prompts
from nep.encode.frames import decode_clip
from nep.errors import InputError
from nep.model.resizing import WithinBudget
from nep.predict.ask import Ask, messages_of
from nep.predict.first_part import FirstParts, UnusableVideoError
from nep.predict.local import LocalPredictor, Sampling
from nep.predict.opening import Choice, open_local, open_predictor

VISION = Vision(frames=4, max_pixels=3136)
OPTIONS = ("The ball rolls.", "The door opens.")


@pytest.fixture
def predictor(tiny_checkpoint: Path, prompts: Prompts, parts: FirstParts) -> LocalPredictor:
    return open_local(tiny_checkpoint, VISION, prompts, parts, device="cpu")


def test_it_sees_what_is_shown_before_the_moment(predictor: LocalPredictor, video: Path, tmp_path: Path) -> None:
    clip = predictor.clip(Ask(video, 1.5))
    assert (clip.total, len(clip.frames)) == (18, 4)
    assert clip.pts == pytest.approx((0, 6 / 12, 11 / 12, 17 / 12), abs=1e-3)
    write_clip(tmp_path / "shorter.mp4", 18)
    whole = decode_clip(tmp_path / "shorter.mp4", VISION, WithinBudget(28))
    assert abs(clip.frames.astype(int) - whole.frames).max() <= 2
    assert predictor.clip(Ask(video)).total == 36


def test_a_part_is_cut_once_for_each_content_and_moment(
    parts: FirstParts, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = parts.file(video, 1.5)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    assert parts.file(video, 2.0) != first
    monkeypatch.setattr("nep.predict.first_part.split_video", None)
    assert parts.file(copy, 1.5) == first
    assert sorted(parts.folder.iterdir()) == [parts.folder / "segments"], "nothing else is left"


@pytest.mark.parametrize(
    ("name", "moment", "message"),
    [
        ("missing.mp4", 1.0, "no such file"),
        ("empty.mp4", 1.0, "empty_video"),
        ("lighter.mp4", 99.0, "split_outside_video"),
        ("lighter.mp4", 0.01, "too_few_frames"),
    ],
)
def test_a_video_that_cannot_be_used_is_named(
    predictor: LocalPredictor, video: Path, name: str, moment: float, message: str
) -> None:
    (video.parent / "empty.mp4").touch()
    with pytest.raises(UnusableVideoError, match=f"{name}: .*{message}"):
        predictor.stream(Ask(video.parent / name, moment))


def test_pieces_are_what_generate_gives_for_the_question_alone(
    predictor: LocalPredictor, video: Path, prompts: Prompts
) -> None:
    ask = Ask(video, 1.5, options=OPTIONS, max_new_tokens=9)
    chat = predictor._chat
    tokens = chat.generate(chat.inputs([messages_of(ask, prompts)], [predictor.clip(ask)]), 9)
    stream = predictor.stream(ask)
    pieces = list(stream)
    assert "".join(pieces) == chat.texts(tokens)[0]
    assert len(pieces) > 2 and stream.tokens == tokens.shape[1]


def test_frames_after_the_moment_change_nothing(
    predictor: LocalPredictor, make_pair: Callable[[], tuple[Path, Path]]
) -> None:
    asks = [Ask(path, 1.0, options=OPTIONS, max_new_tokens=6) for path in make_pair()]
    first, other = (predictor.clip(ask) for ask in asks)
    assert first.frames.tobytes() == other.frames.tobytes() and first.pts == other.pts
    assert "".join(predictor.stream(asks[0])) == "".join(predictor.stream(asks[1]))


@pytest.fixture
def make_pair(tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """Two videos that show the same in their first second, of two."""

    def make() -> tuple[Path, Path]:
        pair = tmp_path / "rising.mp4", tmp_path / "falling.mp4"
        for path, level in zip(pair, (lambda n: 20 + 6 * n, lambda n: 20 + 6 * min(n, 23 - n)), strict=True):
            write_clip(path, 24, level=level, forgetful=True)
        return pair

    return make


def test_a_sample_is_decided_by_its_seed_alone(predictor: LocalPredictor, video: Path) -> None:
    def sample(seed: int) -> str:
        return "".join(predictor.stream(Ask(video, 1.5, temperature=1.5, seed=seed, max_new_tokens=8)))

    first = sample(0)
    torch.manual_seed(1)
    assert [sample(1) == first, sample(0) == first] == [False, True]


def test_sampling_draws_by_the_softmax_of_scores_over_the_temperature() -> None:
    scores = torch.tensor([[1.0, 0.0, -1.0, float("-inf")]])
    draw = Sampling(0.5, 0, torch.device("cpu"))
    drawn = torch.stack([draw(None, scores).argmax(-1)[0] for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(shares, (scores / 0.5).softmax(-1)[0], atol=0.03)


def test_a_stream_that_is_closed_computes_no_more(predictor: LocalPredictor, video: Path) -> None:
    stream = predictor.stream(Ask(video, 1.5, max_new_tokens=2000))
    next(stream)
    stream.close()
    assert stream.tokens < 100
    assert list(stream) == []


def test_what_generation_raises_reaches_who_reads(
    predictor: LocalPredictor, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(predictor._chat.model, "generate", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(predictor.stream(Ask(video, 1.5)))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(), "no model: name a run"),
        (Choice(model="nowhere"), "nowhere: no checkpoint folder"),
        (Choice(model="nowhere", budget={"frames": 3}), r"frames: .*multiple of 2 \(found 3\)"),
    ],
)
def test_a_model_that_is_not_there_is_said(choice: Choice, message: str, prompts: Prompts, parts: FirstParts) -> None:
    with pytest.raises(InputError, match=message):
        open_predictor(choice, prompts, parts)
