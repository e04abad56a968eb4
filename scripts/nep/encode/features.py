"""The frozen vision tower and projector applied to clips: grids and features as the model itself would compute them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from nep.encode.frames import Clip
from nep.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Patches:
    """A clip as the vision tower reads it: pixels (t·h·w, patch), grid (t, h, w) in patches, seconds a grid step."""

    pixels: Tensor
    grid: tuple[int, int, int]
    second_per_grid: float


def load_processor(folder: Path) -> ProcessorMixin:
    """The processor of a local checkpoint. Raises InputError if the checkpoint has none for video."""
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no processor can be loaded from this folder ({error})") from None
    if getattr(processor, "video_processor", None) is None:
        raise InputError(f"{folder}: {type(processor).__name__} takes no video; a video model is needed")
    return processor


def resize_factor(processor: ProcessorMixin) -> int:
    """Patch size × merge size in pixels: the sides of a frame are multiples of it."""
    return processor.video_processor.patch_size * processor.video_processor.merge_size


def to_patches(processor: ProcessorMixin, clip: Clip) -> Patches:
    """Run a clip, sampled and resized already, through the processor."""
    made = processor(
        text=[processor.video_token],
        videos=[torch.from_numpy(clip.frames).permute(0, 3, 1, 2)],
        video_metadata=[{"fps": clip.source_fps, "frames_indices": list(clip.indices), "total_num_frames": clip.total}],
        do_resize=False,
        do_sample_frames=False,
        return_tensors="pt",
    )
    t, h, w = made["video_grid_thw"][0].tolist()
    return Patches(made["pixel_values_videos"], (t, h, w), float(made["second_per_grid_ts"][0]))


class FeatureEncoder:
    """Vision tower and projector of a checkpoint, without gradients."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load the model. Raises InputError for a checkpoint without video features."""
        try:
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=DTYPES[dtype], local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: no vision-language model can be loaded from this folder ({error})") from None
        if not hasattr(model, "get_video_features"):
            raise InputError(f"{folder}: {type(model).__name__} has no get_video_features, so it cannot be cached")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model: PreTrainedModel = model.eval().to(device)

    @torch.no_grad()
    def features(self, batch: Sequence[Patches]) -> list[Tensor]:
        """Features of each clip, (t·h·w / merge², hidden) in the encoder's dtype, on the CPU."""
        device = self._model.device
        outputs = self._model.get_video_features(
            pixel_values_videos=torch.cat([patches.pixels for patches in batch]).to(device),
            video_grid_thw=torch.tensor([patches.grid for patches in batch], device=device),
        )
        return [features.cpu().contiguous() for features in outputs.pooler_output]
