"""A Qwen2.5-VL of one to three million parameters with its own tokenizer, processor and chat template.

Saved in the ordinary checkpoint form: nothing that comes after can tell it from a released model.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from nep.config.tiny_model import TinyModel

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL_TOKENS = [PAD, TURN_START, TURN_END, VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, VIDEO_PAD]
# Whole tokens, but not special ones: decoding with skip_special_tokens must keep them.
ANSWER_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
VOCABULARY = 2048
# The space after a mark belongs to the mark: a sentence's first word is the same token at the start of a line.
WORD = r"[.,:;?!] | ?\w+|\s|[^\s\w]"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Bounds of a frame as Qwen2.5-VL's released checkpoints have them; the class's own default would enlarge small ones.
PIXELS = {"shortest_edge": 3136, "longest_edge": 12845056}


def build_model(tiny: TinyModel, processor: Qwen2_5_VLProcessor, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A model with random fp32 weights; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_model_config(tiny, processor.tokenizer))
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model


def build_processor(corpus: Iterable[str]) -> Qwen2_5_VLProcessor:
    """Processor whose tokenizer holds each word of `corpus` as a single token, and any other text as bytes."""
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=_build_tokenizer(corpus),
        video_processor=Qwen2VLVideoProcessor(size=PIXELS),
        chat_template=CHAT_TEMPLATE,
    )


def save_checkpoint(model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path) -> None:
    """Write config, safetensors, tokenizer, processor and chat template."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _build_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    backend.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in ANSWER_TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=PAD,
        extra_special_tokens=[token for token in SPECIAL_TOKENS if token not in (PAD, TURN_END)],
        model_max_length=4096,
    )


def _model_config(tiny: TinyModel, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return Qwen2_5_VLConfig(
        # The usual 0.02 suits wide models; at this width it delays copying and matching by hundreds of steps.
        initializer_range=tiny.hidden_size**-0.5,
        text_config={
            "initializer_range": tiny.hidden_size**-0.5,
            "vocab_size": len(tokenizer),
            "hidden_size": tiny.hidden_size,
            "intermediate_size": 2 * tiny.hidden_size,
            "num_hidden_layers": tiny.layers,
            "num_attention_heads": tiny.heads,
            "num_key_value_heads": tiny.heads,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                # Made for short texts: at the usual 1e4 or 1e6, attention to the last few tokens is learned far later.
                "rope_theta": 1e2,
                "mrope_section": _mrope_section(tiny.hidden_size // tiny.heads),
            },
            "bos_token_id": ids[PAD],
            "eos_token_id": ids[TURN_END],
            "pad_token_id": ids[PAD],
        },
        vision_config={
            "initializer_range": tiny.vision_hidden_size**-0.5,
            "depth": tiny.vision_layers,
            "hidden_size": tiny.vision_hidden_size,
            "intermediate_size": 2 * tiny.vision_hidden_size,
            "num_heads": 2,
            "out_hidden_size": tiny.hidden_size,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [tiny.vision_layers - 1],
        },
        tie_word_embeddings=True,
        image_token_id=ids[IMAGE_PAD],
        video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
    )


def _mrope_section(head_size: int) -> list[int]:
    """Rotary pairs of time, height and width: a quarter, then the rest in equal shares (Qwen2-VL, arXiv 2409.12191)."""
    pairs = head_size // 2
    time = pairs // 4
    height = math.ceil((pairs - time) / 2)
    return [time, height, pairs - time - height]
