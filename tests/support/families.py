"""Random checkpoints of the model families, a few thousand weights each, in the form that released ones have."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    GotOcr2ImageProcessor,
    InternVLVideoProcessor,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMImageProcessor,
    SmolVLMVideoProcessor,
    VideoLlama3ImageProcessor,
    VideoLlama3VideoProcessor,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.processing_auto import processor_class_from_name

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
HIDDEN, LAYERS, HEADS = 32, 2, 2
TEXT = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "head_dim": HIDDEN // HEADS,
    "max_position_embeddings": 4096,
}
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}VIDEO{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"


@dataclass(frozen=True)
class Family:
    """How a tiny checkpoint of a family is made: names of its classes, its tokens and its settings by token id."""

    model_type: str
    processor: str
    tokens: tuple[str, ...]
    video: str
    config: Callable[[dict[str, int]], dict[str, Any]]
    parts: Callable[[], dict[str, Any]]
    names: dict[str, str]


def save_family(name: str, folder: Path) -> Path:
    """Write config, weights, tokenizer, processor and chat template of the family `name`."""
    processor = processor_of(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_of(name, processor)
        for parameter in model.parameters():
            # Larger than usual, so that a wrong token or feature shows in the loss.
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def processor_of(name: str) -> ProcessorMixin:
    """The processor of the family `name`: its tokenizer, chat template and media processors."""
    family = FAMILIES[name]
    tokenizer = _tokenizer(family)
    template = CHAT_TEMPLATE.replace("VIDEO", family.video).replace(TURN_END, tokenizer.eos_token)
    return processor_class_from_name(family.processor)(tokenizer=tokenizer, chat_template=template, **family.parts())


def model_of(name: str, processor: ProcessorMixin) -> PreTrainedModel:
    """A model of the family `name`, with weights as they are drawn by its class, on the default device."""
    family = FAMILIES[name]
    tokenizer = processor.tokenizer
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (*family.tokens, PAD, TURN_END)}
    config = CONFIG_MAPPING[family.model_type](**family.config(ids))
    text = config.get_text_config()
    text.vocab_size, text.pad_token_id, text.eos_token_id = len(tokenizer), ids[PAD], ids[tokenizer.eos_token]
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = ids[tokenizer.eos_token]
    model.generation_config.pad_token_id = ids[PAD]
    return model


def _tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """Bytes, and the family's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token) for token in (PAD, TURN_START, TURN_END, *family.tokens)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<end_of_utterance>" if "<end_of_utterance>" in family.tokens else TURN_END,
        pad_token=PAD,
        model_max_length=4096,
        extra_special_tokens=family.names or list(family.tokens),
    )


def _qwen(ids: dict[str, int], vision: dict[str, Any], **text: Any) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "rope_parameters": MROPE, **text},
        "vision_config": {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


def _qwen2_vl(ids: dict[str, int]) -> dict[str, Any]:
    return _qwen(ids, {"depth": 2, "embed_dim": 16, "hidden_size": HIDDEN, "num_heads": 2, "mlp_ratio": 2})


def _qwen2_5_vl(ids: dict[str, int]) -> dict[str, Any]:
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": HIDDEN}
    return _qwen(ids, {**vision, "window_size": 112, "fullatt_block_indexes": [1]})


def _qwen3_vision() -> dict[str, Any]:
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": HIDDEN}
    return {**vision, "patch_size": 16, "num_position_embeddings": 16}


def _qwen3_vl(ids: dict[str, int]) -> dict[str, Any]:
    return _qwen(ids, {**_qwen3_vision(), "deepstack_visual_indexes": [0]})


def _qwen3_5(ids: dict[str, int]) -> dict[str, Any]:
    linear = {
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "layer_types": ["linear_attention", "full_attention"],
        "rope_parameters": {**MROPE, "partial_rotary_factor": 1.0},
    }
    return _qwen(ids, _qwen3_vision(), **linear)


def _video_llama_3(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "model_type": "video_llama_3_vision", "patch_size": 14},
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
    }


def _llava_onevision(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14},
        "image_token_index": ids["<image>"],
        "video_token_index": ids["<video>"],
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "image_grid_pinpoints": [[56, 56]],
    }


def _internvl(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        "image_token_id": ids["<IMG_CONTEXT>"],
        "image_seq_length": 4,
    }


def _smolvlm(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**VISION, "image_size": 56, "patch_size": 14},
        "image_token_id": ids["<image>"],
        "scale_factor": 2,
    }


def _qwen2_parts() -> dict[str, Any]:
    return {"image_processor": Qwen2VLImageProcessor(), "video_processor": Qwen2VLVideoProcessor()}


def _qwen3_parts() -> dict[str, Any]:
    image = Qwen2VLImageProcessor(patch_size=16)
    return {"image_processor": image, "video_processor": Qwen3VLVideoProcessor(cap_pixels_per_frame=True)}


def _video_llama_3_parts() -> dict[str, Any]:
    return {
        "image_processor": VideoLlama3ImageProcessor(),
        "video_processor": VideoLlama3VideoProcessor(),
    }


def _llava_onevision_parts() -> dict[str, Any]:
    side = {"height": 56, "width": 56}
    return {
        "image_processor": LlavaOnevisionImageProcessor(size=side),
        "video_processor": LlavaOnevisionVideoProcessor(size=side),
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
    }


def _internvl_parts() -> dict[str, Any]:
    side = {"height": 56, "width": 56}
    return {
        "image_processor": GotOcr2ImageProcessor(size=side),
        "video_processor": InternVLVideoProcessor(size=side),
        "image_seq_length": 4,
    }


def _smolvlm_parts() -> dict[str, Any]:
    return {
        "image_processor": SmolVLMImageProcessor(max_image_size={"longest_edge": 56}),
        "video_processor": SmolVLMVideoProcessor(
            size={"longest_edge": 112}, max_image_size={"longest_edge": 56}, num_frames=8, fps=2
        ),
        "image_seq_len": 4,
    }


INTERNVL = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")
INTERNVL_NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
SMOLVLM = ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>", "<video>")
FAMILIES = {
    "Qwen2-VL": Family("qwen2_vl", "Qwen2VLProcessor", QWEN, QWEN_VIDEO, _qwen2_vl, _qwen2_parts, {}),
    "Qwen2.5-VL": Family("qwen2_5_vl", "Qwen2_5_VLProcessor", QWEN, QWEN_VIDEO, _qwen2_5_vl, _qwen2_parts, {}),
    "Qwen3-VL": Family("qwen3_vl", "Qwen3VLProcessor", QWEN, "<|video_pad|>", _qwen3_vl, _qwen3_parts, {}),
    "Qwen3.5": Family("qwen3_5", "Qwen3VLProcessor", QWEN, "<|video_pad|>", _qwen3_5, _qwen3_parts, {}),
    "VideoLLaMA3": Family(
        "video_llama_3",
        "VideoLlama3Processor",
        QWEN,
        "<|video_pad|>",
        _video_llama_3,
        _video_llama_3_parts,
        {},
    ),
    "LLaVA-OneVision": Family(
        "llava_onevision",
        "LlavaOnevisionProcessor",
        ("<image>", "<video>"),
        "<video>",
        _llava_onevision,
        _llava_onevision_parts,
        {},
    ),
    "InternVL3": Family(
        "internvl", "InternVLProcessor", INTERNVL, "<video>", _internvl, _internvl_parts, INTERNVL_NAMES
    ),
    "SmolVLM2": Family("smolvlm", "SmolVLMProcessor", SMOLVLM, "<video>", _smolvlm, _smolvlm_parts, {}),
}
