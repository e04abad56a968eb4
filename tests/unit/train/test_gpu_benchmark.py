"""The benchmark that waits for a GPU: all of its parts run at toy size, and its result has the form that plots read."""

import json
from pathlib import Path

import pytest
from support.entry_points import ROOT


def test_all_parts_run_at_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_settings: None, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import train_gpu

    result = json.loads(json.dumps(train_gpu.measure(["toy"], train_gpu.PARTS, tmp_path), allow_nan=False))
    assert result["failed"] == {}
    assert result["size"] == "toy"
    assert result["measured"]["toy"].keys() == set(train_gpu.PARTS)
    assert [row["what"] for row in result["ratios"]] == [
        "SFT, all weights, long rows",
        "SFT, LoRA, long rows",
        "SFT step from the cache",
        "decode step",
        "GRPO update, R=32",
        "GRPO update, R=128",
    ]
    # A toy says nothing about what is aimed at.
    assert all(row["ratio"] > 0 and row["target"] is None and row["clip"] == "toy" for row in result["ratios"])


def test_the_real_sizes_are_those_of_the_released_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import torch

    import train_gpu

    processor = train_gpu.build_processor(train_gpu.WORDS)
    for name, parameters in (("3B", 3_754_622_976), ("7B", 8_292_166_656)):
        with torch.device("meta"):
            model = train_gpu.Qwen2_5_VLForConditionalGeneration(train_gpu.config_of(train_gpu.SIZES[name], processor))
        assert sum(weight.numel() for weight in model.parameters()) == parameters
