"""What the processes of a training do together on the host waits longer than NCCL would."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from nep.train.distributed import host_group, start_distributed

# Of a 72B model's checkpoint (fp32 weights and two moments), at the rate that its conversion had on two cores.
CHECKPOINT_BYTES, BYTES_PER_S = 900e9, 80e6


def test_processes_wait_for_a_conversion_to_another_number_of_them(torch_settings: None) -> None:
    start_distributed(threads=1)
    options = host_group()._get_backend(torch.device("cpu")).options
    assert options._timeout > timedelta(seconds=CHECKPOINT_BYTES / BYTES_PER_S)


def test_every_value_and_wait_of_the_host_goes_by_that_group(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = start_distributed(threads=1)
    groups, sum_of, wait = [], dist.all_reduce, dist.barrier

    def all_reduce(tensor: torch.Tensor, op: dist.ReduceOp = dist.ReduceOp.SUM, group: object = None) -> None:
        groups.append(group)
        sum_of(tensor, op=op, group=group)

    def barrier(group: object = None) -> None:
        groups.append(group)
        wait(group=group)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    monkeypatch.setattr(dist, "barrier", barrier)
    assert distributed.all_reduce_sum([1.5, 2]) == [1.5, 2.0]
    assert distributed.all_reduce_max(3) == 3
    distributed.barrier()
    assert groups == [host_group()] * 3
