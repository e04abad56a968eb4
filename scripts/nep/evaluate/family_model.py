"""A model of lmms-eval for every family that training takes, with the frames and pixels of the encode stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL.Image import Image
from transformers import AutoModelForImageTextToText
from transformers.video_utils import VideoMetadata

from nep.config.vision import Vision
from nep.encode.frames import decode_clip
from nep.evaluate.requests import messages_of, settings_of
from nep.model.clip import Clip
from nep.model.family import load_processor, resizing_of
from nep.model.plain_text import PlainText
from nep.model.resizing import WithinBudget
from nep.model.samples import end_tokens

# Clips are sampled and resized already.
CLIP_SETTINGS = {"do_resize": False, "do_sample_frames": False}


@dataclass(frozen=True)
class Question:
    """A prompt, with a mark for each image and clip in the order in which they are shown."""

    text: str
    images: list[Image]
    clips: list[Clip]


class TrainedInputs(lmms):
    """What a model is asked about, read as in training: clips in the frames and pixels of the encode stage, texts by
    the checkpoint's own chat template."""

    is_simple = False

    def __init__(
        self, pretrained: str, sampling: str, frames: int, fps: float, min_pixels: int, max_pixels: int
    ) -> None:
        super().__init__()
        self.processor = load_processor(Path(pretrained))
        self._plain = PlainText(self.processor.tokenizer)
        self._vision = Vision(sampling=sampling, frames=frames, fps=fps, min_pixels=min_pixels, max_pixels=max_pixels)
        self._resizing = resizing_of(self.processor)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not what multiple choice by generation needs."""
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not what multiple choice by generation needs."""
        raise NotImplementedError

    def question_of(self, request: Instance) -> Question:
        """What a request asks, and shows."""
        conversation = messages_of(request, self.task_dict)
        parts = [part for turn in conversation for part in turn["content"]]
        return Question(
            text=self.processor.apply_chat_template(
                [
                    {**turn, "content": [self._for_the_template(part) for part in turn["content"]]}
                    for turn in conversation
                ],
                tokenize=False,
                add_generation_prompt=True,
            ),
            images=[part["url"] for part in parts if part["type"] == "image"],
            clips=[
                decode_clip(Path(part["url"]), self._vision, self._resizing)
                for part in parts
                if part["type"] == "video"
            ],
        )

    def inputs_of(self, questions: Sequence[Question]) -> Any:
        """A batch of the model's inputs, padded on the left."""
        clips = [clip for question in questions for clip in question.clips]
        images = [image for question in questions for image in question.images]
        videos = {"videos": [torch.from_numpy(clip.frames).permute(0, 3, 1, 2) for clip in clips]} if clips else {}
        return self.processor(
            text=[question.text for question in questions],
            **videos,
            **({"images": images} if images else {}),
            text_kwargs={"padding": True, "padding_side": "left", "return_tensors": "pt"},
            images_kwargs={"return_tensors": "pt", **self.image_settings()},
            videos_kwargs={
                **CLIP_SETTINGS,
                "return_tensors": "pt",
                "video_metadata": [VideoMetadata(**metadata_of(clip)) for clip in clips],
            },
        )

    def image_settings(self) -> dict[str, int]:
        """How images are resized."""
        if not isinstance(self._resizing, WithinBudget):
            return {}
        return {"min_pixels": self._vision.min_pixels, "max_pixels": self._vision.max_pixels}

    def text_of(self, tokens: Sequence[int]) -> str:
        """What completion tokens say."""
        return self.processor.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _for_the_template(self, part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "text": self._plain(part["text"])[0]} if part["type"] == "text" else {"type": part["type"]}


class FamilyModel(TrainedInputs):
    """Greedy completions by `generate`; in several processes, one for each GPU."""

    def __init__(
        self,
        pretrained: str,
        sampling: str,
        frames: int,
        fps: float,
        min_pixels: int,
        max_pixels: int,
        device: str = "cuda",
        batch_size: int = 1,
        dtype: str = "bfloat16",
        attn_implementation: str = "sdpa",
    ) -> None:
        super().__init__(pretrained, sampling, frames, fps, min_pixels, max_pixels)
        self.accelerator = Accelerator(cpu=device == "cpu")
        self.device = self.accelerator.device if self.accelerator.num_processes > 1 else torch.device(device)
        model = AutoModelForImageTextToText.from_pretrained(
            pretrained, dtype=getattr(torch, dtype), attn_implementation=attn_implementation, local_files_only=True
        )
        self.model = model.eval().to(self.device)
        self.batch_size = int(batch_size)
        self._ends = sorted(end_tokens(model, self.processor))

    @torch.no_grad()
    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One completion for each request, `batch_size` at a time."""
        starts = range(0, len(requests), self.batch_size)
        return [text for start in starts for text in self._complete(requests[start : start + self.batch_size])]

    def _complete(self, requests: Sequence[Instance]) -> list[str]:
        inputs = self.inputs_of([self.question_of(request) for request in requests])
        inputs = inputs.to(self.device, self.model.dtype)
        made = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=settings_of(requests[0])["max_new_tokens"],
            eos_token_id=self._ends,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        completions = made[:, inputs["input_ids"].shape[1] :]
        return [self.text_of(tokens) for tokens in completions]


def metadata_of(clip: Clip) -> dict[str, Any]:
    """What a processor is told of a clip's frames: their numbers in the file, and its rate."""
    return {
        "total_num_frames": clip.total,
        "fps": clip.source_fps,
        "duration": clip.total / clip.source_fps,
        "frames_indices": list(clip.indices),
    }
