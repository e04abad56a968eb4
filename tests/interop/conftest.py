"""Exports and trained model of a small run, made once, and the consumers' environments (`make test-interop`)."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.entry_points import ROOT
from support.workflow import Workplace

# Two kinds of rows for SFT, one of them without reasoning of the model.
EXPERIMENT = {"nep": {"sft": {"datasets": {"next_event": 16, "mc_reason_hop1": 8}}}}
# Heads of 32 numbers: vLLM has no narrower ones on a CPU.
MODEL = {"heads": 2}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small run with its exports, moved after they were made: consumers must find everything from it."""
    workplace = Workplace.make(tmp_path_factory.mktemp("interop") / "nep")
    config = workplace.configure("small", experiments=EXPERIMENT, demo={"model": MODEL})
    outcome = workplace.run(config, "sft", "export_llamafactory", "export_verl", "export_swift")
    assert outcome.status == 0, outcome.text
    return (workplace.root / "results/small").rename(workplace.root.parent / "moved")


@pytest.fixture(scope="session")
def call(run: Path) -> Callable[..., str]:
    """Runs a program of an environment in the run's folder, offline; what it printed."""

    def run_program(environment: str, program: str, *arguments: object) -> str:
        command = [str(ROOT / environment / "bin" / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=run,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(run.parent / "hf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run_program


@pytest.fixture(scope="session")
def on_cpu(run: Path) -> Callable[..., Path]:
    """A copy of an exported configuration with what a CPU needs instead of the recipe's own, and two steps."""

    def write(file: str, **changes: Any) -> Path:
        values = yaml.safe_load((run / file).read_text(encoding="utf-8"))
        values = {**values, "use_cpu": True, "max_steps": 2, **changes}
        del values["deepspeed"]
        path = run.parent / f"{Path(file).parent.parent.name}.{Path(file).name}"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write
