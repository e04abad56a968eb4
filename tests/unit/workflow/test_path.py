import os
import sys
from pathlib import Path

import pytest

from nep.workflow.path import extend_path


def test_a_profiles_commands_come_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "profiles" / "some" / "bin"
    commands.mkdir(parents=True)
    monkeypatch.setenv("PATH", "/usr/bin")
    for _ in range(2):
        extend_path(tmp_path)
    assert os.environ["PATH"].split(":") == [str(commands), str(Path(sys.executable).parent), "/usr/bin"]
