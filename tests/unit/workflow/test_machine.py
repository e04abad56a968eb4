"""What a job notes of its machine, and what the report reads of it."""

import json
import os
from pathlib import Path

import pytest

from nep.report.collect import read_machines
from nep.workflow import logs
from nep.workflow.machine import FOLDER, note_machine, this_machine

CPU = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Another\n"
GPU = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 12\n"


def test_what_the_kernel_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPU)
    for number in range(2):
        folder = tmp_path / "driver" / "nvidia" / "gpus" / str(number)
        folder.mkdir(parents=True)
        (folder / "information").write_text(GPU)
    machine = this_machine(tmp_path)
    assert (machine.processor, machine.gpus) == ("Fast CPU @ 3 GHz", ("NVIDIA H100 80GB HBM3",) * 2)
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory_gib >= 1
    assert this_machine(tmp_path / "absent").gpus == ()


def test_equal_machines_leave_one_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, str(tmp_path))
    note_machine()
    note_machine()
    (note,) = (tmp_path / FOLDER).iterdir()
    assert read_machines(tmp_path / FOLDER) == [this_machine()]
    other = {**json.loads(note.read_text()), "gpus": ["one"]}
    note.with_name("other.json").write_text(json.dumps(other))
    assert sorted(machine.gpus for machine in read_machines(tmp_path / FOLDER)) == sorted(
        [this_machine().gpus, ("one",)]
    )


def test_a_script_used_by_hand_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    note_machine()
    assert list(tmp_path.iterdir()) == []
    assert read_machines(tmp_path / FOLDER) == []
