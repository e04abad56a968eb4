"""The benchmark that waits for a GPU: all of it runs at toy size, and its real size is the released model's."""

import json
from pathlib import Path

import pytest
import torch
from support.entry_points import ROOT

from nep.config.training import Training
from nep.model.param_groups import freeze
from nep.train.engine import deepspeed_config
from nep.train.runtime.preflight import memory_lines, size_of


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import train_gpu

    return train_gpu


@pytest.fixture
def released(benchmark):
    """Qwen2.5-VL-7B without memory."""
    processor = benchmark.build_processor(benchmark.WORDS)
    with torch.device("meta"):
        return benchmark.Qwen2_5_VLForConditionalGeneration(benchmark.config_of(benchmark.SIZES["7B"], processor))


def test_all_of_it_runs_at_toy_size(benchmark, tmp_path: Path) -> None:
    result = json.loads(json.dumps(benchmark.alone(benchmark.measure, "toy", tmp_path, len), allow_nan=False))
    assert result["failed"] == {}
    assert (result["size"], result["ranks"]) == ("toy", 8)
    found = result["measured"]
    assert set(found) == {"sft, zero2", "sft, zero3", "grpo, zero2", "grpo, zero3"}
    assert found["sft, zero2"]["checkpoint"]["bytes"] > 0
    assert found["sft, zero2"]["packed_error"] < 1e-4
    # One of eight processes: two of sixteen prompts, and the lines of the preflight for one of eight.
    assert found["grpo, zero2"]["decode"]["prompts"] == 2
    assert "whole copy for decoding" in found["grpo, zero3"]["preflight"]
    assert "whole copy for decoding" not in found["grpo, zero2"]["preflight"]
    for part in found.values():
        assert part["seconds"] > 0
        assert part["preflight_bytes"] == sum(part["preflight"].values())
    assert all(row["ratio"] > 0 and row["clip"] == "toy" for row in result["ratios"])


def test_the_real_size_is_that_of_the_released_model(released) -> None:
    assert sum(weight.numel() for weight in released.parameters()) == 8_292_166_656


@pytest.mark.parametrize("part", ["sft", "grpo"])
def test_the_published_stage_needs_less_than_a_gpu_of_80_gb_and_no_copy(benchmark, released, part: str) -> None:
    """ZeRO-3 adds a whole copy for decoding to GRPO, which is more than it saves with eight processes."""

    def needed(training: Training) -> int:
        lines = memory_lines(size_of(released), training, deepspeed_config(training), training.processes)
        return sum(line.bytes for line in lines if line.place == "device")

    by_stage = {zero: benchmark.published(part, "7B", zero) for zero in ("zero2", "zero3")}
    config = benchmark.load_config(benchmark.yaml.safe_load((ROOT / "config/v1_33k.yaml").read_text()))
    chosen = getattr(config.experiments["nep"], part)
    freeze(released, chosen)
    assert chosen.processes == benchmark.RANKS
    assert needed(chosen) == needed(by_stage["zero2"]) < 80e9
    assert (needed(by_stage["zero2"]) < needed(by_stage["zero3"])) == (part == "grpo")
