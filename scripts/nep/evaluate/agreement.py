"""One clip through the vision cache's way and through lmms-eval's wrapper: do both give the model the same?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lmms_eval.api.instance import Instance
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from nep.config.encode import Encode
from nep.config.vision import Vision
from nep.encode.features import DTYPES
from nep.encode.frames import decode_clip
from nep.evaluate.requests import first_video, key_of, messages_of
from nep.model.family import Placeholder, encoder_outputs, placeholder_of, resizing_of, vision_features
from nep.model.samples import VIDEO_MARK, SampleBuilder

_KEY = "clip"


@dataclass(frozen=True)
class Check:
    """Document `doc` of `task` is asked both ways; the comparison goes to the file `out`."""

    task: str
    doc: int
    vision: Vision
    encode: Encode
    out: Path


class _OneClip:
    """What sample building needs of a cache, for one clip."""

    def __init__(self, placeholder: Placeholder) -> None:
        self._placeholder = placeholder

    def placeholder(self, key: str) -> Placeholder:
        return self._placeholder


def compare_logits(
    wrapper: Any, generate_until: Callable[..., Any], requests: Sequence[Instance], check: Check
) -> dict[str, Any]:
    """Logits of the first answer token, by `wrapper` (its `generate_until` for `requests`) and by the cache's way.

    Returns {"largest_difference", "largest_logit", "same_tokens", "same_choice"}; empty where the document is not among
    the requests.
    """
    asked = [request for request in requests if key_of(request) == (check.task, check.doc)]
    if not asked:
        return {}
    messages = messages_of(asked[0], wrapper.task_dict)
    clip = Path(first_video(messages))
    parts = messages[-1]["content"]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    with torch.no_grad():
        theirs = _captured(wrapper, generate_until, asked[0])
        expected = wrapper.model(**theirs).logits[0, -1].float()
        tokens, logits = _by_the_cache(wrapper.model, wrapper.processor, clip, text, check)
    return {
        "largest_difference": round((logits - expected).abs().max().item(), 6),
        "largest_logit": round(expected.abs().max().item(), 6),
        "same_tokens": tokens.tolist() == theirs["input_ids"][0].tolist(),
        "same_choice": logits.argmax().item() == expected.argmax().item(),
    }


def _captured(wrapper: Any, generate_until: Callable[..., Any], request: Instance) -> dict[str, Tensor]:
    """The tensors that the wrapper hands to `generate` for a request."""
    captured: dict[str, Tensor] = {}

    def generate(**inputs: Any) -> Tensor:
        captured.update({name: value for name, value in inputs.items() if isinstance(value, Tensor)})
        return inputs["input_ids"]

    model = wrapper.model
    model.generate = generate
    try:
        generate_until([request])
    finally:
        del model.generate
    return captured


def _by_the_cache(
    model: PreTrainedModel, processor: ProcessorMixin, clip: Path, text: str, check: Check
) -> tuple[Tensor, Tensor]:
    """Tokens of the prompt, and fp32 logits (vocabulary,) at its end, with features as the encode stage stores them."""
    placeholder, inputs = placeholder_of(processor, decode_clip(clip, check.vision, resizing_of(processor)))
    (features,) = vision_features(model, [inputs], placeholder.modality)
    features = features.to(DTYPES[check.encode.dtype]).to(features.dtype)
    turn = {"role": "user", "content": VIDEO_MARK + text}
    sample = SampleBuilder(processor, model, _OneClip(placeholder)).prompt("check", [turn], [_KEY])
    positions = sample.position_ids.to(model.device)
    logits = model(
        input_ids=sample.input_ids[None].to(model.device),
        position_ids=positions if len(positions) == 1 else positions[:, None],
        **encoder_outputs([features], placeholder),
    ).logits
    return sample.input_ids, logits[0, -1].float()
