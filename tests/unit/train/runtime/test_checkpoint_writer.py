"""Files written in the background hold the state of the moment, and a full disk is told in bytes."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nep.errors import InputError
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


def test_a_full_disk_is_told_with_the_bytes_needed_and_free(tmp_path: Path, full_disk: None) -> None:
    content = memoryview(bytes(LIMIT + 1))
    with pytest.raises(InputError, match=rf"state\.pt: checkpoint not written \(.+\): .* needs {LIMIT + 1} bytes, \d+"):
        write_file(tmp_path / "state.pt", content)
    writer = BackgroundWriter()
    writer.save({"weight": torch.zeros(LIMIT)}, str(tmp_path / "state.pt"))
    writer.wait()
    assert isinstance(writer.error(), InputError)
    assert writer.error() is None
