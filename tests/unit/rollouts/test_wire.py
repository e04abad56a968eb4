"""Messages between a trainer and its engine: whole, or an error that says what has happened to the other side."""

import socket
import threading
from collections.abc import Iterator

import pytest
import torch

from nep.rollouts.wire import LENGTHS, ClosedError, Message, receive, send

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_message_arrives_with_values_and_tensors_of_any_type(ends: Ends) -> None:
    tensors = {
        "tokens": torch.arange(5),
        "features": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16(),
        # Larger than the kernel's buffer, and not contiguous.
        "large": torch.arange(2_000_000, dtype=torch.float32).view(1000, 2000).T,
        "none": torch.empty(2, 0, dtype=torch.int64),
    }
    sent = Message({"call": "complete", "limit": 3, "places": [[1, 2]]}, tensors)
    with_thread = threading.Thread(target=send, args=(ends[0], sent))
    with_thread.start()
    found = receive(ends[1], within_s=60)
    with_thread.join()
    assert found.header == sent.header
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert found.tensors["features"].dtype == torch.bfloat16


def test_two_messages_keep_apart(ends: Ends) -> None:
    for number in range(2):
        send(ends[0], Message({"number": number}, {"a": torch.tensor([number])}))
    assert [receive(ends[1]).header["number"] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("begun", [b"", LENGTHS.pack(100, 100), LENGTHS.pack(4, 100) + b'"ab"'])
def test_a_side_that_goes_is_noticed_in_the_middle_of_a_message_too(ends: Ends, begun: bytes) -> None:
    ends[0].sendall(begun)
    ends[0].close()
    with pytest.raises(ClosedError):
        receive(ends[1], within_s=60)


def test_nothing_is_sent_to_a_side_that_has_gone(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(ClosedError):
        send(ends[0], Message({"call": "rest"}))


def test_a_message_that_does_not_end_in_time_is_a_time_out(ends: Ends) -> None:
    ends[0].sendall(LENGTHS.pack(10, 10) + b"12345")
    with pytest.raises(TimeoutError):
        receive(ends[1], within_s=0.05)
