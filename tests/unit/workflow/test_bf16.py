"""A CPU without instructions for bf16 is told from one with them by what they do, and the log says so."""

import os
import subprocess
import sys

import pytest
import torch
from support.entry_points import ROOT

from nep.workflow import bf16

# What makes a CPU with such instructions compute without them.
WITHOUT = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CPU = torch.device("cpu")


def test_a_cpu_without_the_instructions_is_found_slow() -> None:
    script = "import torch; from nep.workflow.bf16 import *; say_what_bf16_costs(torch.bfloat16, torch.device('cpu'))"
    environment = {**os.environ, **WITHOUT, "PYTHONPATH": "scripts"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.startswith("bf16 on this CPU: products of matrices take ")


@pytest.mark.parametrize(
    ("dtype", "device", "factor", "said"),
    [
        (torch.bfloat16, CPU, 25.5, True),
        (torch.bfloat16, CPU, 0.3, False),
        (torch.float32, CPU, 25.5, False),
        (torch.bfloat16, torch.device("cuda"), 25.5, False),
    ],
)
def test_it_is_said_where_bf16_is_asked_of_a_slow_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dtype, device, factor: float, said: bool
) -> None:
    monkeypatch.setattr(bf16, "slowdown", lambda: factor)
    bf16.say_what_bf16_costs(dtype, device)
    assert ("26 times as long as in fp32" in capsys.readouterr().err) == said
