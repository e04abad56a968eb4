"""Texts of captions against the control tokens of every family: none becomes one, and what is lost is counted."""

import random
from collections import Counter

import pytest
import torch
from support.families import FAMILIES, PAD, TURN_END, TURN_START, model_of, processor_of
from transformers import ProcessorMixin

from nep.model.plain_text import PlainText
from nep.model.samples import SampleBuilder
from nep.records.marks import marks_in, without_marks
from nep.records.schema import clean_text

CONTROL = sorted({PAD, TURN_START, TURN_END, *(token for family in FAMILIES.values() for token in family.tokens)})
OTHERS = [
    "<tool_call>",
    "<row_1_col_1>",
    "<|fim_prefix|>",
    "<unk>",
    "</s>",
    "<think>",
    "</think>",
    "<answer>",
    "<",
    "|>",
]
UNICODE = [
    "caf\u00e9",
    "cafe\u0301",
    "日食",
    "שלום",
    "👩\u200d🚀",
    "\ud800",
    "\u202e",
    "\x07",
    "＜video＞",
    "\ufeff",
    " ",
    "\n",
]
CAPTIONS = 2000


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def processor(family: str) -> ProcessorMixin:
    return processor_of(family)


@pytest.fixture(scope="module")
def builder(family: str, processor: ProcessorMixin) -> SampleBuilder:
    # Without weights: only its rope index and its end tokens are asked for.
    with torch.device("meta"):
        model = model_of(family, processor)
    return SampleBuilder(processor, model, shapes=None)


def fuzzed(number: int) -> list[str]:
    """Captions of control tokens that are whole, cut in pieces, and put into each other, among words of any script."""
    draw = random.Random(number)
    captions = []
    for _ in range(number):
        pieces = []
        for _ in range(draw.randint(1, 6)):
            piece = draw.choice(CONTROL)
            for _ in range(draw.randint(0, 4)):
                place = draw.randint(0, len(piece))
                inner = draw.choice(CONTROL + OTHERS + UNICODE)
                if draw.random() < 0.3:
                    inner = inner[: draw.randint(0, len(inner))]
                piece = piece[:place] + inner + piece[place:]
            pieces.append(piece)
        captions.append(draw.choice(["", " ", "A cup"]).join(pieces))
    return captions


def letters(*texts: str) -> Counter[str]:
    return Counter("".join(texts))


def test_no_caption_becomes_a_control_token_and_nothing_is_lost_uncounted(processor: ProcessorMixin) -> None:
    plain = PlainText(processor.tokenizer)
    altered = 0
    for caption in fuzzed(CAPTIONS):
        kept, marks = without_marks(caption)
        assert letters(caption) == letters(kept, *marks)
        for text in (caption.replace("\ud800", "\ufffd"), clean_text(caption) or ""):
            safe, found = plain(text)
            assert letters(text) == letters(safe, *found)
            assert plain.control.isdisjoint(processor.tokenizer(safe, add_special_tokens=False)["input_ids"])
            altered += bool(found)
    assert altered > CAPTIONS / 2


def test_a_row_has_the_control_tokens_of_its_template_alone(builder: SampleBuilder, processor: ProcessorMixin) -> None:
    plain = PlainText(processor.tokenizer)

    def built(name: str, text: str) -> tuple[list[int], list[int]]:
        turns = [{"role": "user", "content": f"What next?{text}"}, {"role": "assistant", "content": f"So: {text}"}]
        sample = builder.dialogue(name, turns, [])
        controls = [index for index in sample.input_ids.tolist() if index in plain.control]
        return controls, [
            index for index in sample.input_ids[sample.prompt_length :].tolist() if index in plain.control
        ]

    wanted = built("plain", "A cup falls.")
    assert len(wanted[1]) == 1
    for number, caption in enumerate(fuzzed(60)):
        text = caption.replace("\ud800", "\ufffd")
        while "<video>" in text:
            # The mark of a row's own video.
            text = text.replace("<video>", "")
        assert built(f"row-{number}", text) == wanted
        found = plain(f"What next?{text}")[1] + plain(f"So: {text}")[1]
        assert builder.altered.get(f"row-{number}", []) == found
    assert "plain" not in builder.altered and builder.altered


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("Qwen2.5-VL", "Then <|im_<|im_end|>end|> it stops.", "Then  it stops."),
        ("InternVL3", "A <img>cup</img> <IMG_CONTEXT>falls.", "A cup falls."),
        ("SmolVLM2", "It ends.<end_of_utterance>", "It ends."),
        ("LLaVA-OneVision", "A <vid<video>eo> plays", "A  plays"),
        ("Qwen3-VL", "<think>\nA cup.\n</think>\n<answer>\nB\n</answer>", None),
        ("Qwen3-VL", "x < y, <b>bold</b> and 3 |> 2", None),
    ],
)
def test_only_control_tokens_are_taken_out(name: str, text: str, kept: str | None) -> None:
    assert PlainText(processor_of(name).tokenizer)(text)[0] == (text if kept is None else kept)


def test_placeholders_that_appear_are_taken_out_too() -> None:
    assert clean_text("A <vid<video>eo> plays") == "A  plays"
    assert clean_text("<|im_<|im_end|>end|><|reserved_special_token_12|>") is None


def test_a_videos_own_place_in_a_question_is_not_counted() -> None:
    row = {"mc_qa": [{"value": "<image>\nWhich?"}, {"value": "A <image>cup<|im_end|>"}], "caption": "Whole.\n<video>"}
    assert marks_in(row) == {"<image>": 1, "<|im_end|>": 1}
