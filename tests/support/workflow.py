"""A copy of the workflow in a folder of its own, and runs of it as a user types them.

Results, locks and logs of a test's runs stay in that folder: they never meet the user's own runs.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from support.entry_points import ROOT
from support.snakemake_server import snakemake_server

from nep.files import read_jsonl, sha256_of_file

CONFIGS = ROOT / "tests" / "configs"
PARTS = ("Snakefile", "rules", "scripts", "config", "profiles", "envs")
TIMEOUT_S = 1200
# What differs between two runs of the same configuration: costs, and the page and logs that show them.
NOT_COMPARED = re.compile(r"(logs|benchmarks|work)/.*|report/index\.html|.*/timings\.jsonl")
STARTED = re.compile(r"^local(?:rule|checkpoint) (\w+):$", re.MULTILINE)
STATISTICS = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """How a call of Snakemake ended: exit status, and all that it printed."""

    status: int
    text: str

    def planned(self) -> dict[str, int]:
        """Number of jobs by rule that a dry run announces; empty where there is nothing to do."""
        return {rule: int(count) for rule, count in STATISTICS.findall(self.text) if rule not in ("total", "all")}

    def started(self) -> set[str]:
        """The rules of which a run has started a job."""
        return set(STARTED.findall(self.text)) - {"all"}


@dataclass(frozen=True)
class Workplace:
    """A folder with the Snakefile and everything that it needs; the working directory of its runs."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Workplace":
        """Copy the workflow, without any results, to `root`."""
        root.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, root / part)
        return cls(root)

    def copy(self, root: Path) -> "Workplace":
        """A copy with all results, their times and Snakemake's notes about them."""
        shutil.copytree(self.root, root, symlinks=True)
        return Workplace(root)

    def configure(self, name: str, **changes: Any) -> Path:
        """Write `tests/configs/<name>.yaml` with `changes` merged into it; the file to pass to `run`."""
        values = merged(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")), changes)
        path = self.root / "config.yaml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        return path

    def run(self, config: Path, *arguments: str) -> Outcome:
        """Run the workflow to its end."""
        return self.snakemake(*_words(config, arguments))

    def snakemake(self, *arguments: str) -> Outcome:
        """Run Snakemake to its end."""
        with NamedTemporaryFile("r", encoding="utf-8") as output:
            status = snakemake_server().run(arguments, self.root, Path(output.name), os.environ, TIMEOUT_S)
            return Outcome(status, output.read())

    def run_until(self, config: Path, reached: Callable[[], bool], delay_s: float) -> None:
        """Run the workflow, and `delay_s` seconds after `reached` has come true kill all its processes (SIGKILL).

        Raises AssertionError where the workflow has ended before.
        """
        output = self.root / "killed.txt"
        with (
            output.open("w") as stream,
            subprocess.Popen(
                [sys.executable, "-m", "snakemake", *_words(config, ())],
                cwd=self.root,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                end = time.monotonic() + TIMEOUT_S
                while not reached() and process.poll() is None and time.monotonic() < end:
                    time.sleep(0.02)
                time.sleep(delay_s)
                assert process.poll() is None, f"ended before it could be killed:\n{output.read_text()}"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def _words(config: Path, arguments: tuple[str, ...]) -> list[str]:
    return [*arguments, "--profile", "profiles/local", "--cores", "2", "--configfile", str(config)]


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes` laid over them, block by block."""
    result = dict(values)
    for key, change in changes.items():
        both = isinstance(change, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], change) if both else change
    return result


def hashes(run: Path) -> dict[str, str]:
    """SHA-256 of each of a run's data files, models and tables, by path below the run's folder."""
    paths = {path.relative_to(run).as_posix(): path for path in sorted(run.rglob("*")) if path.is_file()}
    return {name: sha256_of_file(path) for name, path in paths.items() if not NOT_COMPARED.fullmatch(name)}


def reasons(path: Path) -> dict[str, str]:
    """Reason by id of the quarantine rows in a JSONL file."""
    return {row["id"]: row["reason"] for row in read_jsonl(path) if "reason" in row}
