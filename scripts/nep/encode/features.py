"""The frozen vision tower and projector applied to clips: features as the model itself would compute them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig, PretrainedConfig, PreTrainedModel

from nep.errors import InputError
from nep.model.family import Placeholder, vision_features
from nep.workflow.device import on_cuda

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class FeatureEncoder:
    """Vision tower and projector of a checkpoint, without gradients."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load them. Raises InputError for a checkpoint that is no vision-language model, and as `on_cuda` does."""
        device = "cuda" if on_cuda() else "cpu"
        self.dtype = dtype
        self.model = load_without_language_model(folder, DTYPES[dtype]).eval().to(device)

    @torch.no_grad()
    def features(self, batch: Sequence[tuple[Placeholder, dict[str, Tensor]]]) -> list[Tensor]:
        """Features of each clip in the encoder's dtype, on the CPU, see `vision_features`.

        Raises InputError if the model makes another number of them than the processor writes visual tokens.
        """
        found = vision_features(self.model, [inputs for _, inputs in batch], batch[0][0].modality)
        for (placeholder, _), features in zip(batch, found, strict=True):
            if features.shape[-2] != placeholder.tokens:
                raise InputError(
                    f"{type(self.model).__name__} makes {features.shape[-2]} features of a clip, but its processor "
                    f"{placeholder.tokens} visual tokens: config and processor of the checkpoint do not fit together"
                )
        return [features.cpu().contiguous() for features in found]


def load_without_language_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A checkpoint's vision-language model whose language model and head are empty: their weights are never read.

    Raises InputError for a checkpoint that is no vision-language model.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        whole = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
        return _without_language_model(whole).from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: no vision-language model can be loaded from this folder ({error})") from None


def _without_language_model(whole: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The class with its language model taken out before weights are looked for: transformers makes a model without
    memory, and reads of a checkpoint what the model has a place for."""

    def init(self: PreTrainedModel, config: PretrainedConfig, *arguments: Any, **options: Any) -> None:
        whole.__init__(self, config, *arguments, **options)
        decoder = self.get_decoder()
        for name, module in self.model.named_children():
            if module is decoder:
                setattr(self.model, name, nn.Identity())
        for name, _ in self.named_children():
            if name != "model":
                setattr(self, name, nn.Identity())
        # Embeddings and head, of which neither is left.
        self.all_tied_weights_keys = {}

    return type(whole.__name__, (whole,), {"__init__": init, "_keys_to_ignore_on_load_unexpected": [r"."]})
