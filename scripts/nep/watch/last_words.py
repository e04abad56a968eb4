"""What a run that has failed says at its end: the last lines of each failed job's log, and the command to read on."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from nep.watch.progress import tail
from nep.watch.snakemake_log import Job, parse_log

# As many as stand in the place of a log that a cluster's job has not written (nep/slurm/commands.py).
LAST_LINES = 60
MOST_JOBS = 5


def print_failure_summary(snakemake_logs: Iterable[str]) -> None:
    """Print the last words of a run that has failed."""
    for path in snakemake_logs:
        print(f"\n{last_words(Path(path))}\n", file=sys.stderr)


def last_words(snakemake_log: Path) -> str:
    """A paragraph for each failed job of the run whose log this is; jobs that a cluster ran as one count as one."""
    failed = [
        job for job in parse_log(snakemake_log.read_text("utf-8", errors="replace")).jobs if job.state == "failed"
    ]
    # The last log is the cluster's where there is one: jobs that share it were one to the cluster.
    together: dict[Path | str, list[Job]] = {}
    for job in failed:
        together.setdefault(job.logs[-1] if job.logs else job.name, []).append(job)
    paragraphs = [_of_one(jobs) for jobs in list(together.values())[:MOST_JOBS]]
    if (more := len(together) - MOST_JOBS) > 0:
        paragraphs.append(f"{more} more jobs have failed: python scripts/watch_run.py --once")
    return "\n\n".join(paragraphs)


def _of_one(jobs: Sequence[Job]) -> str:
    """Of the jobs' logs the one that was written last."""
    written = [(path.stat().st_mtime, job.name, path) for job in jobs for path in job.logs[:1] if path.is_file()]
    if not written:
        return f"{jobs[0].name} has failed and left no log"
    _, name, log = max(written)
    lines = [line.rsplit("\r", 1)[-1] for line in tail(log).splitlines() if line.strip()]
    shown = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
    return f"{name} has failed. The end of its log:\n{shown}\nTo read on: less -R +G {shlex.quote(str(log))}"
