"""Advantages of a step's completions from their rewards."""

from torch import Tensor

EPSILON = 1e-6


def group_normalised(rewards: Tensor) -> Tensor:
    """(r − mean) / (std + 1e-6) within each prompt's group, with the unbiased standard deviation.

    `rewards` and the result are (prompts, completions). Source: DeepSeekMath, arXiv 2402.03300, section 4.1.2.
    """
    mean = rewards.mean(dim=1, keepdim=True)
    return (rewards - mean) / (rewards.std(dim=1, keepdim=True, correction=1) + EPSILON)


def zero_variance(rewards: Tensor) -> Tensor:
    """(prompts,) bool: groups whose completions all have the same reward, and so give no signal."""
    return (rewards == rewards[:, :1]).all(dim=1)
