"""The memory table: parameters to the byte against DeepSpeed's own tensors and files, the real 7B model by other
formulas, and refusals that name what to change."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.engine_memory import checkpoint_bytes, held
from support.live_memory import LiveMemory, peak_bytes
from support.qwen_7b import SIZES, language_model, write_config

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Training
from nep.errors import InputError
from nep.model.scoring import CHUNK, Scorer
from nep.train.engine import Engine, deepspeed_config
from nep.train.runtime.host_memory import host_memory
from nep.train.runtime.preflight import (
    CUDA,
    GIB,
    Line,
    ModelSize,
    check,
    memory_here,
    memory_lines,
    model_size,
    table,
)

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
        sft = Sft(precision="bf16", processes=2)
        named = by_name(memory_lines(model_size(model, sft), sft, zero(stage), processes=2))
        for found in processes:
            for line, bytes_held in found.items():
                # ZeRO-3 fills up each weight's part, the others the whole partition.
                assert named[line] - 8 <= bytes_held <= named[line] * 1.01, (stage, line)
        # Beside the tensors a file has their names and shapes.
        written = checkpoint_bytes(stage, tmp_path) / 2
        assert named["checkpoint being written"] <= written <= named["checkpoint being written"] * 1.05, stage


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


def test_a_row_is_no_longer_than_a_processs_part_of_a_step() -> None:
    def activations(block: Sft | Grpo, processes: int) -> int:
        return by_name(memory_lines(LARGE, block, zero(2), processes))["activations"]

    sft = Sft(batch_size=8, max_tokens=1024)
    assert activations(sft, 8) == pytest.approx(activations(sft, 2) / 4, rel=1e-6)
    assert activations(sft, 3) == pytest.approx(activations(sft, 8) * 3, rel=1e-6), "one of three has three samples"
    grpo = Grpo(prompts_per_step=4, completions=2, max_prompt_tokens=1000, max_new_tokens=500)
    assert activations(grpo, 4) == pytest.approx(activations(grpo, 1) / 4, rel=1e-6)


def test_grpo_holds_a_reference_and_a_cache() -> None:
    grpo = Grpo(precision="bf16", prompts_per_step=16, completions=8, max_prompt_tokens=1000, max_new_tokens=24)
    lines = by_name(memory_lines(LARGE, grpo, zero(3), processes=4))
    assert lines["reference model"] == lines["whole copy for decoding"] == LARGE.parameters * 2
    assert lines["KV cache of the rollout"] == 16 * 1024 * 36 * 512 * 2, "of a validation, one completion a prompt"
    longer = grpo.model_copy(update={"max_new_tokens": 1000})
    lines = by_name(memory_lines(LARGE, longer, zero(3), processes=4))
    assert lines["KV cache of the rollout"] == 4 * (1000 + 8 * 1000) * 36 * 512 * 2, "a prompt is cached once"
    without = grpo.model_copy(update={"kl_coef": 0.0})
    assert not {"reference model", "whole copy for decoding"} & by_name(memory_lines(LARGE, without, zero(2), 4)).keys()


def test_vllm_takes_its_weights_where_it_computes_and_its_cache_with_them() -> None:
    own, shared = (Grpo(precision="bf16", rollout="vllm", rollout_gpus=gpus) for gpus in ("own", "shared"))
    beside, apart = (by_name(memory_lines(LARGE, grpo, zero(2), 4)) for grpo in (shared, own))
    here = by_name(memory_lines(LARGE, shared, zero(2), 4, on_gpu=False))
    whole = LARGE.parameters * 2
    assert beside["weights of vLLM"] == here["weights of vLLM"] == whole
    assert apart["weights on their way to it"] == here["weights on their way to it"] == 2 * whole
    alone = by_name(memory_lines(LARGE, Grpo(precision="bf16"), zero(2), 4))
    assert beside.keys() - alone.keys() == {"weights of vLLM"}
    assert beside["KV cache of the rollout"] == alone["KV cache of the rollout"]
    assert apart.keys() - alone.keys() == {"weights on their way to it"}
    assert alone.keys() - apart.keys() == {"KV cache of the rollout"}


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> ModelSize:
    """Qwen2.5-VL-7B as its config builds it."""
    folder = tmp_path_factory.mktemp("seven")
    write_config(folder)
    return model_size(folder, Sft())


def test_the_7b_model_has_its_published_weights(seven: ModelSize) -> None:
    wide, keys, between, layers, words = 3584, 4 * 128, 18944, 28, 152_064
    attention = wide * wide + wide + 2 * (wide * keys + keys) + wide * wide
    text = layers * (attention + 3 * wide * between + 2 * wide) + wide + 2 * words * wide
    tower, small = 1280, 3420
    block = (tower * 3 * tower + 3 * tower) + (tower * tower + tower) + 2 * tower
    block += 2 * (tower * small + small) + (small * tower + tower)
    merged = 4 * tower
    merger = tower + merged * merged + merged + merged * wide + wide
    assert seven.trainable == text == 7_615_616_512
    assert seven.parameters == text + 3 * 2 * 14 * 14 * tower + 32 * block + merger == 8_292_166_656
    assert (seven.layers, seven.hidden, seven.intermediate) == (layers, wide, between)
    assert (seven.key_value, seven.vocabulary) == (2 * keys, words)


# Bytes of a process of eight on one node, each by its own arithmetic: 8.292 billion weights, 7.616 of them trained.
SHARED = {
    "master weights": 7.6156e9 / 8 * 4,
    "optimizer states": 7.6156e9 / 8 * 8,
    "gradients in fp32": 7.6156e9 / 8 * 4,
    "gradients": 7.6156e9 / 8 * 2,
    # A layer's input of each of 28 layers, what one layer keeps, features and last hidden states; bf16, 16,384 tokens.
    "activations": 16384 * 2 * (28 * 3584 + (10 * 3584 + 4 * 18944 + 1024) + 1024 + 2 * 3584),
    CUDA: 1.5 * GIB,
}
BY_STAGE = {
    2: {"weights": 8.2922e9 * 2, "buckets": 5e7 * 2, "checkpoint being written": 7.6156e9 * (12 + 2) / 8},
    3: {
        "weights": 8.2922e9 * 2 / 8,
        "buckets": 5e7 * 2 * 2,
        "gathered weights": 2e9,
        "checkpoint being written": 10.64 * GIB,
    },
}
ROLLOUT = {
    "logits": 6 * 1024 * 152_064 * 4,
    "reference model": 15.445 * GIB,
    # A validation holds 16 answers of 2,048 tokens behind prompts of 4,096: 56 KiB a token.
    "KV cache of the rollout": 16 * 6144 * 57_344,
}


@pytest.mark.parametrize("stage", [2, 3])
def test_the_published_sft_by_hand(seven: ModelSize, stage: int) -> None:
    sft = Sft(precision="bf16", gradient_checkpointing=True, processes=8)
    config = deepspeed_config(sft.model_copy(update={"deepspeed": f"config/deepspeed/zero{stage}.json"}))
    lines = by_name(memory_lines(seven, sft, config, processes=8))
    expected = SHARED | BY_STAGE[stage] | {"logits": 3 * 1024 * 152_064 * 4}
    assert lines == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("stage", [2, 3])
def test_the_published_grpo_by_hand(seven: ModelSize, stage: int) -> None:
    grpo = Grpo(precision="bf16", gradient_checkpointing=True, processes=8)
    config = deepspeed_config(grpo.model_copy(update={"deepspeed": f"config/deepspeed/zero{stage}.json"}))
    lines = by_name(memory_lines(seven, grpo, config, processes=8))
    whole = {"whole copy for decoding": 15.445 * GIB} if stage == 3 else {}
    assert lines == pytest.approx(SHARED | BY_STAGE[stage] | ROLLOUT | whole, rel=1e-3)


def test_logits_take_as_many_copies_as_a_backward_pass_holds(seven: ModelSize) -> None:
    head = torch.nn.Linear(64, seven.vocabulary, bias=False, device="meta", dtype=torch.bfloat16)
    scorer = SimpleNamespace(model=SimpleNamespace(get_output_embeddings=lambda: head))
    hidden = torch.zeros(CHUNK, 64, device="meta", dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(CHUNK, dtype=torch.long, device="meta")
    banned = torch.zeros(seven.vocabulary, dtype=torch.bool, device="meta")
    policies = {Sft: None, Grpo: SimpleNamespace(banned=banned, temperature=1.0)}
    for block, policy in policies.items():
        held_at_once = peak_bytes(lambda policy=policy: Scorer._score(scorer, hidden, targets, policy).sum().backward())
        named = by_name(memory_lines(seven, block(precision="bf16"), zero(2), processes=8))["logits"]
        assert named == pytest.approx(held_at_once, rel=0.01)


def test_a_layer_keeps_about_what_is_named(seven: ModelSize) -> None:
    """Twice 256 tokens less half of 512 leave out what SDPA's plain form keeps, which grows with the row's square."""
    kept = {(layers, length): kept_by_layers(layers, length) for layers in (1, 2) for length in (256, 512)}
    layer = {length: kept[2, length] - kept[1, length] for length in (256, 512)}
    without_scores = (2 * layer[256] - layer[512] / 2) / 256
    blocks = [Sft(precision="bf16", pack_tokens=256, gradient_checkpointing=again) for again in (True, False)]
    fewer, all_layers = (by_name(memory_lines(seven, block, zero(2), 8))["activations"] for block in blocks)
    named = ((all_layers - fewer) / 256 + 28 * 3584 * 2) / 27
    assert named == pytest.approx(without_scores, rel=0.15)


def kept_by_layers(layers: int, length: int) -> int:
    """Bytes that autograd keeps of a row of `length` tokens in a language model of the 7B's layers."""
    model = language_model(layers)
    row = torch.zeros(1, length, SIZES["hidden_size"], dtype=torch.bfloat16, device="meta", requires_grad=True)
    positions = torch.zeros(3, 1, length, dtype=torch.long, device="meta")
    with LiveMemory() as memory:
        result = model(inputs_embeds=row, position_ids=positions, use_cache=False)
        kept = memory.now
    del result
    return kept


