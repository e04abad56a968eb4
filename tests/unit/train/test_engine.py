"""Exact gradients through DeepSpeed, freezing, and errors that name the cause."""

import json
import math
from dataclasses import replace

import pytest
import torch
from support.gradient_step import update_of
from torch.nn import functional as F

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.data.selection import dataset_files
from nep.errors import InputError
from nep.model import attention
from nep.model.attention import grouped_attention
from nep.model.param_groups import freeze, parameter_groups, part_of
from nep.model.samples import Sample
from nep.train.engine import Engine, adamw, deepspeed_config, load_model, step_counts_to_moments
from nep.train.rl.advantages import group_std
from nep.train.rl.decoding import decoding_for
from nep.train.rl.groups import Group
from nep.train.rl.grpo import GrpoTrainer
from nep.train.rl.rewards import Rewards
from nep.train.rl.rollout import Rollout
from nep.train.sft import sft_batch

CPU = torch.device("cpu")


def compare(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == expected.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], expected[name], atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("limit", [100_000, 300, 1])
def test_sft_rows_give_the_gradient_of_the_full_batch(parts, engine_of, limit: int) -> None:
    """DeepSpeed's accumulated step against autograd on the mean over all labelled tokens of separate sequences."""
    samples = parts.dialogues
    labelled = sum(sample.labelled for sample in samples)
    freeze(parts.model, Sft(freeze=["vision_tower", "projector"]))
    loss = sum(plain_loss(parts, sample) for sample in samples) / labelled
    weights = {name: weight for name, weight in parts.model.named_parameters() if weight.requires_grad}
    expected = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    def take_step(engine: Engine) -> None:
        batch = sft_batch(samples, Sft(pack_tokens=limit), parts.visuals, engine)
        for index, row in enumerate(batch.rows):
            engine.accumulate(-engine.score(row).sum() / labelled, last=index == len(batch.rows) - 1)
        norm = engine.step(rate=1.0)
        assert norm == pytest.approx(torch.cat([g.flatten() for g in expected.values()]).norm().item(), rel=1e-4)

    compare(update_of(engine_of(Sft(grad_clip=1e9, freeze=["vision_tower", "projector"])), take_step), expected)


def plain_loss(parts, sample: Sample) -> torch.Tensor:
    logits = parts.model(
        input_ids=sample.input_ids[None],
        position_ids=sample.position_ids[:, None],
        **parts.visuals.inputs(sample.video_keys),
    ).logits[0, sample.prompt_length - 1 : -1]
    return F.cross_entropy(logits, sample.input_ids[sample.prompt_length :], reduction="sum")


def test_grpo_rows_give_the_gradient_of_the_full_batch(parts, engine_of, paths_to, tmp_path) -> None:
    noise = torch.Generator().manual_seed(0)
    rewards = torch.rand(4, 3, generator=noise)
    groups = [
        Group(prompt, [torch.randint(20, 250, (2 + index + k,), generator=noise) for k in range(3)], advantages)
        for index, (prompt, advantages) in enumerate(zip(parts.prompts[:4], group_std(rewards), strict=True))
    ]
    tokens = sum(group.generated for group in groups)
    updates = []
    for limit in (100_000, 1):
        grpo = Grpo(prompts_per_step=4, completions=3, pack_tokens=limit, grad_clip=1e9, kl_coef=0.1)
        engine = engine_of(grpo)
        paths = paths_to(tmp_path)
        trainer = GrpoTrainer(grpo, 0, engine, dataset_files("grpo", grpo, paths.convert), Rewards(grpo), paths)

        def take_step(engine: Engine, trainer: GrpoTrainer = trainer) -> None:
            trainer._accumulate(groups, tokens)
            engine.step(rate=1.0)

        updates.append(update_of(engine, take_step))
    assert max(update.abs().max() for update in updates[0].values()) > 1e-3
    compare(updates[1], updates[0])


def test_parts_of_the_model_by_parameter_name() -> None:
    assert part_of("model.visual.blocks.0.attn.qkv.weight") == "vision_tower"
    assert part_of("model.visual.merger.mlp.0.weight") == "projector"
    assert part_of("model.multi_modal_projector.linear_1.weight") == "projector"
    assert part_of("model.language_model.layers.0.mlp.up_proj.weight") == "language_model"
    assert part_of("lm_head.weight") == "language_model"


def test_freezing_everything_is_refused(parts) -> None:
    try:
        with pytest.raises(InputError, match="nothing is left to train"):
            freeze(parts.model, Sft(freeze=["vision_tower", "projector", "language_model"]))
    finally:
        freeze(parts.model, Sft(freeze=[]))


