"""The config of Qwen2.5-VL-7B-Instruct, as released, without a hub; and its language model with few layers."""

from pathlib import Path

import torch
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

SIZES = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18_944,
    "max_position_embeddings": 128_000,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
TOWER = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def config(layers: int = 28) -> Qwen2_5_VLConfig:
    """The whole config, with `layers` layers of the language model."""
    text = {**SIZES, "num_hidden_layers": layers}
    return Qwen2_5_VLConfig(text_config=text, vision_config=TOWER, tie_word_embeddings=False)


def write_config(folder: Path) -> None:
    """`config.json`, as it lies beside the weights."""
    config().save_pretrained(folder)


def language_model(layers: int) -> nn.Module:
    """The language model without memory, in bf16, under training."""
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config(layers), dtype=torch.bfloat16)
    return model.train().model.language_model
