"""A job that has GPUs computes on them or ends with what is missing; no GPU is needed to see it end."""

import os
from pathlib import Path

import pytest

from nep.encode.features import FeatureEncoder
from nep.errors import InputError
from nep.train.distributed import start_distributed
from nep.train.runtime.launcher import launch
from nep.workflow.device import GIVEN_BY, VARIABLE, driver_version, need_compiler, need_cuda, on_cuda

MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
OPEN_MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (root)\n"
# No machine has so many: CUDA shows none of those that it has.
NOT_THERE = "999"
NEEDS = r"CUDA cannot be used: torch .* needs an NVIDIA driver for CUDA 13\.\d+ \(version 580 or newer\); found on "


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GIVEN_BY, VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.parametrize("name", GIVEN_BY)
def test_a_job_with_gpus_that_cannot_be_used_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, NOT_THERE)
    with pytest.raises(InputError, match=f"^{name}={NOT_THERE}, but {NEEDS}"):
        on_cuda()


def test_no_stage_goes_on_without_them(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,1")
    with pytest.raises(InputError, match=NEEDS):
        start_distributed(1)
    with pytest.raises(InputError, match=NEEDS):
        FeatureEncoder(tiny_checkpoint, "float32")


def test_a_launcher_ends_before_it_starts_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,1")
    with pytest.raises(InputError, match=NEEDS):
        launch(["--nproc_per_node", "2", "--standalone", "scripts/train_sft.py"])


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_a_job_without_gpus_computes_on_the_cpu(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert not on_cuda()


def test_the_cpu_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv(VARIABLE, "cpu")
    assert not on_cuda() and os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv(VARIABLE, "gpu")
    with pytest.raises(InputError, match="NEP_DEVICE is 'gpu', should be 'cpu'"):
        on_cuda()


@pytest.mark.parametrize(("text", "version"), [(MODULE, "535.104.05"), (OPEN_MODULE, "570.86.15")])
def test_the_driver_is_named(text: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "driver" / "nvidia").mkdir(parents=True)
    (tmp_path / "driver" / "nvidia" / "version").write_text(text)
    assert driver_version(tmp_path) == version
    with pytest.raises(InputError, match=rf"^evaluate\.device .* version {version} \(torch: .*, or set it to cpu"):
        need_cuda("evaluate.device is 'cuda'", "set it to cpu", proc=tmp_path)


@pytest.mark.parametrize(("script", "version"), [("echo 550.54.14; echo 550.54.14", "550.54.14"), ("exit 9", None)])
def test_without_the_kernels_word_nvidia_smi_is_asked(
    script: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert driver_version(tmp_path) == version
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert driver_version(tmp_path) is None


def test_the_compiler_that_triton_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CC", program(tmp_path / "cc", 'for word; do last=$word; done; grep -q Python.h "$1"; : > "$last"')
    )
    need_compiler()
    monkeypatch.setenv("CC", program(tmp_path / "cc", "echo 'Python.h: No such file or directory' >&2; exit 1"))
    with pytest.raises(InputError, match=r"Triton compiles .*/cc cannot compile .* \(Python.h: No such file"):
        need_compiler()
    monkeypatch.setenv("CC", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"absent cannot compile .* \(\[Errno 2\]"):
        need_compiler()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no gcc or clang"):
        need_compiler()


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
