"""A checkpoint that is evaluated with weights in 8 and 4 bits."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from support.evaluation_run import write_clip

from nep.config.evaluate import Evaluate
from nep.config.vision import Vision
from nep.evaluate.backends import backend_for

pytestmark = pytest.mark.e2e
VISION = Vision(frames=4, max_pixels=3136)


@pytest.mark.parametrize(("kind", "layer"), [("int8", "Linear8bitLt"), ("nf4", "Linear4bit")])
def test_questions_are_answered_by_the_quantised_model(
    tiny_checkpoint: Path, tmp_path: Path, kind: str, layer: str
) -> None:
    from lmms_eval.api.instance import Instance

    from nep.evaluate.family_model import FamilyModel

    clips = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for clip in clips:
        write_clip(clip, 8)
    backend = backend_for(tiny_checkpoint, VISION, Evaluate(device="cpu", precision="fp32", quantize=kind), clips)
    assert (backend.model, backend.arguments["quantize"]) == ("nep_family", kind)
    wrapper = FamilyModel(**backend.arguments, device="cpu", batch_size=2)
    layers = [type(module).__name__ for module in wrapper.model.model.language_model.layers.modules()]
    assert layers.count(layer) == 28 and "Linear" not in layers

    def messages(clip: str) -> list[dict]:
        return [{"role": "user", "content": [{"type": "video", "url": clip}, {"type": "text", "text": "Next?"}]}]

    wrapper.task_dict = {"task": {"test": list(map(str, clips))}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("Next?", messages, {"max_new_tokens": 6}, number, "task", "test"),
            idx=0,
            metadata={"task": "task", "doc_id": number, "repeats": 1},
        )
        for number in range(2)
    ]
    first, second = wrapper.generate_until(requests)
    assert first and first == second
    assert wrapper.model.dtype == torch.float32


def test_an_engine_is_told_otherwise() -> None:
    with pytest.raises(ValidationError, match="quantize is for backend hf; vllm takes it by model_args"):
        Evaluate(backend="vllm", quantize="int8")