def test_what_cannot_fit_is_refused_with_its_largest_part() -> None:
    lines = memory_lines(LARGE, Sft(precision="bf16", gradient_checkpointing=True), zero(2), processes=1)
    check(lines, {"device": 80 * GIB, "host": 128 * GIB})
    with pytest.raises(
        InputError, match=r"of device memory; 40\.0 GiB available\. The largest part is optimizer states"
    ):
        check(lines, {"device": 40 * GIB})
    shown = table(lines, {"device": 80 * GIB})
    assert f"{'optimizer states':<26}{'device':<8}{LARGE.trainable * 8 / GIB:>9.3f}" in shown


def test_without_a_gpu_all_lies_on_the_host_and_cuda_takes_nothing() -> None:
    """AdamW is one kernel on CUDA, and copies its second moments elsewhere."""
    on_gpu, on_cpu = (
        memory_lines(LARGE, Sft(precision="bf16"), zero(2), processes=2, on_gpu=on_gpu) for on_gpu in (True, False)
    )
    assert {line.place for line in on_cpu} == {"host"}
    gpu, cpu = by_name(on_gpu), by_name(on_cpu)
    assert gpu.pop(CUDA) == 1.5 * GIB and cpu.pop("optimizer step") == LARGE.trainable // 2 * 4
    assert gpu == cpu
    assert memory_here(processes=2) == {"host": host_memory() // 2}


def test_the_machines_memory_is_known() -> None:
    assert GIB / 2 < host_memory() < 1 << 50


def proc_of(folder: Path, groups: str) -> Path:
    """A /proc of a machine of 64 GiB and of a process in these control groups."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(f"MemTotal: {64 << 20} kB\nMemFree: 1 kB\n")
    (folder / "proc/self/cgroup").write_text(groups)
    return folder / "proc"


def write_limit(file: Path, limit: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(limit + "\n")


def test_a_jobs_limit_counts_and_not_the_nodes(tmp_path: Path) -> None:
    """Version 2: Slurm's --mem is the limit of the job's group, above that of the step, which the process is in."""
    groups = tmp_path / "cgroup"
    proc = proc_of(tmp_path, "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n")
    assert host_memory(proc, groups) == 64 * GIB, "a tree that is not mounted"
    write_limit(groups / "memory.max", "max")
    write_limit(groups / "system.slice/slurmstepd.scope/job_7/memory.max", str(8 * GIB))
    write_limit(groups / "system.slice/slurmstepd.scope/job_7/step_0/memory.max", str(32 * GIB))
    write_limit(groups / "system.slice/slurmstepd.scope/job_8/memory.max", str(1 * GIB))
    assert host_memory(proc, groups) == 8 * GIB


def test_the_limit_of_a_group_of_version_1(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    proc = proc_of(tmp_path, "9:cpu,cpuacct:/\n4:memory:/slurm/uid_0/job_7/step_batch\n1:name=systemd:/\n0::/\n")
    unlimited = str((1 << 63) - 4096)
    write_limit(groups / "memory/memory.limit_in_bytes", unlimited)
    write_limit(groups / "memory/slurm/uid_0/job_7/memory.limit_in_bytes", str(16 * GIB))
    write_limit(groups / "memory/slurm/uid_0/job_7/step_batch/memory.limit_in_bytes", unlimited)
    assert host_memory(proc, groups) == 16 * GIB


def test_a_container_shows_its_own_root(tmp_path: Path) -> None:
    """Its group's path is that of the host, and its limit stands at the root that it sees."""
    groups = tmp_path / "cgroup"
    proc = proc_of(tmp_path, "4:memory:/docker/abc\n")
    write_limit(groups / "memory/memory.limit_in_bytes", str(4 * GIB))
    assert host_memory(proc, groups) == 4 * GIB
    assert host_memory(proc_of(tmp_path / "other", "0::/../..\n"), groups) == 64 * GIB
