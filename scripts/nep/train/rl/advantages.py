"""Advantages of a step's completions from their rewards; all take and give (prompts, completions)."""

from collections.abc import Callable

from torch import Tensor

from nep.config.grpo import AdvantageName

EPSILON = 1e-6


def group_std(rewards: Tensor) -> Tensor:
    """(r − mean) / (std + 1e-6) within each prompt's group, with the unbiased standard deviation.

    Source: DeepSeekMath, arXiv 2402.03300, section 4.1.2.
    """
    return group_mean(rewards) / (rewards.std(dim=1, keepdim=True, correction=1) + EPSILON)


def group_mean(rewards: Tensor) -> Tensor:
    """r − mean within each prompt's group. Source: Dr. GRPO, arXiv 2503.20783, section 3.2."""
    return rewards - rewards.mean(dim=1, keepdim=True)


def leave_one_out(rewards: Tensor) -> Tensor:
    """r − mean of the group's other completions. Source: RLOO, arXiv 2402.14740, eq. 8."""
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


ADVANTAGES: dict[AdvantageName, Callable[[Tensor], Tensor]] = {
    "group_std": group_std,
    "group_mean": group_mean,
    "leave_one_out": leave_one_out,
}


def advantages_of(rewards: Tensor, name: AdvantageName) -> Tensor:
    """The advantages called `name`, exactly 0 in groups without signal, where rounding would leave a rest."""
    return ADVANTAGES[name](rewards).masked_fill(zero_variance(rewards)[:, None], 0.0)


def zero_variance(rewards: Tensor) -> Tensor:
    """(prompts,) bool: groups whose completions all have the same reward, and so give no signal."""
    return (rewards == rewards[:, :1]).all(dim=1)
