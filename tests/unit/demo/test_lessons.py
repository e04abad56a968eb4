"""The lessons of the tiny model's pre-training."""

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from nep.config.tiny_model import TinyModel
from nep.data.prompts import Prompts, load_prompts
from nep.demo.pretrain import (
    StillFrames,
    StillShapes,
    _phases,
    batch_loss,
    build_optimizers,
    corpus,
    draw_choosing,
    draw_describing,
    draw_guessing,
    draw_lesson,
    draw_matching,
    draw_still,
    still_key,
)
from nep.demo.tiny_checkpoint import build_processor
from nep.demo.world import tell
from nep.model.samples import SampleBuilder
from nep.model.scoring import Scorer

SIZE = 56


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts(Path("config/prompts.yaml"))


def options_of(question: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-D])\. (.+)$", question, re.MULTILINE))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_matching_lesson_gives_every_option_as_a_thought_and_goes_on_with_its_letter(
    prompts: Prompts, length: int
) -> None:
    for seed in range(50):
        lesson = draw_matching(random.Random(seed), prompts, length)
        options = options_of(lesson.question)
        thoughts = [re.fullmatch(r"<think>\n(.+)\n</think>\n<answer>\n", answer.given)[1] for answer in lesson.answers]
        assert {answer.learned: thought for answer, thought in zip(lesson.answers, thoughts, strict=True)} == options
        whole = draw_matching(random.Random(seed), prompts, length, whole=True)
        ended = tuple(replace(answer, learned=f"{answer.learned}\n</answer>") for answer in lesson.answers)
        assert whole == replace(lesson, answers=ended)
        assert len({text.split(";")[0] for text in options.values()}) == 4


def test_a_guess_has_every_option_once_and_each_letter_is_that_of_its_thought(prompts: Prompts) -> None:
    for seed in range(50):
        lesson = draw_guessing(random.Random(seed), prompts, 2)
        options = options_of(lesson.question)
        said = [answer.learned for answer in lesson.answers]
        reasoned = [re.fullmatch(r"<think>\n(.+)\n</think>\n<answer>\n([A-D])\n</answer>", text) for text in said]
        if all(reasoned):
            assert {found[2]: found[1] for found in reasoned} == options
        else:
            assert sorted(said) == sorted(options)


def test_a_still_is_answered_by_the_lamp_that_is_lit_in_it(prompts: Prompts) -> None:
    for seed in range(50):
        lesson = draw_choosing(random.Random(seed), prompts, SIZE)
        frame, lit, colours = draw_still(random.Random(seed), SIZE)
        assert np.array_equal(lesson.frame, frame)
        options = options_of(lesson.question)
        assert sorted(options.values()) == sorted(colour.capitalize() for colour in colours)
        (answer,) = lesson.answers
        letter = re.search(r"([A-D])(?:\n</answer>)?$", answer.learned)[1]
        assert options[letter] == lit.capitalize()


def test_a_description_names_the_lamps_by_their_places_and_not_by_their_order_in_time(prompts: Prompts) -> None:
    for seed in range(20):
        frame, _, colours = draw_still(random.Random(seed), SIZE)
        lesson = draw_describing(random.Random(seed), SIZE)
        assert np.array_equal(lesson.frame, frame)
        assert [answer.learned for answer in lesson.answers] == [f"{tell(colours)}."]


def test_the_answers_of_a_question_are_branches_of_one_sequence(prompts: Prompts, tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint).eval()
    scorer, builder = Scorer(model), SampleBuilder(processor, model, StillShapes(SIZE, processor))
    lesson = draw_matching(random.Random(1), prompts, 2)
    apart = [replace(lesson, answers=(answer,)) for answer in lesson.answers]
    with torch.no_grad():
        together = batch_loss(scorer, processor, builder, [lesson])
        alone = [batch_loss(scorer, processor, builder, [each]) for each in apart]
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_phases_take_all_steps_and_only_the_last_one_shows_stills(prompts: Prompts) -> None:
    phases = _phases(1200)
    assert sum(limit for _, limit in phases) == 1200
    frames = {
        name: [draw_lesson(random.Random(seed), prompts, SIZE, name).frame is not None for seed in range(40)]
        for name, _ in phases
    }
    assert not any(frames["single_events"] + frames["matching"])
    assert any(frames["all_kinds"])


def test_the_first_word_of_a_line_is_the_token_that_it_is_after_an_options_letter(prompts: Prompts) -> None:
    tokenizer = build_processor(corpus(prompts)).tokenizer
    assert tokenizer.tokenize("A. Blue") == ["A", ".Ġ", "Blue"]
    assert tokenizer.tokenize("\nBlue\n") == ["Ċ", "Blue", "Ċ"]
    text = "Über 3 balls; then: nothing?\n\tB. «x»"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_clip_that_stands_still_is_what_the_vision_side_makes_of_its_frames(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint).eval()
    frames = [draw_still(random.Random(seed), SIZE)[0] for seed in range(2)]
    key, moments = still_key(1, 4), 4
    clip = torch.from_numpy(frames[1]).permute(2, 0, 1)[None].repeat(2 * moments, 1, 1, 1)
    made = processor.video_processor(videos=[clip], do_resize=False, do_sample_frames=False, return_tensors="pt")
    with torch.no_grad():
        whole = model.model.get_video_features(made["pixel_values_videos"], made["video_grid_thw"]).pooler_output[0]
        features = StillFrames(model, processor, frames).inputs([key])["mm_encoder_outputs"]["video"].pooler_output[0]
    assert StillShapes(SIZE, processor).placeholder(key).grid == tuple(made["video_grid_thw"][0].tolist())
    torch.testing.assert_close(features, whole)


def test_every_weight_has_one_optimizer(tiny_checkpoint: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint)
    (muon, _), (adam, _) = build_optimizers(model, TinyModel())
    groups = [{id(weight) for group in each.param_groups for weight in group["params"]} for each in (muon, adam)]
    assert groups[0].isdisjoint(groups[1])
    assert groups[0] | groups[1] == {id(weight) for weight in model.parameters()}
    assert id(model.get_input_embeddings().weight) in groups[1]
    assert all(weight.ndim == 2 for group in muon.param_groups for weight in group["params"])