@pytest.mark.parametrize(
    ("zero", "message"),
    [
        ({}, "needs 'zero_optimization' with a 'stage' \\(0, 1, 2 or 3\\), found None"),
        ({"stage": 0, "offload_optimizer": {"device": "cpu"}}, "offload_optimizer needs ZeRO stage 1 or more"),
        ({"stage": 2, "offload_param": {"device": "cpu"}}, "offload_param needs ZeRO stage 3 or more, found stage 2"),
        ({"stage": 3, "offload_param": {"device": "nvme"}}, "offload_param.device is 'nvme'; supported: 'cpu', 'none'"),
    ],
)
def test_a_deepspeed_file_that_the_engine_cannot_run_is_named(tmp_path, zero: dict, message: str) -> None:
    path = tmp_path / "zero.json"
    path.write_text(json.dumps({"zero_optimization": zero}))
    with pytest.raises(InputError, match=rf"zero\.json: {message}"):
        deepspeed_config(Sft(lr=1e-5, deepspeed=str(path)))


def test_groups_have_the_rates_of_their_parts_and_spare_biases_and_norms(parts) -> None:
    names = {parameter: name for name, parameter in parts.model.named_parameters()}
    training = Sft(lr=1e-3, weight_decay=0.1, lr_factors={"vision_tower": 0.1}, decay="matrices")
    seen = {}
    for group in parameter_groups(parts.model, training):
        seen |= {names[parameter]: (group["lr"], group["weight_decay"]) for parameter in group["params"]}
    assert seen.keys() == set(names.values())
    assert seen["model.visual.blocks.0.attn.qkv.weight"] == (pytest.approx(1e-4), 0.1)
    assert seen["model.visual.blocks.0.attn.qkv.bias"] == (pytest.approx(1e-4), 0.0)
    assert seen["model.visual.merger.mlp.0.weight"] == (1e-3, 0.1)
    assert seen["model.language_model.norm.weight"] == (1e-3, 0.0)
    (group,) = parameter_groups(parts.model, Sft(lr=1e-3, weight_decay=0.1))
    assert len(group["params"]) == len(names)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero", ["zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"])
@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(engine_of, zero: str, precision: str, bad: str) -> None:
    """Neither weights nor AdamW's moments; a loss of infinity has a finite derivative of its own."""
    engine = engine_of(Sft(precision=precision, deepspeed=f"config/deepspeed/{zero}.json"))

    def state() -> list[torch.Tensor]:
        moments = [value for entry in base.state.values() for value in entry.values() if torch.is_tensor(value)]
        return [tensor.detach().clone() for tensor in [*engine.plain_model().parameters(), *moments]]

    base = getattr(engine.deepspeed.optimizer, "optimizer", engine.deepspeed.optimizer)
    tokens = torch.arange(20, 28)[None]
    factors = {"fine": (1.0, 0.0), "loss": (1.0, torch.inf), "gradient": (torch.nan, 0.0)}

    def take_step(kind: str) -> float:
        factor, added = factors[kind]
        logits = engine.deepspeed({"input_ids": tokens}, torch.arange(7), tokens[0, 1:])
        engine.accumulate(-logits.sum() * factor + added, last=True)
        return engine.step(rate=1e-3)

    assert 0 < take_step("fine") < torch.inf
    before = state()
    assert not math.isfinite(take_step(bad))
    for after, earlier in zip(state(), before, strict=True):
        assert torch.equal(after, earlier)
    assert 0 < take_step("fine") < torch.inf
    assert any(not torch.equal(after, earlier) for after, earlier in zip(state(), before, strict=True))


def test_adamw_is_one_kernel_on_cuda_alone() -> None:
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2)]
    for weight, device in zip(weights, ("cpu", "cuda"), strict=True):
        optimizer = adamw([{"params": [weight], "lr": 1e-2, "weight_decay": 0.1}], torch.device(device))
        assert optimizer.defaults["fused"] == (device == "cuda")
        for step in range(5):
            weight.grad = torch.linspace(0, step, 50)
            optimizer.step()
    torch.testing.assert_close(*weights)


def test_numbers_of_steps_follow_the_moments_of_a_loaded_optimizer() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = torch.optim.AdamW([weight])
    optimizer.state[weight] = {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3, device="meta")}
    step_counts_to_moments(optimizer)
    assert optimizer.state[weight]["step"].device == weight.device


@pytest.mark.parametrize("zero", ["zero2", "zero3"])
def test_the_model_that_decodes_attends_in_groups(engine_of, parts, monkeypatch: pytest.MonkeyPatch, zero: str) -> None:
    """One call a layer in each step, in ZeRO-3's whole copy too: transformers' own would repeat keys and values."""
    engine = engine_of(Sft(deepspeed=f"config/deepspeed/{zero}.json"))
    model = engine.plain_model().eval()
    assert (model is engine.model) == (zero == "zero2")
    calls = []

    def counted(*arguments: torch.Tensor | float) -> torch.Tensor:
        calls.append(len(arguments))
        return grouped_attention(*arguments)

    monkeypatch.setattr(attention, "grouped_attention", counted)
    decoding = decoding_for(model, parts.processor, 1.0, limit=4)
    decoding = replace(decoding, ends=torch.zeros_like(decoding.ends))
    Rollout(decoding, captured=False)(model, parts.prompts[:2], parts.visuals, draws=None)
    assert len(calls) == 3 * model.config.text_config.num_hidden_layers


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_model(tmp_path, Sft(), CPU)
