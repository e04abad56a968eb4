"""The tiny checkpoint is one that transformers reads like a released one."""

from pathlib import Path

from nep.demo.tiny_checkpoint import SPECIAL_TOKENS


def test_it_loads_like_a_released_checkpoint(tiny_checkpoint: Path):
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint)
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)

    assert 5e5 < sum(parameter.numel() for parameter in model.parameters()) < 3e6
    assert model.config.video_token_id == processor.video_token_id
    assert all(len(processor.tokenizer.encode(token)) == 1 for token in SPECIAL_TOKENS)
    text = "<think>\nÜber 3 balls.\n</think>\n<answer>\nB\n</answer>"
    assert processor.tokenizer.decode(processor.tokenizer.encode(text)) == text
