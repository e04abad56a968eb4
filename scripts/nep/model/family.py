"""A clip in the form of a model's own family: what its vision side reads, and the text that stands for it in a prompt.

Nothing here names a family: processors and models are asked for what they declare.
"""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoProcessor,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.video_utils import VideoMetadata

from nep.errors import InputError
from nep.model.clip import Clip
from nep.model.resizing import OwnSize, Resizing, WithinBudget

Modality = Literal["video", "image"]
_FEATURES = {"video": "get_video_features", "image": "get_image_features"}
_COMPRESSION = "video_compression_mask"


@dataclass(frozen=True)
class Placeholder:
    """The text that stands for a clip.

    Attributes:
        modality: whose token is repeated, and whose features the model puts there; some families see a video as images.
        runs: pieces of text, each with the number of visual tokens that follow it.
        grid: (t, h, w) in patches, for families whose visual tokens have positions of their own.
        second_per_grid: seconds between two steps of the grid, for families whose positions tell the time.
    """

    modality: Modality
    runs: tuple[tuple[str, int], ...]
    grid: tuple[int, int, int] | None
    second_per_grid: float | None

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        return sum(count for _, count in self.runs)

    def text(self, processor: ProcessorMixin) -> str:
        """The text itself."""
        token = _token(processor, self.modality)
        return "".join(text + token * count for text, count in self.runs)

    def token_id(self, processor: ProcessorMixin) -> int:
        """Id of the visual token, which is repeated."""
        return processor.tokenizer.convert_tokens_to_ids(_token(processor, self.modality))


