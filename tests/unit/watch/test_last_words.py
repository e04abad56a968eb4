"""Snakemake's log, as Snakemake writes it about jobs that end, fail, are tried again, or are still under way."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.entry_points import ROOT

from nep.watch.last_words import LAST_LINES, last_words
from nep.watch.snakemake_log import RunLog, newest_log, parse_log

SNAKEFILE = f"""
import sys
sys.path.insert(0, "{ROOT / "scripts"}")
from pathlib import Path
from nep.watch.last_words import last_words

onerror:
    print(f"\\n{{last_words(Path(log[0]))}}\\n", file=sys.stderr)

rule all:
    input: expand("results/one/done/{{name}}", name=["flaky", "broken", "long"])

rule prepare:
    output: "results/one/prepared"
    log: "results/one/logs/prepare.log"
    shell: "touch {{output}}"

rule work:
    input: "results/one/prepared"
    output: "results/one/done/{{name}}"
    log: "results/one/logs/work/{{name}}.log"
    params: tries=lambda wildcards: {{"flaky": 1, "broken": 9, "long": 9}}[wildcards.name]
    shell:
        'exec > {{log}} 2>&1; seq 100; echo "the reason of {{wildcards.name}}"; '
        'tried=$(cat {{wildcards.name}}.tries 2>/dev/null || echo 0); echo $((tried + 1)) > {{wildcards.name}}.tries; '
        '[ $tried -ge {{params.tries}} ] && touch {{output}}'
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and output of a run in which one job fails once and two fail in every attempt."""
    root = tmp_path_factory.mktemp("ended")
    (root / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going", "--retries", "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    return root, done.stderr


@pytest.fixture
def text(ended: tuple[Path, str]) -> str:
    found = newest_log(ended[0] / ".snakemake")
    assert found is not None and found[1] == "one"
    return found[0].read_text()


def states(log: RunLog) -> dict[str, str]:
    return {job.name: job.state for job in log.jobs}


def test_the_jobs_of_a_run_that_has_ended(text: str) -> None:
    log = parse_log(text)
    assert log.planned == {"all": 1, "prepare": 1, "work": 3}
    assert states(log) == {
        "prepare": "finished",
        "work flaky": "finished",
        "work broken": "failed",
        "work long": "failed",
    }
    assert (log.done, log.total, log.is_over) == (2, 5, True)
    assert {str(path) for job in log.jobs for path in job.logs} == {
        "results/one/logs/prepare.log",
        *(f"results/one/logs/work/{name}.log" for name in ("flaky", "broken", "long")),
    }
    assert all(0 <= time.time() - job.since < 3600 for job in log.jobs)


def test_a_log_that_grows_is_read_at_every_moment(text: str) -> None:
    seen = {}
    for end in range(0, text.index("Complete log"), 97):
        log = parse_log(text[:end])
        assert log.done <= log.total and not log.is_over
        for name, state in states(log).items():
            seen.setdefault(name, []).append(state)
    assert seen["prepare"][0] == "started" and seen["prepare"][-1] == "finished"
    changes = [
        state for state, before in zip(seen["work flaky"], [None, *seen["work flaky"]], strict=False) if state != before
    ]
    assert changes == ["started", "failed", "started", "finished"], "an attempt that failed is followed by another"


def test_a_run_is_found_by_its_name_and_by_when_it_began(ended: tuple[Path, str]) -> None:
    folder = ended[0] / ".snakemake"
    assert newest_log(folder, "one") == newest_log(folder)
    assert newest_log(folder, "two") is None
    assert newest_log(folder, after=time.time() + 60) is None
    assert newest_log(ended[0] / "elsewhere") is None


def test_a_failed_run_ends_with_the_last_lines_of_each_failed_log_and_one_command(ended: tuple[Path, str]) -> None:
    root, printed = ended
    said = printed.rpartition("Exiting because")[2]
    for name in ("broken", "long"):
        log = f"results/one/logs/work/{name}.log"
        (paragraph,) = [part for part in said.split("\n\n") if part.strip().startswith(f"work {name} has failed")]
        lines = paragraph.strip().splitlines()
        assert lines[1:-1] == [
            *(f"  {number}" for number in range(101 - LAST_LINES + 1, 101)),
            f"  the reason of {name}",
        ]
        assert lines[-1] == f"To read on: less -R +G {log}"
        assert (root / log).is_file()
    assert "flaky" not in said


def test_a_log_that_is_quoted_is_not_taken_for_the_run_s_own(ended: tuple[Path, str]) -> None:
    """A cluster's log of a job is one of a Snakemake, too."""
    root, _ = ended
    own = newest_log(root / ".snakemake")[0]
    inner = own.read_text()
    quoting = [sys.executable, "-m", "snakemake", "--cores", "1", "--show-failed-logs"]
    other = root / "quoting"
    other.mkdir()
    rule = 'rule fail:\n    output: "results/two/x"\n    log: "results/two/logs/fail.log"\n'
    (other / "Snakefile").write_text(f'{rule}    shell: "cp {own} {{log}}; exit 1"\n')
    subprocess.run(quoting, cwd=other, capture_output=True, check=False, timeout=120)
    text = newest_log(other / ".snakemake")[0].read_text()
    assert inner.strip() in text
    log = parse_log(text)
    assert (states(log), log.planned, log.done, log.total) == ({"fail": "failed"}, {"fail": 1}, 0, 1)


def test_of_jobs_that_a_cluster_ran_as_one_the_last_to_write_is_shown(ended: tuple[Path, str], tmp_path: Path) -> None:
    """The form of a group that has failed, by the formatter that writes it."""
    from snakemake.logging import DefaultFormatter

    jobs = [
        {
            "rule_name": "work",
            "jobid": number,
            "output": [],
            "log": [str(ended[0] / f"results/one/logs/work/{name}.log")],
        }
        for number, name in ((1, "broken"), (2, "long"))
    ]
    error = {"msg": None, "aux_logs": ["logs/work.slurm-7.log"], "job_error_info": jobs}
    log = tmp_path / "group.log"
    log.write_text(DefaultFormatter().format_group_error(error) + "\nExiting because a job execution failed.\n")
    assert [job.state for job in parse_log(log.read_text()).jobs] == ["failed", "failed"]
    assert last_words(log).count("has failed") == 1
    assert "the reason of" in last_words(log)
