"""Files written in the background hold the state of the moment, and a full disk is told in bytes."""

import io
import resource
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import nn

from nep.errors import InputError
from nep.train.runtime import checkpoint_writer
from nep.train.runtime.checkpoint_writer import BackgroundWriter, write_file

LIMIT = 10_000


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond `LIMIT`: the kernel refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_file_holds_the_state_as_it_was_and_shared_storage_once(tmp_path: Path) -> None:
    writer, weight = BackgroundWriter(), torch.arange(1000.0)
    writer.save({"weight": weight, "tied": weight, "step": 3}, str(tmp_path / "state.pt"))
    weight.zero_()
    writer.wait()
    assert writer.error() is None
    assert not writer.is_busy
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(loaded["weight"], torch.arange(1000.0))
    assert loaded["tied"].data_ptr() == loaded["weight"].data_ptr()
    assert loaded["step"] == 3


def test_the_next_checkpoint_takes_the_memory_of_the_one_before(tmp_path: Path) -> None:
    writer, state = BackgroundWriter(), {"weight": torch.zeros(1000), "step": 0}
    held = []
    for step in (1, 2):
        state["weight"].fill_(step)
        (tmp_path / f"step-{step}").mkdir()
        writer.save({**state, "step": step}, str(tmp_path / f"step-{step}/state.pt"))
        writer.wait()
        assert writer.error() is None
        held.append([storage.data_ptr() for storage in writer._free["state.pt"]._storages])
    assert held[0] == held[1] and len(held[0]) == 1
    for step in (1, 2):
        loaded = torch.load(tmp_path / f"step-{step}/state.pt", weights_only=True)
        assert loaded["step"] == step and torch.equal(loaded["weight"], torch.full((1000,), float(step)))


def test_memory_that_is_being_written_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a checkpoint comes before the one before is on the disk."""
    written = Event()

    def write_later(path: Path, state: dict) -> None:
        assert written.wait(60)
        write_file(path, state)

    monkeypatch.setattr(checkpoint_writer, "write_file", write_later)
    writer, weight = BackgroundWriter(), torch.zeros(1000)
    for step in (1, 2):
        (tmp_path / str(step)).mkdir()
        weight.fill_(step)
        writer.save({"weight": weight}, str(tmp_path / f"{step}/state.pt"))
    written.set()
    writer.wait()
    for step in (1, 2):
        assert torch.load(tmp_path / f"{step}/state.pt", weights_only=True)["weight"][0] == step


def test_a_state_of_all_kinds_comes_back(tmp_path: Path) -> None:
    flat = torch.arange(12.0)
    state = {
        "views": [flat[:4].view(2, 2).t(), flat[4:]],
        "parameter": nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "kept": torch.ones(2, requires_grad=True),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(7),
        "shape": torch.Size([2, 3]),
    }
    writer = BackgroundWriter()
    writer.save(state, str(tmp_path / "state.pt"))
    writer.wait()
    loaded = torch.load(tmp_path / "state.pt", weights_only=False)
    for name in ("parameter", "kept", "empty", "scalar"):
        assert torch.equal(loaded[name], state[name]) and loaded[name].dtype == state[name].dtype
        assert type(loaded[name]) is type(state[name]) and loaded[name].requires_grad == state[name].requires_grad
    assert [torch.equal(*pair) for pair in zip(loaded["views"], state["views"], strict=True)] == [True, True]
    assert loaded["views"][0].untyped_storage().data_ptr() == loaded["views"][1].untyped_storage().data_ptr()
    assert loaded["shape"] == (2, 3)


def test_a_full_disk_is_told_with_the_bytes_needed_and_free(tmp_path: Path, full_disk: None) -> None:
    state, whole = {"weight": torch.zeros(LIMIT)}, io.BytesIO()
    torch.save(state, whole)
    needed = len(whole.getvalue())
    with pytest.raises(InputError, match=rf"state\.pt: checkpoint not written \(.+\): .* needs {needed} bytes, \d+"):
        write_file(tmp_path / "state.pt", state)
    writer = BackgroundWriter()
    writer.save(state, str(tmp_path / "state.pt"))
    writer.wait()
    assert isinstance(writer.error(), InputError)
    assert writer.error() is None
