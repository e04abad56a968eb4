"""The lessons of the tiny model's pre-training."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from nep.config.tiny_model import TinyModel
from nep.data.prompts import Prompts, load_prompts
from nep.demo.pretrain import (
    StillFrames,
    StillShapes,
    _phases,
    build_optimizers,
    corpus,
    draw_guessing,
    draw_lesson,
    draw_matching,
    draw_still,
    still_key,
)
from nep.demo.tiny_checkpoint import build_processor

SIZE = 56


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts(Path("config/prompts.yaml"))


def options_of(question: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-D])\. (.+)$", question, re.MULTILINE))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_matching_lesson_goes_on_with_the_letter_of_the_given_thought(prompts: Prompts, length: int) -> None:
    for seed in range(50):
        lesson = draw_matching(random.Random(seed), prompts, length)
        thought = re.fullmatch(r"<think>\n(.+)\n</think>\n<answer>\n", lesson.given)[1]
        options = options_of(lesson.question)
        assert options[lesson.answer] == thought
        whole = draw_matching(random.Random(seed), prompts, length, whole=True)
        assert whole == replace(lesson, answer=f"{lesson.answer}\n</answer>")
        assert len({text.split(";")[0] for text in options.values()}) == 4


def test_a_guess_is_well_formed_and_its_letter_is_that_of_its_thought(prompts: Prompts) -> None:
    for seed in range(50):
        lesson = draw_guessing(random.Random(seed), prompts, 2)
        options = options_of(lesson.question)
        reasoned = re.fullmatch(r"<think>\n(.+)\n</think>\n<answer>\n([A-D])\n</answer>", lesson.answer)
        assert lesson.answer in options if reasoned is None else options[reasoned[2]] == reasoned[1]


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
