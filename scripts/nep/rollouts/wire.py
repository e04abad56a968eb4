"""Messages between a trainer and its rollout engine, over a socket that no one else has.

A message is a header of JSON values and named tensors: two lengths (8 bytes each, big-endian), the header, and the
tensors in the form of a safetensors file. Nothing in it can run.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

LENGTHS = struct.Struct(">QQ")


class ClosedError(Exception):
    """The other side has closed the socket, or its process has ended."""


@dataclass(frozen=True)
class Message:
    """Attributes: `header`, JSON values; `tensors`, on the CPU."""

    header: dict[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def send(connection: socket.socket, message: Message, within_s: float | None = None) -> None:
    """Send a message. Raises ClosedError, and TimeoutError where it is not taken `within_s` (None: no limit)."""
    header = json.dumps(message.header).encode()
    tensors = save({name: tensor.contiguous() for name, tensor in message.tensors.items()})
    connection.settimeout(within_s)
    try:
        connection.sendall(LENGTHS.pack(len(header), len(tensors)) + header)
        connection.sendall(tensors)
    except (BrokenPipeError, ConnectionResetError):
        raise ClosedError from None


def receive(connection: socket.socket, within_s: float | None = None) -> Message:
    """The next message. Raises ClosedError, and TimeoutError where it is not whole `within_s` (None: no limit)."""
    end = None if within_s is None else time.monotonic() + within_s
    header_length, tensors_length = LENGTHS.unpack(_exactly(connection, LENGTHS.size, end))
    header = json.loads(_exactly(connection, header_length, end))
    return Message(header, load(bytes(_exactly(connection, tensors_length, end))))


def _exactly(connection: socket.socket, length: int, end: float | None) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        if end is not None:
            connection.settimeout(max(end - time.monotonic(), 1e-3))
        else:
            connection.settimeout(None)
        try:
            count = connection.recv_into(view)
        except ConnectionResetError:
            count = 0
        if not count:
            raise ClosedError
        view = view[count:]
    return data
