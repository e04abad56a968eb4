"""lmms-eval's unmodified wrapper feeds the model the pixels that the encode stage cached for training."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from nep.config.vision import Vision
from nep.encode.frames import decode_clip
from nep.model.family import load_processor, placeholder_of, resizing_of

pytestmark = pytest.mark.e2e


def write_textured_clip(path: Path, frames: int, width: int, height: int) -> None:
    """H.264 with B-frames: coloured gradients and blocks that move, a quarter of a period in the whole clip."""
    rows, columns = np.mgrid[0:height, 0:width]
    with av.open(str(path), "w") as container:
        options = {"crf": "18", "bf": "3", "g": "12", "threads": "1"}
        stream = container.add_stream("libx264", rate=12, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            channels = [rows * 2 + 5 * number, columns * 3 - 4 * number, (rows // 8 + columns // 8 + number) % 2 * 200]
            image = np.stack(channels, axis=-1).astype(np.int64) % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode(None))


def wrapper_inputs(checkpoint: Path, clips: list[Path], vision: Vision, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What lmms-eval's wrapper passes to `generate` for one batch of clips."""
    from lmms_eval.api.instance import Instance
    from lmms_eval.models.chat.qwen2_5_vl import Qwen2_5_VL

    sampling = {"max_num_frames": vision.frames} if vision.sampling == "uniform" else {"fps": vision.fps}
    wrapper = Qwen2_5_VL(
        pretrained=str(checkpoint),
        device="cpu",
        device_map="cpu",
        batch_size=len(clips),
        attn_implementation="sdpa",
        min_pixels=vision.min_pixels,
        max_pixels=vision.max_pixels,
        **sampling,
    )
    captured = {}

    def generate(**inputs):
        captured.update(inputs)
        return inputs["input_ids"]

    def messages(clip: str) -> list[dict]:
        return [{"role": "user", "content": [{"type": "video", "url": clip}, {"type": "text", "text": "Next?"}]}]

    monkeypatch.setattr(wrapper.model, "generate", generate)
    wrapper.task_dict = {"task": {"test": [str(clip) for clip in clips]}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("Next?", messages, {"max_new_tokens": 1}, number, "task", "test"),
            idx=0,
            metadata={"task": "task", "doc_id": number, "repeats": 1},
        )
        for number in range(len(clips))
    ]
    wrapper.generate_until(requests)
    return captured


@pytest.mark.parametrize(
    "vision",
    [
        Vision(frames=8, min_pixels=3136, max_pixels=12544),
        Vision(frames=6, min_pixels=784, max_pixels=3136),
        Vision(frames=16, min_pixels=50176, max_pixels=100352),
        Vision(sampling="fps", fps=4, frames=32, max_pixels=12544),
    ],
    ids=["uniform", "shrunk", "grown", "fps"],
)
def test_pixels_grids_and_seconds_are_those_of_the_encode_stage(
    vision: Vision, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clips = [tmp_path / "wide.mp4", tmp_path / "square.mp4"]
    write_textured_clip(clips[0], 37, 176, 98)
    write_textured_clip(clips[1], 41, 112, 112)

    fed = wrapper_inputs(tiny_checkpoint, clips, vision, monkeypatch)

    processor = load_processor(tiny_checkpoint)
    ours = [placeholder_of(processor, decode_clip(clip, vision, resizing_of(processor))) for clip in clips]
    assert fed["video_grid_thw"].tolist() == [list(placeholder.grid) for placeholder, _ in ours]
    assert torch.as_tensor(fed["second_per_grid_ts"]).tolist() == pytest.approx(
        [placeholder.second_per_grid for placeholder, _ in ours]
    )
    torch.testing.assert_close(
        fed["pixel_values_videos"].float(),
        torch.cat([inputs["pixel_values_videos"] for _, inputs in ours]),
        rtol=0,
        atol=1e-5,
    )
