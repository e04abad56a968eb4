"""The view of a run from its files, on a terminal and in a file, and the last words of one that fails."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.workflow import Workplace

pytestmark = pytest.mark.e2e

LONGEST_S = 120
BAD_SPLIT = {"split": {"preset": "nonsense"}}
# `scripts/watch_run.py` with pictures so often that the shortest run is seen under way.
OFTEN = """
import sys
sys.path.insert(0, "scripts")
from nep.watch import live
live.REDRAW_S = 0.1
sys.exit(live.run_and_follow(sys.argv[1:], sys.stdout))
"""
REASON = "error: split.preset: 'nonsense' is no preset of x264"


def watch(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`scripts/watch_run.py`, its output into a file."""
    command = [sys.executable, "scripts/watch_run.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=LONGEST_S)


def snakemake(config: Path, target: str) -> list[str]:
    options = ["--profile", "profiles/local", "--cores", "2", "--configfile", str(config)]
    return [sys.executable, "-m", "snakemake", target, *options]


def on_a_terminal(root: Path, *command: str) -> tuple[int, str]:
    """Exit status of a command whose output is a terminal of 24 lines and 100 columns, and what it drew there."""
    near, far = pty.openpty()
    environment = os.environ | {"LINES": "24", "COLUMNS": "100"}
    with subprocess.Popen(command, cwd=root, stdout=far, stderr=far, env=environment) as process:
        os.close(far)
        drawn, end = b"", time.monotonic() + LONGEST_S
        while time.monotonic() < end and select.select([near], [], [], LONGEST_S)[0]:
            try:
                drawn += os.read(near, 65536)
            except OSError:
                # The last process that could write has ended.
                break
        os.close(near)
        return process.wait(LONGEST_S), drawn.decode()


def test_a_finished_run_is_shown_with_its_last_figures(small_run) -> None:
    done = watch(small_run.workplace.root)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("run 'small': finished, ")
    assert [line.split()[0] for line in lines if line and line[0] != " "][1:-1] == [
        *("demo", "download", "records", "hash", "split", "convert", "encode", "sft", "grpo", "evaluate", "report")
    ]
    assert any(line.startswith("  train_sft nep") and line.endswith("8 of 8 steps") for line in lines)
    assert any(line.startswith("  train_grpo nep") and line.endswith("6 of 6 steps") for line in lines)
    assert "validation at step 8: loss " in done.stdout
    assert "report: results/small/report/index.html" in lines
    assert watch(small_run.workplace.root, "--once").stdout.strip() == done.stdout.strip()


def test_a_run_that_has_not_started(small_run, tmp_path: Path, workplace: Workplace) -> None:
    done = watch(small_run.workplace.root, "--once", "--run", "other")
    assert (done.returncode, done.stdout) == (0, "run 'other': not started in this folder\n")
    done = watch(workplace.root, "--once")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no run was started in this folder")


def test_a_stage_that_fails_ends_with_its_reason_and_the_command_to_read_on(copy_of_small_run) -> None:
    config = copy_of_small_run.configure("small", **BAD_SPLIT)
    outcome = copy_of_small_run.run(config, "segments")
    assert outcome.status == 1
    said = outcome.text.partition("Exiting because")[2]
    for shard in (1, 2):
        log = f"results/small/logs/split_shard/{shard}.log"
        assert f"split_shard {shard} has failed. The end of its log:\n  {REASON}" in said
        assert f"\nTo read on: less -R +G {log}\n" in said
    shown = watch(copy_of_small_run.root, "--once").stdout
    assert shown.startswith("run 'small': failed, 0 of 4 jobs done")
    assert shown.count(REASON) == 2 and "failed: split_shard 1, its log: results/small/logs/split_shard/1.log" in shown


def test_a_run_on_a_terminal_is_drawn_in_place(copy_of_small_run) -> None:
    config = copy_of_small_run.configure("small", **BAD_SPLIT)
    status, drawn = on_a_terminal(copy_of_small_run.root, sys.executable, "-c", OFTEN, *snakemake(config, "segments"))
    assert status == 1
    view, _, last = drawn.partition("Exiting because")
    assert "run 'small': under way (" in view and "run 'small': failed" in view and "split_shard" in view
    assert "\x1b[J" in view and max(map(len, view.replace("\x1b[J", "\n").splitlines())) <= 100
    assert "less -R +G results/small/logs/split_shard/1.log" in last, "Snakemake's last words come after the view"


def test_into_a_file_snakemake_prints_itself(copy_of_small_run) -> None:
    config = copy_of_small_run.configure("small")
    done = watch(copy_of_small_run.root, "--", *snakemake(config, "segments"))
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr and "\x1b" not in done.stdout + done.stderr
