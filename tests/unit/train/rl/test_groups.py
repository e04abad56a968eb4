"""The shared-prefix form against separate sequences: same log-probs, same gradients."""

import pytest
import torch
from torch import Tensor

from nep.model.log_probs import token_log_probs
from nep.model.packing import pack_row
from nep.model.scoring import Scorer
from nep.train.rl.groups import Group, completion_numbers, next_position

LENGTHS = [[5, 1, 3], [2, 7, 4]]


@pytest.fixture
def groups(parts) -> list[Group]:
    noise = torch.Generator().manual_seed(0)
    return [
        Group(
            prompt=prompt,
            completions=[torch.randint(20, 250, (length,), generator=noise) for length in lengths],
            advantages=torch.randn(len(lengths), generator=noise),
        )
        for prompt, lengths in zip([parts.prompts[0], parts.prompts[2]], LENGTHS, strict=True)
    ]


def shared(parts, groups: list[Group]) -> tuple[Tensor, Tensor]:
    """(N,) log-probs and advantages from the group form."""
    row = pack_row([group.tree() for group in groups], parts.visuals, True, torch.device("cpu"))
    return Scorer(parts.model)(row.inputs, row.rows, row.targets)[0], token_advantages(groups)


def token_advantages(groups: list[Group]) -> Tensor:
    completion = completion_numbers([len(tokens) for group in groups for tokens in group.completions])
    return torch.cat([group.advantages for group in groups])[completion]


def separate(parts, groups: list[Group]) -> tuple[Tensor, Tensor]:
    """(N,) log-probs and advantages from one whole sequence for each completion."""
    log_probs, advantages = [], []
    for group in groups:
        for completion, advantage in zip(group.completions, group.advantages, strict=True):
            prompt = group.prompt
            start = next_position(prompt)
            tail = torch.arange(start, start + len(completion)).expand(3, -1)
            logits = parts.model(
                input_ids=torch.cat([prompt.input_ids, completion])[None],
                position_ids=torch.cat([prompt.position_ids, tail], dim=1)[:, None],
                use_cache=False,
                **parts.visuals.inputs(prompt.video_keys),
            ).logits[0, len(prompt) - 1 : -1]
            log_probs.append(token_log_probs(logits, completion))
            advantages.append(advantage.expand(len(completion)))
    return torch.cat(log_probs), torch.cat(advantages)


def gradients(parts, loss: Tensor) -> list[Tensor]:
    weights = [parameter for name, parameter in parts.model.named_parameters() if "visual" not in name]
    return list(torch.autograd.grad(loss, weights))


def test_log_probs_and_gradients_equal_those_of_separate_sequences(parts, groups: list[Group]) -> None:
    computed, advantages = shared(parts, groups)
    expected, expected_advantages = separate(parts, groups)
    torch.testing.assert_close(computed, expected, atol=1e-5, rtol=0)
    assert advantages.tolist() == expected_advantages.tolist()
    pairs = zip(
        gradients(parts, (computed * advantages).mean()),
        gradients(parts, (expected * expected_advantages).mean()),
        strict=True,
    )
    for ours, plain in pairs:
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-4)


def test_a_group_alone_equals_the_group_in_a_packed_row(parts, groups: list[Group]) -> None:
    together, _ = shared(parts, groups)
    alone = torch.cat([shared(parts, [group])[0] for group in groups])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_completion_does_not_see_its_siblings(parts, groups: list[Group]) -> None:
    first = groups[0]
    changed = Group(first.prompt, [first.completions[0], torch.tensor([33]), torch.tensor([44, 45])], first.advantages)
    length = len(first.completions[0])
    ours, original = shared(parts, [changed])[0][:length], shared(parts, [first])[0][:length]
    torch.testing.assert_close(ours, original, atol=1e-6, rtol=0)
