"""Which examples are shown, and their frames."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.rows import asked, segment
from support.synthetic_run import COLOURS, SyntheticRun, write_clip

from nep.config.whole import load_config
from nep.errors import InputError
from nep.report.collect import collect_run
from nep.report.examples import choose_questions, select_examples
from nep.report.frames import FIRST_FRAMES, SECOND_FRAMES, Frame, frames_of
from nep.rows.base import write_rows


def pixels(frame: Frame) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(frame.uri.split(",", 1)[1]))))


def disc_centre(frame: Frame) -> float:
    """Horizontal place of the red disc, as a share of the width."""
    red = pixels(frame)[:, :, 0] > 120
    return float(np.nonzero(red)[1].mean() / red.shape[1])


def questions(**counts: int) -> dict[str, str]:
    return {f"{outcome}-{number}": outcome for outcome, count in counts.items() for number in range(count)}


def outcomes_chosen(outcomes: dict[str, str], count: int) -> list[str]:
    return [outcomes[question] for question in choose_questions(outcomes, dict.fromkeys(outcomes, "hop1"), count)]


def test_gains_lead_and_failures_keep_their_places() -> None:
    outcomes = questions(missed=30, lost=30, kept=30, gained=30)
    assert outcomes_chosen(outcomes, 8) == ["gained"] * 4 + ["kept"] * 2 + ["lost", "missed"]


def test_places_that_one_outcome_cannot_fill_go_to_the_others() -> None:
    assert outcomes_chosen(questions(kept=2, missed=9), 8) == ["kept"] * 2 + ["missed"] * 6
    assert outcomes_chosen(questions(gained=2), 8) == ["gained"] * 2
    assert outcomes_chosen(questions(gained=2, kept=2), 0) == []


def test_kinds_alternate_and_input_order_does_not_matter() -> None:
    outcomes = questions(gained=40)
    kinds = {question: f"hop{1 + number % 3}" for number, question in enumerate(outcomes)}
    chosen = choose_questions(outcomes, kinds, 9)
    assert [kinds[question] for question in chosen] == ["hop1", "hop2", "hop3"] * 3
    assert choose_questions(dict(reversed(outcomes.items())), kinds, 9) == chosen


def test_frames_are_the_first_the_last_and_those_between(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", COLOURS["red"], 0.2, 0.8, 25, 112)
    frames = frames_of(tmp_path / "clip.mp4", 4)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 8 / 12, 16 / 12, 24 / 12])
    assert [disc_centre(frame) for frame in frames] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.02)


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", COLOURS["red"], 0.2, 0.8, 3, 448)
    (first, *_) = frames_of(tmp_path / "clip.mp4", 2)
    assert pixels(first).shape == (168, 168, 3)
    assert len(first.uri) < 20_000


@pytest.mark.parametrize("content", [None, b"", b"not a video"])
def test_a_bad_or_missing_segment_gives_no_frames(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    assert frames_of(path, 4) == []


def test_examples_hold_frames_of_both_parts_and_every_answer(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=3)
    run = collect_run(synthetic.write(tmp_path), load_config(synthetic.config))
    examples = select_examples(run)
    assert len(examples) == 6
    for example in examples:
        assert (len(example.first), len(example.second)) == (FIRST_FRAMES, SECOND_FRAMES)
        assert example.cut == pytest.approx(2.5)
        assert example.what_happened == run.questions[example.question_id].record.caption_part2
        assert [answer.stage for answer in example.answers] == ["base", "sft", "grpo"]
        before, after = example.answers[1:]
        expected = {(False, True): "gained", (True, True): "kept", (True, False): "lost", (False, False): "missed"}
        assert example.outcome == expected[before.correct, after.correct]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_question_of_seedbench_shows_its_video_and_its_image(tmp_path: Path, suffix: str) -> None:
    synthetic = SyntheticRun(videos=1, others=True)
    root = synthetic.write(tmp_path)
    folder = root / "download" / "videos"
    write_clip(folder / "a.mp4", COLOURS["red"], 0.2, 0.8, 12, 112)
    Image.new("RGB", (112, 56), COLOURS["green"]).save(folder / f"a.{suffix}")
    known = {"video_id": "a", "kind": "l1", "record": {"source": "Ego4D"}, "image": f"download/videos/a.{suffix}"}
    rows = [
        asked(f"seedbench_r1_l1-{number}", video="download/videos/a.mp4" if number else None, **known)
        for number in range(36)
    ]
    write_rows(root / "convert" / "seedbench_r1.jsonl", rows)
    config = load_config({**synthetic.config, "report": {"examples": 36}})
    examples = [example for example in select_examples(collect_run(root, config)) if example.task == "seedbench_r1_l1"]
    assert len(examples) == 36
    for example in examples:
        shown = 1 if example.question_id.endswith("-0") else FIRST_FRAMES
        assert (len(example.first), example.second, example.cut) == (shown, [], None)
        assert pixels(example.first[-1])[28, 56].argmax() == 1


def test_examples_beyond_the_pages_share_of_images_keep_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = SyntheticRun(videos=3)
    run = collect_run(synthetic.write(tmp_path), load_config(synthetic.config))
    first, second, *_ = select_examples(run)
    sizes = [sum(len(frame.uri) for frame in (*example.first, *example.second)) for example in (first, second)]
    monkeypatch.setattr("nep.report.examples.IMAGE_CHARACTERS", sum(sizes))
    bounded = select_examples(run)
    assert bounded[:2] == [first, second]
    assert [bool(example.first or example.second) for example in bounded] == [True, True, *[False] * 4]
    assert all(example.answers and example.question for example in bounded)


def test_a_segment_path_outside_the_run_is_refused(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=1)
    run = collect_run(synthetic.write(tmp_path / "run"), load_config(synthetic.config))
    outside = segment("clip", "first", 30).model_copy(update={"path": "../clip.mp4"})
    cuts = {name: cut.model_copy(update={"first": outside}) for name, cut in run.cuts.items()}
    with pytest.raises(InputError, match=r"'\.\./clip\.mp4' leaves its root"):
        select_examples(replace(run, cuts=cuts))
