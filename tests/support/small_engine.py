"""A program with the engine's messages and without an engine: what is said of its life is tested with it.

`small_engine.py FOLDER SOCKET`: notes each start and each request in FOLDER/said.txt. Files in FOLDER say how it
behaves: `ends` ends it at the next request to complete, once; `hangs` lets it answer nothing more; `stale` lets it name
another version of the weights; `fails` answers with an error.
"""

import os
import socket
import sys
import time
from pathlib import Path

import torch

from nep.rollouts.wire import ClosedError, Message, receive, send


def main() -> None:
    """Answer until the trainer goes."""
    folder, connection = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    print("the small engine has started", flush=True)
    note(folder, f"start {os.getpid()}")
    settings, version = receive(connection).header, None
    send(connection, Message({"version": None}))
    while True:
        message = receive(connection)
        call = message.header["call"]
        note(folder, f"{call} {message.header.get('version', '')}".rstrip())
        if (folder / "hangs").exists():
            time.sleep(600)
        if call == "complete" and (folder / "ends").exists():
            (folder / "ends").unlink()
            print("the small engine gives up", flush=True)
            os._exit(3)
        if (folder / "fails").exists():
            send(connection, Message({"error": "ValueError: too long"}))
            continue
        if call == "weights":
            version = message.header["version"] + (folder / "stale").exists()
        send(connection, Message({"version": version}, answer(message, settings) if call == "complete" else {}))


def answer(message: Message, settings: dict) -> dict[str, torch.Tensor]:
    """For each seed a completion of one end token, whose log-prob is that of a seed's own."""
    seeds = message.tensors["seeds"]
    count = max(seeds.numel(), len(seeds))
    end = settings["ends"][0]
    return {
        "tokens": torch.full((count,), end),
        "log_probs": -(torch.arange(count) + 1.0),
        "lengths": torch.ones(count, dtype=torch.int64),
    }


def note(folder: Path, line: str) -> None:
    """Add a line to what the engine has been told."""
    with (folder / "said.txt").open("a") as said:
        said.write(f"{line}\n")


if __name__ == "__main__":
    try:
        main()
    except ClosedError:
        sys.exit(0)
