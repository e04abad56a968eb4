"""Exact gradients through DeepSpeed, freezing, and errors that name the cause."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from nep.config import Grpo, Sft, Training
from nep.errors import InputError
from nep.train.advantages import group_std
from nep.train.engine import Engine, deepspeed_config, freeze, load_model, part_of
from nep.train.groups import Group
from nep.train.grpo import GrpoTrainer
from nep.train.grpo import dataset_files as grpo_files
from nep.train.rewards import Rewards
from nep.train.samples import Sample
from nep.train.sft import sft_batch

CPU = torch.device("cpu")


def sgd(engine: Engine) -> None:
    """Make the optimiser's update the gradient itself: AdamW's first step only keeps its sign."""
    base = engine.deepspeed.optimizer.optimizer
    base.__class__ = torch.optim.SGD
    for group in base.param_groups:
        group.update(momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, maximize=False, foreach=False)
        group.update(differentiable=False, fused=False)


def update_of(engine: Engine, take_step: Callable[[Engine], None]) -> dict[str, torch.Tensor]:
    """How each trainable weight changes in one step of plain gradient descent at rate 1."""
    sgd(engine)
    before = {name: weight.detach().clone() for name, weight in engine.model.named_parameters() if weight.requires_grad}
    take_step(engine)
    return {name: before[name] - dict(engine.model.named_parameters())[name].detach() for name in before}


def compare(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == expected.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], expected[name], atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("limit", [100_000, 300, 1])
def test_sft_rows_give_the_gradient_of_the_full_batch(parts, engine_of, limit: int) -> None:
    """DeepSpeed's accumulated step against autograd on the mean over all labelled tokens of separate sequences."""
    samples = parts.dialogues
    labelled = sum(sample.labelled for sample in samples)
    freeze(parts.model, ["vision_tower", "projector"])
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
        trainer = GrpoTrainer(grpo, 0, engine, grpo_files(grpo, paths.convert), Rewards(grpo), paths)

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
            freeze(parts.model, ["vision_tower", "projector", "language_model"])
    finally:
        freeze(parts.model, [])


def test_a_deepspeed_file_without_a_stage_is_named(tmp_path) -> None:
    path = tmp_path / "zero.json"
    path.write_text('{"zero_optimization": {}}')
    with pytest.raises(InputError, match=r"zero\.json: needs 'zero_optimization' with a 'stage'"):
        deepspeed_config(Training(lr=1e-5, deepspeed=str(path)))


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_model(tmp_path, Sft(), CPU)
