"""vLLM as a model of lmms-eval, with the frames and pixels of the encode stage.

lmms-eval's own wrapper of vLLM shows the frames of a video as so many images: twice the visual tokens, at the positions
of images, which no training here has seen.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lmms_eval.api.instance import Instance
from PIL.Image import Image
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, ProcessorMixin
from vllm import LLM, SamplingParams
from vllm.multimodal.inputs import MultiModalFeatureSpec

from nep.config.vision import Vision
from nep.evaluate.family_model import ChatLmms, shown
from nep.evaluate.requests import messages_of, settings_of
from nep.model.chat import CLIP_SETTINGS, ChatInputs, metadata_of
from nep.model.clip import Clip
from nep.model.samples import rotary_positions

# What a model's function for positions is told of images and clips.
GRIDS = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")


class VllmModel(ChatLmms):
    """Greedy completions by vLLM, which makes its own batches."""

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
        **engine: Any,
    ) -> None:
        """`engine`: more of vLLM's arguments. `device` and `batch_size` come from lmms-eval, and vLLM needs neither."""
        super().__init__()
        self._vision = Vision(sampling=sampling, frames=frames, fps=fps, min_pixels=min_pixels, max_pixels=max_pixels)
        self._chat = ChatInputs(Path(pretrained), self._vision)
        self._llm = LLM(model=pretrained, dtype=dtype, seed=0, limit_mm_per_prompt={"image": 1, "video": 1}, **engine)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(pretrained))
        if rope_index := getattr(model.model, "get_rope_index", None):
            positions = TrainedPositions(rope_index, self._chat.processor)
            self._llm.apply_model(positions.install)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One completion for each request. Raises RuntimeError where vLLM reads a prompt otherwise than training."""
        chats = [messages_of(request, self.task_dict) for request in requests]
        parts = [shown([chat], self._vision, self._chat.resizing) for chat in chats]
        sampling = [
            SamplingParams(temperature=0.0, max_tokens=settings_of(request)["max_new_tokens"], detokenize=False)
            for request in requests
        ]
        prompts = [self._prompt(chat, *part) for chat, part in zip(chats, parts, strict=True)]
        outputs = self._llm.generate(prompts, sampling, use_tqdm=False)
        for request, chat, part, output in zip(requests, chats, parts, outputs, strict=True):
            expected = self._chat.inputs([chat], *part)["input_ids"][0].tolist()
            if output.prompt_token_ids != expected:
                raise RuntimeError(
                    f"document {request.args[3]}: vLLM reads {len(output.prompt_token_ids)} prompt tokens, and not the "
                    f"{len(expected)} of training; use evaluate.backend: hf for this model"
                )
        return self._chat.texts([output.outputs[0].token_ids for output in outputs])

    def _prompt(self, chat: list[dict[str, Any]], clips: Sequence[Clip], images: Sequence[Image]) -> dict[str, Any]:
        videos = [(clip.frames, {**metadata_of(clip), "do_sample_frames": False}) for clip in clips]
        media = {"image": list(images), "video": videos}
        return {
            "prompt": self._chat.prompt(chat),
            "multi_modal_data": {name: items for name, items in media.items() if items},
            "mm_processor_kwargs": {"images_kwargs": self._chat.image_settings(), "videos_kwargs": CLIP_SETTINGS},
        }


class TrainedPositions:
    """Rotary positions of prompts by the function of transformers, as in training, in the place of vLLM's own.

    They differ: since 5.3 transformers lets the text behind a video go on from the larger side of its grid, vLLM 0.32
    from its last moment; and where a moment is a whole number but for rounding, they round it otherwise.
    """

    def __init__(self, rope_index: Callable[..., Any], processor: ProcessorMixin) -> None:
        self._rope_index = rope_index
        self._processor = processor

    def install(self, model: nn.Module) -> None:
        """Have vLLM's model ask here."""
        model.get_mrope_input_positions = self

    def __call__(self, input_tokens: list[int], mm_features: Sequence[MultiModalFeatureSpec]) -> tuple[Tensor, int]:
        """(3, L) int64 positions, and what is added to the place of a token behind the prompt to have its position."""
        grids = {
            name: torch.stack(values)
            for name in GRIDS
            if (values := [item.data[name].data for item in mm_features if item.data.get(name) is not None])
        }
        positions = rotary_positions(self._rope_index, self._processor, input_tokens, **grids)
        return positions, int(positions.max()) + 1 - len(input_tokens)
