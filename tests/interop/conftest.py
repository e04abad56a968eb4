"""Exports and trained model of a small run, made once, and the consumers' environments (`make test-interop`); one
rollout engine, shared by all tests that ask it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.entry_points import ROOT
from support.tiny_checkpoint import tiny_checkpoint
from support.training_fixtures import Parts, parts, paths_to, run_folder
from support.workflow import Workplace

from nep.rollouts.environment import find_environment
from nep.train.rl.decoding import Decoding, decoding_for
from nep.train.rl.engine_client import EngineSettings, VllmRollout

__all__ = ["parts", "paths_to", "run_folder", "tiny_checkpoint"]

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


@pytest.fixture(scope="session")
def decoding(parts: Parts) -> Decoding:
    """How the shared engine and its trainer decode."""
    return decoding_for(parts.model, parts.processor, temperature=0.7, limit=12)


@pytest.fixture(scope="session")
def vllm_engine(parts: Parts, decoding: Decoding, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmRollout]:
    """vLLM with the tiny model of the trainers' tests, videos as features. Its version of the weights is for the test
    to raise: `renew` with a number that no other has used."""
    settings = EngineSettings(
        model=parts.run / "models/base",
        dtype="float32",
        max_tokens=max(map(len, parts.prompts)) + decoding.limit,
        sequences=64,
        cache_bytes=1 << 27,
        device=None,
        shared=False,
        threads=1,
        within_s=600.0,
    )
    environment = find_environment(str(ROOT / ".venv-vllm"))
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    engine = VllmRollout(environment, settings, decoding, parts.visuals, log)
    yield engine
    engine.close()
