"""What is asked for before anything else: the folder, conda, a name of the user."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.entry_points import ROOT

from nep.errors import InputError
from nep.workflow.checks import check_conda, check_folder, name_user
from nep.workflow.lock import RunLock


def test_another_folder_is_refused_with_the_command_that_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    check_folder(tmp_path / "link")
    with pytest.raises(InputError, match=f"cd {ROOT}, or add --directory {ROOT}"):
        check_folder(ROOT)


def test_snakemake_says_so_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "-s", str(ROOT / "Snakefile")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"the workflow runs in its own folder: cd {ROOT}" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_conda_is_missed_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for methods in (set(), {"env-modules"}, {"conda", "apptainer"}):
        check_conda(methods)
    with pytest.raises(InputError, match=r"needs the command conda, .*--sdm env-modules"):
        check_conda({"conda"})
    (tmp_path / "conda").write_text("#!/bin/sh\n")
    (tmp_path / "conda").chmod(0o755)
    check_conda({"conda"})


def test_a_user_id_without_a_name_can_start_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    # What the C library says of an id that /etc/passwd has not.
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(KeyError):
        getpass.getuser()
    name_user()
    assert getpass.getuser() == str(os.getuid())
    RunLock(tmp_path, "run").release()
