"""LoRA and DoRA beside full tuning: same first loss, the papers' weights, a reference without a copy, plain results."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from support.families import FAMILIES, save_family
from support.matrix import MATRIX
from support.training_process import run
from transformers import AutoModelForImageTextToText, PreTrainedModel

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.training import Lora, Training
from nep.errors import InputError
from nep.files import read_json, read_jsonl
from nep.model.adapters import add_adapters, merge_adapters, without_adapters
from nep.model.packing import pack_row, trees_of
from nep.model.param_groups import freeze, is_adapter, part_of
from nep.model.scoring import Scorer
from nep.train.engine import Engine, deepspeed_config, load_model
from nep.train.rl.decoding import decoding_for, uniforms
from nep.train.rl.grpo import train_grpo
from nep.train.rl.rollout import Rollout
from nep.train.runtime.options import RunPaths
from nep.train.runtime.preflight import memory_lines, model_size
from nep.train.sft import train_sft

CPU = torch.device("cpu")
# Tokens of a row, more than any here.
ROW = 1 << 14
LORA, DORA = Lora(rank=4, alpha=8.0), Lora(rank=4, alpha=8.0, dora=True)
KINDS = pytest.mark.parametrize("lora", [LORA, DORA], ids=["lora", "dora"])
SFT = Sft(epochs=2, batch_size=3, lr=1e-2, threads=1, lora=LORA)
GRPO = Grpo(steps=3, prompts_per_step=3, completions=3, max_new_tokens=6, lr=1e-2, threads=1, kl_coef=0.1, lora=LORA)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def adapted(folder: Path, training: Training, noise: float = 0.05) -> PreTrainedModel:
    """A model with adapters that have been away from their start: `noise` on each of their weights."""
    model = load_model(folder, training, CPU).eval()
    add_adapters(model, training.lora, seed=0)
    freeze(model, training)
    shake(model, noise)
    return model


def shake(model: torch.nn.Module, noise: float = 0.05) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if is_adapter(name):
                weight += noise * torch.randn(weight.shape, generator=generator).to(weight)


def base_of(parts) -> Path:
    return parts.run / "models" / "base"


def row_of(parts):
    return pack_row(trees_of(parts.dialogues, ROW), parts.visuals, True, CPU)


def scores(model: PreTrainedModel, row) -> torch.Tensor:
    return Scorer(model)(row.inputs, row.rows, row.targets)


@KINDS
@pytest.mark.parametrize("zero", [2, 3])
def test_the_first_loss_is_that_of_full_tuning(parts, engine_of: Callable[[Training], Engine], lora: Lora, zero: int):
    row, file = row_of(parts), f"config/deepspeed/zero{zero}.json"
    full = engine_of(Sft(deepspeed=file)).score(row).detach()
    assert torch.equal(engine_of(Sft(deepspeed=file, lora=lora)).score(row), full)


@KINDS
@pytest.mark.parametrize("frozen", [["vision_tower", "projector"], ["vision_tower"]], ids=["both", "tower"])
def test_adapters_get_gradients_and_the_weights_beneath_do_not(parts, lora: Lora, frozen: list[str]) -> None:
    model = adapted(base_of(parts), Sft(lora=lora, freeze=frozen))
    parts.visuals._from_features, before = "projector" in frozen, parts.visuals._from_features
    row = row_of(parts)
    parts.visuals._from_features = before
    scores(model, row).sum().backward()
    with_gradient = {name for name, weight in model.named_parameters() if weight.grad is not None}
    parts_with = {part_of(name) for name in with_gradient}
    assert parts_with == ({"language_model"} if "projector" in frozen else {"language_model", "projector"})
    inside = {name for name in with_gradient if part_of(name) == "language_model"}
    assert inside == {name for name, _ in model.named_parameters() if is_adapter(name)}
    assert all(model.get_parameter(name).grad.abs().max() > 0 for name in inside)


@KINDS
@pytest.mark.parametrize("zero", [2, 3])
def test_a_step_moves_all_adapters_and_nothing_else(parts, engine_of, lora: Lora, zero: int) -> None:
    engine = engine_of(Sft(lora=lora, deepspeed=f"config/deepspeed/zero{zero}.json"))

    def weights() -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in engine.plain_model().named_parameters()}

    before = weights()
    for _ in range(2):
        engine.accumulate(-engine.score(row_of(parts)).mean(), last=True)
        assert engine.step(rate=1e-2) > 0
    moved = {name for name, weight in weights().items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if is_adapter(name)}


@KINDS
def test_packed_rows_and_recomputed_layers_give_the_same_gradient(parts, lora: Lora) -> None:
    separate = [pack_row([tree], parts.visuals, True, CPU) for tree in trees_of(parts.dialogues, 1)]
    found = []
    for rows, recompute in ((separate, False), ([row_of(parts)], False), ([row_of(parts)], True)):
        model = adapted(base_of(parts), Sft(lora=lora)).train()
        if recompute:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        sum(-scores(model, row).sum() for row in rows).backward()
        found.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(found[2], found[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@KINDS
def test_merged_weights_are_those_of_the_papers(parts, lora: Lora, precision: str) -> None:
    """W + α/r·BA, and m·(W + α/r·BA)/‖W + α/r·BA‖ with one norm for each output, in fp64."""
    model = adapted(base_of(parts), Sft(lora=lora, precision=precision))
    expected = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            left, right = layer.lora_B["default"].weight.double(), layer.lora_A["default"].weight.double()
            weight = layer.base_layer.weight.double() + lora.alpha / lora.rank * left @ right
            if lora.dora:
                magnitude = layer.lora_magnitude_vector["default"].weight.double()
                weight = magnitude[:, None] * weight / weight.square().sum(dim=1, keepdim=True).sqrt()
            expected[f"{name}.weight"] = weight
    merge_adapters(model)
    assert len(expected) == 28
    for name, weight in expected.items():
        found = model.get_parameter(name)
        assert found.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        # bf16: half a unit in the last of its eight places.
        torch.testing.assert_close(found.double(), weight, rtol={"fp32": 1e-5, "bf16": 2**-8}[precision], atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
@KINDS
def test_every_family_is_adapted_in_its_language_model_and_merged_to_the_same_logits(
    tmp_path: Path, lora: Lora, family: str
) -> None:
    folder = save_family(family, tmp_path)
    plain = dict(load_model(folder, Sft(), CPU).named_parameters())
    model = adapted(folder, Sft(lora=lora))
    layers = [name for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    assert {part_of(name) for name in layers} == {"language_model"} and len(layers) >= 14
    tokens = torch.arange(20, 28)[None]
    with torch.no_grad():
        logits = model(input_ids=tokens).logits
        with without_adapters(model):
            start = model(input_ids=tokens).logits
        assert torch.equal(model(input_ids=tokens).logits, logits)
        merge_adapters(model)
        torch.testing.assert_close(model(input_ids=tokens).logits, logits, rtol=1e-5, atol=1e-5)
        assert (logits - start).abs().max() > 1e-3
        assert torch.equal(load_model(folder, Sft(), CPU).eval()(input_ids=tokens).logits, start)
    assert {name: (weight.shape, weight.dtype) for name, weight in model.named_parameters()} == {
        name: (weight.shape, weight.dtype) for name, weight in plain.items()
    }
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, plain[name])}
    assert changed == {f"{name}.weight" for name in layers}


@KINDS
def test_adapters_switched_off_are_the_separate_reference_to_the_bit(parts, engine_of, lora: Lora) -> None:
    grpo = Grpo(lora=lora)
    engine = engine_of(grpo)
    shake(engine.model)
    row, decoding = row_of(parts), decoding_for(engine.model, parts.processor, 0.9, 8)
    separate = Scorer(load_model(base_of(parts), grpo, CPU)).eval()(row.inputs, row.rows, row.targets, decoding)
    assert torch.equal(engine.score_start(row, decoding), separate)
    policy = engine.score(row, decoding)
    assert (policy - separate).abs().max() > 1e-3
    engine.accumulate(policy[0].mean(), last=True)
    assert engine.step(1e-3) > 0


@KINDS
def test_rollout_samples_from_the_adapted_model(parts, engine_of, lora: Lora) -> None:
    engine = engine_of(Grpo(lora=lora))
    shake(engine.model)
    decoding = decoding_for(engine.model, parts.processor, 1.0, 5)
    draws = torch.stack([uniforms(0, 0, slot, prompt, 2, 5) for slot, prompt in enumerate(parts.prompts)])
    model = engine.plain_model().eval()
    rollout = Rollout(decoding, captured=False)
    found = rollout(model, parts.prompts, parts.visuals, draws)
    merge_adapters(model)
    merged = rollout(model, parts.prompts, parts.visuals, draws)
    for group, other in zip(found, merged, strict=True):
        for completion, same in zip(group, other, strict=True):
            assert torch.equal(completion.tokens, same.tokens)
            torch.testing.assert_close(completion.log_probs, same.log_probs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("train", "recipe"), [(train_sft, SFT), (train_grpo, GRPO)], ids=["sft", "grpo"])
@KINDS
def test_the_published_model_is_an_ordinary_one(
    paths_to, tmp_path: Path, torch_settings, train: Callable, recipe: Training, lora: Lora
) -> None:
    lora = lora.model_copy(update={"modules": ["q_proj", "down_proj"]})
    paths: RunPaths = paths_to(tmp_path)
    train(recipe.model_copy(update={"lora": lora}), 1, "nep", paths)
    before, after = (load_file(folder / "model.safetensors") for folder in (paths.model, paths.out / "model"))
    assert {name: weight.dtype for name, weight in after.items()} == {
        name: weight.dtype for name, weight in before.items()
    }
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    targets = [name for name in after if name.endswith(("q_proj.weight", "down_proj.weight"))]
    assert changed == {name for name in targets if part_of(name) == "language_model"} and len(changed) == 8
    assert sorted(path.name for path in (paths.out / "model").iterdir()) == sorted(
        path.name for path in paths.model.iterdir()
    )
    configs = [read_json(folder / "config.json") for folder in (paths.model, paths.out / "model")]
    assert configs[0].keys() == configs[1].keys()
    _, loading = AutoModelForImageTextToText.from_pretrained(paths.out / "model", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]


@KINDS
def test_a_checkpoint_holds_adapters_only(
    paths_to, tmp_path: Path, torch_settings, last_checkpoints, lora: Lora
) -> None:
    train_sft(SFT.model_copy(update={"lora": lora}), 1, "nep", paths_to(tmp_path))
    (file,) = tmp_path.glob("work/sft/nep/*/step-4/mp_rank_00_model_states.pt")
    held = torch.load(file, weights_only=False)["module"]
    assert len(held) == 28 * (3 if lora.dora else 2)
    assert all(is_adapter(name) for name in held)


@pytest.mark.parametrize(
    ("recipe", "lora"), [pytest.param(SFT, LORA, marks=MATRIX), (GRPO, DORA)], ids=["sft-lora", "grpo-dora"]
)
def test_partitioned_weights_and_two_processes_change_nothing(
    paths_to, tmp_path: Path, recipe: Training, lora: Lora
) -> None:
    losses = []
    for zero, size in ((2, 1), (3, 1), (3, 2)):
        paths = paths_to(tmp_path / f"{zero}-{size}")
        changes = {"lora": lora, "deepspeed": f"config/deepspeed/zero{zero}.json"}
        ended = run(recipe.model_copy(update=changes), paths, size)
        assert ended == [0] * size, (paths.run / "stderr.txt").read_text()
        losses.append([row["loss"] for row in read_jsonl(paths.out / "metrics.jsonl")])
    assert losses[0][0] != losses[0][-1]
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], abs=1e-4)


@KINDS
def test_the_kl_term_is_that_of_a_separate_reference(
    paths_to, tmp_path: Path, torch_settings, monkeypatch, lora: Lora
) -> None:
    rows = []
    for name, shared in (("without-copy", True), ("with-copy", False)):
        with monkeypatch.context() as patch:
            patch.setattr(Training, "trains_adapters_only", property(lambda training, shared=shared: shared))
            paths = paths_to(tmp_path / name)
            train_grpo(GRPO.model_copy(update={"lora": lora}), 1, "nep", paths)
        rows.append(read_jsonl(paths.out / "metrics.jsonl"))
    assert rows[0] == rows[1]
    assert rows[0][0]["kl"] == 0.0 < rows[0][-1]["kl"]


@KINDS
def test_the_memory_table_knows_adapters(parts, engine_of, lora: Lora) -> None:
    grpo = Grpo(lora=lora)

    def lines(training: Training) -> dict[str, int]:
        size = model_size(base_of(parts), training)
        return {line.name: line.bytes for line in memory_lines(size, training, deepspeed_config(training), 1)}

    weights = dict(engine_of(grpo).model.named_parameters())
    found = lines(grpo)
    assert found["weights"] == 4 * sum(weight.numel() for weight in weights.values())
    assert found["gradients"] == 4 * sum(weight.numel() for name, weight in weights.items() if is_adapter(name))
    assert "reference model" not in found
    assert "reference model" in lines(Grpo(lora=lora, freeze=["vision_tower"]))


def test_the_start_of_the_adapters_is_drawn_by_the_seed(parts) -> None:
    def drawn(seed: int) -> torch.Tensor:
        model = load_model(base_of(parts), SFT, CPU)
        add_adapters(model, LORA, seed)
        return torch.cat([weight.flatten() for name, weight in model.named_parameters() if "lora_A" in name])

    state = torch.get_rng_state()
    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_adapters_of_a_frozen_language_model_are_refused() -> None:
    with pytest.raises(ValueError, match="take language_model out of 'freeze'"):
        Sft(lora=LORA, freeze=["language_model"])


def test_a_layer_that_is_not_there_is_named(parts) -> None:
    with pytest.raises(InputError, match=r"no linear layers \['qkv_proj'\]; there are down_proj, gate_proj, k_proj"):
        add_adapters(load_model(base_of(parts), SFT, CPU), Lora(modules=["q_proj", "qkv_proj"]), 0)
