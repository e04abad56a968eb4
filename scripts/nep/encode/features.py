"""The frozen vision tower and projector applied to clips: features as the model itself would compute them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, PreTrainedModel

from nep.errors import InputError
from nep.model.family import Placeholder, vision_features
from nep.workflow.device import on_cuda

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class FeatureEncoder:
    """Vision tower and projector of a checkpoint, without gradients."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load the model. Raises InputError for a checkpoint that is no vision-language model."""
        try:
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=DTYPES[dtype], local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: no vision-language model can be loaded from this folder ({error})") from None
        device = "cuda" if on_cuda() else "cpu"
        self._model: PreTrainedModel = model.eval().to(device)

    @torch.no_grad()
    def features(self, batch: Sequence[tuple[Placeholder, dict[str, Tensor]]]) -> list[Tensor]:
        """Features of each clip in the encoder's dtype, on the CPU, see `vision_features`.

        Raises InputError if the model makes another number of them than the processor writes visual tokens.
        """
        found = vision_features(self._model, [inputs for _, inputs in batch], batch[0][0].modality)
        for (placeholder, _), features in zip(batch, found, strict=True):
            if features.shape[-2] != placeholder.tokens:
                raise InputError(
                    f"{type(self._model).__name__} makes {features.shape[-2]} features of a clip, but its processor "
                    f"{placeholder.tokens} visual tokens: config and processor of the checkpoint do not fit together"
                )
        return [features.cpu().contiguous() for features in found]