def load_processor(folder: Path) -> ProcessorMixin:
    """The processor of a local checkpoint. Raises InputError if this model family cannot be trained on video."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{folder}: no processor can be loaded from this folder ({error})") from None
    missing = _missing(config, processor)
    if missing:
        raise InputError(f"{folder}: the model family {config.model_type!r} is not supported: {'; '.join(missing)}")
    return processor


def resizing_of(processor: ProcessorMixin) -> Resizing:
    """How frames are resized: within the pixel budget where the family takes any size, else to its own size."""
    video = processor.video_processor
    patch, merge = getattr(video, "patch_size", None), getattr(video, "merge_size", None)
    return WithinBudget(patch * merge) if patch and merge else OwnSize(video)


def placeholder_of(processor: ProcessorMixin, clip: Clip) -> tuple[Placeholder, dict[str, Tensor]]:
    """The text that stands for a clip, sampled and resized already, and the clip's inputs for the model."""
    metadata = VideoMetadata(
        total_num_frames=clip.total,
        fps=clip.source_fps,
        duration=clip.total / clip.source_fps,
        frames_indices=list(clip.indices),
    )
    made = _processed(processor, torch.from_numpy(clip.frames), video_metadata=[metadata], return_metadata=True)
    text = processor.replace_video_token(made, 0)
    modality = _modality(processor, text)
    token = re.escape(_token(processor, modality))
    runs = re.findall(rf"((?:(?!{token}).)*)((?:{token})*)", text, flags=re.DOTALL)
    grid = made.get("video_grid_thw")
    video = processor.video_processor
    timed = "second_per_grid_ts" in processor.model_input_names
    placeholder = Placeholder(
        modality=modality,
        runs=tuple((before, len(run) // len(_token(processor, modality))) for before, run in runs if before or run),
        grid=None if grid is None else tuple(grid[0].tolist()),
        # As fp32, which is what the processor hands to the model.
        second_per_grid=torch.tensor(video.temporal_patch_size / metadata.sampled_fps).item() if timed else None,
    )
    return placeholder, _tensors(made, modality)


def video_tensors(processor: ProcessorMixin, frames: Tensor, modality: Modality) -> dict[str, Tensor]:
    """Inputs of the model's forward for cached frames, uint8 (T, H, W, 3)."""
    return _tensors(_processed(processor, frames, return_metadata=False), modality)


def joined(clips: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Inputs of several clips in one call. Raises InputError for clips that the family cannot take together."""
    try:
        return {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}
    except RuntimeError:
        shapes = sorted({tuple(tensor.shape[1:]) for clip in clips for tensor in clip.values()})
        raise InputError(
            f"clips of different numbers of frames ({shapes}) in one batch, which this model family cannot read; "
            "freeze vision_tower and projector, or sample fewer frames than the shortest clip has"
        ) from None


def vision_features(model: PreTrainedModel, clips: Sequence[dict[str, Tensor]], modality: Modality) -> list[Tensor]:
    """Features of each clip as the language model takes them in, (visual tokens, hidden).

    A family that feeds deeper layers too gets (1 + layers, visual tokens, hidden): theirs follow the first ones.
    """
    # Only families with grids say where one clip's features end.
    together = "video_grid_thw" in clips[0]
    batches = [clips] if together else [[clip] for clip in clips]
    return [features for batch in batches for features in _features(model, batch, modality)]


def encoder_outputs(features: Sequence[Tensor], placeholder: Placeholder) -> dict[str, Any]:
    """Keyword arguments of the model's forward that put the cached features of several clips in their places."""
    first = [clip[0] if clip.ndim == 3 else clip for clip in features]
    # Families with grids concatenate the clips by themselves; the others take one tensor.
    outputs = BaseModelOutputWithPooling(pooler_output=first if placeholder.grid else torch.cat(first)[None])
    if features[0].ndim == 3:
        outputs["deepstack_features"] = [[clip[layer] for clip in features] for layer in range(1, len(features[0]))]
    return {"mm_encoder_outputs": {placeholder.modality: outputs}}


def _features(model: PreTrainedModel, batch: Sequence[dict[str, Tensor]], modality: Modality) -> list[Tensor]:
    function = getattr(model.model, _FEATURES[modality])
    taken = inspect.signature(function).parameters
    inputs = {name: tensor.to(model.device) for name, tensor in joined(batch).items() if name in taken}
    outputs = function(**inputs, return_dict=True)
    pooled = outputs.pooler_output
    clips = list(pooled) if "video_grid_thw" in inputs else [_flat(pooled)]
    deeper = getattr(outputs, "deepstack_features", None) or []
    clips = [torch.stack([first, *(layer[index] for layer in deeper)]) for index, first in enumerate(clips)]
    masks = [clip.get(_COMPRESSION) for clip in batch]
    kept = [clip if mask is None else clip[:, mask.to(clip.device)] for clip, mask in zip(clips, masks, strict=True)]
    return kept if deeper else [clip[0] for clip in kept]


def _flat(features: Tensor | Sequence[Tensor]) -> Tensor:
    """(…, hidden) as (N, hidden)."""
    whole = features if isinstance(features, Tensor) else torch.cat(list(features))
    return whole.reshape(-1, whole.shape[-1])


def _processed(processor: ProcessorMixin, frames: Tensor, **options: Any) -> dict[str, Any]:
    return processor.video_processor(
        videos=[frames.permute(0, 3, 1, 2)], do_resize=False, do_sample_frames=False, return_tensors="pt", **options
    )


def _tensors(made: dict[str, Any], modality: Modality) -> dict[str, Tensor]:
    tensors = {name: value for name, value in made.items() if isinstance(value, Tensor)}
    if modality == "video":
        return tensors
    # A video as images: (1, T, …) in, and (T, …) or (T, 1, …) out, so that clips of any length can follow each other.
    renamed = tensors.pop("pixel_values_videos", None)
    if renamed is not None:
        return {"pixel_values": renamed[0]}
    return {name: value.transpose(0, 1) for name, value in tensors.items()}


def _token(processor: ProcessorMixin, modality: Modality) -> str:
    return processor.video_token if modality == "video" else processor.image_token


def _modality(processor: ProcessorMixin, text: str) -> Modality:
    return "video" if processor.video_token in text else "image"


def _missing(config: Any, processor: ProcessorMixin) -> list[str]:
    """What a family lacks, in words."""
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return ["transformers has no AutoModelForImageTextToText for it"]
    model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    forward = inspect.signature(model.forward).parameters
    lacks = {
        f"{type(processor).__name__} has no video processor, so it takes no video": getattr(
            processor, "video_processor", None
        )
        is None,
        f"{type(processor).__name__} does not say what text stands for a video (replace_video_token)": getattr(
            type(processor), "replace_video_token", ProcessorMixin.replace_video_token
        )
        is ProcessorMixin.replace_video_token,
        f"{model.__name__} has neither get_video_features nor get_image_features": not any(
            hasattr(model, name) for name in _FEATURES.values()
        ),
        f"{model.__name__} takes no computed features (mm_encoder_outputs)": "mm_encoder_outputs" not in forward,
    }
    return [words for words, lack in lacks.items() if lack]
