"""A checkpoint of any family that training takes, asked in chat about clips and images."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText
from transformers.video_utils import VideoMetadata

from nep.config.vision import Vision
from nep.model.clip import Clip
from nep.model.family import load_processor, resizing_of
from nep.model.plain_text import PlainText
from nep.model.quantized import Quantization, quantized_options
from nep.model.resizing import WithinBudget
from nep.model.samples import end_tokens

# Clips are sampled and resized already: keyword arguments of a processor for them.
CLIP_SETTINGS = {"do_resize": False, "do_sample_frames": False}
# transformers replaces methods of its classes while it loads: of two loads at once, one leaves tied weights empty.
_LOADING = Lock()


class ChatInputs:
    """What a checkpoint's own processor makes of chats, with the frames and pixels of the encode stage.

    Attributes:
        processor: as transformers loads it.
        resizing: how frames of a clip are brought to their size.
    """

    def __init__(self, folder: Path, vision: Vision) -> None:
        """Raises InputError for a folder that is no checkpoint of a supported family."""
        self.processor = load_processor(folder)
        self.resizing = resizing_of(self.processor)
        self._vision = vision
        self._plain = PlainText(self.processor.tokenizer)

    def prompt(self, chat: Sequence[dict[str, Any]]) -> str:
        """The text of a chat up to the answer, with a mark for each clip and image."""
        return self.processor.apply_chat_template(
            [{**turn, "content": [self._for_the_template(part) for part in turn["content"]]} for turn in chat],
            tokenize=False,
            add_generation_prompt=True,
        )

    def inputs(
        self, conversations: Sequence[Sequence[dict[str, Any]]], clips: Sequence[Clip], images: Sequence[Image] = ()
    ) -> Any:
        """The model's inputs of chats, padded on the left.

        The content of a message is parts: of the type `text` with their `text`, and `video` and `image`, which stand
        for the clips and images in their order.
        """
        videos = {"videos": [torch.from_numpy(clip.frames).permute(0, 3, 1, 2) for clip in clips]} if clips else {}
        return self.processor(
            text=[self.prompt(chat) for chat in conversations],
            **videos,
            **({"images": list(images)} if images else {}),
            text_kwargs={"padding": True, "padding_side": "left", "return_tensors": "pt"},
            images_kwargs={"return_tensors": "pt", **self.image_settings()},
            videos_kwargs={
                **CLIP_SETTINGS,
                "return_tensors": "pt",
                "video_metadata": [VideoMetadata(**metadata_of(clip)) for clip in clips],
            },
        )

    def texts(self, completions: Tensor | Sequence[Sequence[int]]) -> list[str]:
        """Completions as texts, without control tokens."""
        return self.processor.batch_decode(completions, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def image_settings(self) -> dict[str, int]:
        """How images are resized, as keyword arguments of the processor."""
        if not isinstance(self.resizing, WithinBudget):
            return {}
        return {"min_pixels": self._vision.min_pixels, "max_pixels": self._vision.max_pixels}

    def _for_the_template(self, part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "text": self._plain(part["text"])[0]} if part["type"] == "text" else {"type": part["type"]}


class ChatModel(ChatInputs):
    """A checkpoint with transformers' `generate`. Attribute: `model`, as transformers loads it."""

    def __init__(
        self,
        folder: Path,
        vision: Vision,
        device: torch.device,
        dtype: torch.dtype,
        attention: str = "sdpa",
        quantize: Quantization | None = None,
    ) -> None:
        """Raises InputError for a folder that is no such checkpoint, and where it cannot be loaded as asked."""
        super().__init__(folder, vision)
        options = {"dtype": dtype, "attn_implementation": attention, "local_files_only": True}
        if quantize is not None:
            options |= quantized_options(folder, quantize, dtype, device)
        with _LOADING:
            model = AutoModelForImageTextToText.from_pretrained(folder, **options)
        if quantize is None:
            model = model.to(device)
        self.model = model.eval()
        self._device = device
        self._ends = sorted(end_tokens(model, self.processor))

    def inputs(
        self, conversations: Sequence[Sequence[dict[str, Any]]], clips: Sequence[Clip], images: Sequence[Image] = ()
    ) -> Any:
        """On the model's device, in its precision; see `ChatInputs`."""
        return super().inputs(conversations, clips, images).to(self._device, self.model.dtype)

    @torch.no_grad()
    def generate(self, inputs: Any, max_new_tokens: int, **options: Any) -> Tensor:
        """Greedy completions (B, T), int64, filled up with the pad token; `options` go to transformers' `generate`."""
        made = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            **options,
        )
        return made[:, inputs["input_ids"].shape[1] :]


def metadata_of(clip: Clip) -> dict[str, Any]:
    """What a processor is told of a clip's frames: their numbers in the file, and its rate."""
    return {
        "total_num_frames": clip.total,
        "fps": clip.source_fps,
        "duration": clip.total / clip.source_fps,
        "frames_indices": list(clip.indices),
    }
