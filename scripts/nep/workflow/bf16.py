"""What bf16 costs on a CPU without instructions for it, where products of matrices are a loop over single numbers."""

import sys
import time

import torch

SIZE, TIMES = 128, 5
# Instructions for bf16 make products faster than in fp32; without them they take some twenty times as long.
WORTH_SAYING = 2.0


def say_what_bf16_costs(dtype: torch.dtype, device: torch.device) -> None:
    """A line on the error output where a model computes in bf16 and this CPU is slow at that."""
    if dtype == torch.bfloat16 and device.type == "cpu" and (found := remark(slowdown())):
        print(found, file=sys.stderr, flush=True)


def remark(factor: float) -> str | None:
    """The line for a CPU whose products take `factor` times as long in bf16 as in fp32; None where it is not slow."""
    if factor < WORTH_SAYING:
        return None
    return (
        f"bf16 on this CPU: products of matrices take {factor:.0f} times as long as in fp32, as it has no instructions "
        "for them; fp32 is faster here"
    )


def slowdown() -> float:
    """Time of a product of matrices in bf16, in that of one in fp32, on this CPU."""
    return _seconds(torch.bfloat16) / _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """The shortest of several products."""
    matrix = torch.ones(SIZE, SIZE, dtype=dtype)
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - began)
    return min(taken)
