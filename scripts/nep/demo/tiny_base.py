"""The rule of the tiny base model: build, pre-train, save."""

import math
from pathlib import Path

import torch

from nep.config.tiny_model import TinyModel
from nep.config.vision import Vision
from nep.data.prompts import Prompts
from nep.demo.pretrain import corpus, pretrain
from nep.demo.tiny_checkpoint import build_model, build_processor, save_checkpoint
from nep.files import atomic_path, drop_unfinished


def make_tiny_base(tiny: TinyModel, vision: Vision, prompts: Prompts, seed: int, folder: Path) -> None:
    """Write the checkpoint to `folder`. The same arguments and thread count give the same bytes."""
    torch.set_num_threads(tiny.threads)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("medium")
    processor = build_processor(corpus(prompts))
    model = build_model(tiny, processor, seed)
    pretrain(model, processor, prompts, tiny, still_size(vision, processor), seed)
    drop_unfinished(folder)
    with atomic_path(folder) as temporary:
        save_checkpoint(model, processor, temporary)


def still_size(vision: Vision, processor: object) -> int:
    """Side in pixels of a square frame under the pixel budget."""
    factor = processor.video_processor.patch_size * processor.video_processor.merge_size
    return max(factor, math.isqrt(vision.max_pixels) // factor * factor)
