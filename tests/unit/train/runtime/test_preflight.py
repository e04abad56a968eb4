"""The memory table: parameters to the byte against DeepSpeed's own tensors, and refusals that name what to change."""

from collections.abc import Callable

import pytest
import torch
from support.engine_memory import held

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Training
from nep.errors import InputError
from nep.train.engine import Engine, deepspeed_config
from nep.train.runtime.preflight import GIB, Line, ModelSize, check, host_memory, memory_lines, model_size, table

# Qwen2.5-VL-3B: 3.75e9 parameters, of which the vision side has 0.67e9.
LARGE = ModelSize(
    parameters=3_754_622_976, trainable=3_085_938_688, layers=36, hidden=2048, intermediate=11008, key_value=512,
    vocabulary=151_936,
)  # fmt: skip


def zero(stage: int, **more: object) -> dict[str, object]:
    return {"zero_optimization": {"stage": stage, **more}}


def by_name(lines: list[Line]) -> dict[str, int]:
    return {line.name: line.bytes for line in lines}


def bytes_of(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_parameter_lines_are_those_of_the_engine(
    run_folder, engine_of: Callable[[Training], Engine], precision: str
) -> None:
    sft = Sft(precision=precision)
    lines = by_name(
        memory_lines(model_size(run_folder / "models" / "base", sft), sft, deepspeed_config(sft), processes=1)
    )
    engine = engine_of(sft)
    optimizer = engine.deepspeed.optimizer
    assert lines["weights"] == bytes_of(list(engine.model.parameters()))
    assert lines["gradients"] == bytes_of([weight for weight in engine.model.parameters() if weight.requires_grad])
    masters = bytes_of(optimizer.single_partition_of_fp32_groups)
    # DeepSpeed fills a partition up to a multiple of a few elements.
    assert lines["master weights"] <= masters <= lines["master weights"] + 64
    assert lines["optimizer states"] == 2 * lines["master weights"]


def test_lines_of_two_processes_are_those_of_their_engines(run_folder, tmp_path) -> None:
    model = run_folder / "models" / "base"
    for stage, processes in held(model, [1, 2, 3], 2, tmp_path).items():
        sft = Sft(precision="bf16")
        named = by_name(memory_lines(model_size(model, sft), sft, zero(stage), processes=2))
        for found in processes:
            for line, bytes_held in found.items():
                # ZeRO-3 fills up each weight's part, the others the whole partition.
                assert named[line] - 8 <= bytes_held <= named[line] * 1.01, (stage, line)


def test_a_large_model_by_hand() -> None:
    sft = Sft(precision="bf16")
    lines = by_name(memory_lines(LARGE, sft, zero(2, reduce_bucket_size=50_000_000), processes=4))
    assert lines["weights"] == LARGE.parameters * 2
    assert lines["gradients"] == LARGE.trainable // 4 * 2
    assert lines["master weights"] == LARGE.trainable // 4 * 4
    assert lines["optimizer states"] == LARGE.trainable // 4 * 8
    assert lines["buckets"] == 50_000_000 * 2


def test_stages_and_offload_move_and_share_the_lines() -> None:
    sft = Sft(precision="bf16")
    stages = [by_name(memory_lines(LARGE, sft, zero(stage), processes=8)) for stage in range(4)]
    assert stages[0]["gradients"] == stages[1]["gradients"] == pytest.approx(8 * stages[2]["gradients"], rel=1e-6)
    assert stages[2]["weights"] == pytest.approx(8 * stages[3]["weights"], rel=1e-6)
    offloaded = memory_lines(LARGE, sft, zero(2, offload_optimizer={"device": "cpu"}), processes=1)
    places = {line.name: line.place for line in offloaded}
    assert places["optimizer states"] == places["master weights"] == "host"
    assert places["weights"] == "device"


def test_checkpointing_and_shorter_rows_need_less() -> None:
    def activations(**settings: object) -> int:
        return by_name(memory_lines(LARGE, Sft(precision="bf16", **settings), zero(2), processes=1))["activations"]

    assert activations(gradient_checkpointing=True) < activations() / 5
    assert activations(pack_tokens=8192) == pytest.approx(activations(pack_tokens=16384) / 2, rel=1e-6)


def test_dora_keeps_two_outputs_of_each_linear_layer_more() -> None:
    def activations(**lora: object) -> int:
        return by_name(memory_lines(LARGE, Sft(precision="bf16", lora=lora), zero(2), processes=1))["activations"]

    outputs = 3 * LARGE.hidden + LARGE.key_value + 2 * LARGE.intermediate
    assert activations(dora=True) - activations() == 16 * 1024 * LARGE.layers * 2 * outputs * 2


def test_a_row_is_no_longer_than_a_step() -> None:
    def activations(block: Sft | Grpo) -> int:
        return by_name(memory_lines(LARGE, block, zero(2), processes=1))["activations"]

    few = {"prompts_per_step": 1, "completions": 8, "max_prompt_tokens": 1024}
    assert activations(Grpo(**few, max_new_tokens=128)) == activations(
        Grpo(**few, max_new_tokens=128, pack_tokens=2048)
    )
    assert activations(Grpo(**few, max_new_tokens=2048)) == activations(Grpo())
    assert activations(Sft(batch_size=4, max_tokens=512)) == activations(Sft(pack_tokens=2048))


def test_grpo_holds_a_reference_and_a_cache() -> None:
    grpo = Grpo(precision="bf16", prompts_per_step=16, completions=8, max_prompt_tokens=1000, max_new_tokens=24)
    lines = by_name(memory_lines(LARGE, grpo, zero(3), processes=4))
    assert lines["reference model"] == lines["whole copy for decoding"] == LARGE.parameters * 2
    assert lines["KV cache of the rollout"] == 4 * 8 * 1024 * 36 * 512 * 2
    without = grpo.model_copy(update={"kl_coef": 0.0})
    assert not {"reference model", "whole copy for decoding"} & by_name(memory_lines(LARGE, without, zero(2), 4)).keys()


def test_what_cannot_fit_is_refused_with_its_largest_part() -> None:
    lines = memory_lines(LARGE, Sft(precision="bf16", gradient_checkpointing=True), zero(2), processes=1)
    check(lines, {"device": 80 * GIB, "host": 128 * GIB})
    with pytest.raises(
        InputError, match=r"of device memory; 40\.0 GiB available\. The largest part is optimizer states"
    ):
        check(lines, {"device": 40 * GIB})
    shown = table(lines, {"device": 80 * GIB})
    assert f"{'optimizer states':<26}{'device':<8}{LARGE.trainable * 8 / GIB:>9.3f}" in shown


def test_the_machines_memory_is_known() -> None:
    assert GIB / 2 < host_memory() < 1 << 50
