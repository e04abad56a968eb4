"""vLLM as a model of lmms-eval, with the frames and pixels of the encode stage.

lmms-eval's own wrapper of vLLM shows the frames of a video as so many images: twice the visual tokens, at the positions
of images, which no training here has seen.
"""

from typing import Any

from lmms_eval.api.instance import Instance
from vllm import LLM, SamplingParams

from nep.evaluate.family_model import CLIP_SETTINGS, Question, TrainedInputs, metadata_of
from nep.evaluate.requests import settings_of


class VllmModel(TrainedInputs):
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
        super().__init__(pretrained, sampling, frames, fps, min_pixels, max_pixels)
        self._llm = LLM(model=pretrained, dtype=dtype, seed=0, limit_mm_per_prompt={"image": 1, "video": 1}, **engine)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One completion for each request. Raises RuntimeError where vLLM reads a prompt otherwise than training."""
        questions = [self.question_of(request) for request in requests]
        sampling = [
            SamplingParams(temperature=0.0, max_tokens=settings_of(request)["max_new_tokens"], detokenize=False)
            for request in requests
        ]
        outputs = self._llm.generate([self._prompt(question) for question in questions], sampling, use_tqdm=False)
        for request, question, output in zip(requests, questions, outputs, strict=True):
            expected = self.inputs_of([question])["input_ids"][0].tolist()
            if output.prompt_token_ids != expected:
                raise RuntimeError(
                    f"document {request.args[3]}: vLLM reads {len(output.prompt_token_ids)} prompt tokens, and not the "
                    f"{len(expected)} of training; use evaluate.backend: hf for this model"
                )
        return [self.text_of(output.outputs[0].token_ids) for output in outputs]

    def _prompt(self, question: Question) -> dict[str, Any]:
        shown = {
            "image": question.images,
            "video": [(clip.frames, {**metadata_of(clip), "do_sample_frames": False}) for clip in question.clips],
        }
        return {
            "prompt": question.text,
            "multi_modal_data": {name: items for name, items in shown.items() if items},
            "mm_processor_kwargs": {"images_kwargs": self.image_settings(), "videos_kwargs": CLIP_SETTINGS},
        }
