"""What the jobs of a run have cost, by rule, from Slurm's accounting (`sacct`).

A run's jobs are those whose Slurm logs lie beside its rules' logs. An allocation counts for as long as it lasted, again
for each time that its job was queued again; GPUs and CPUs count as allocated, used or not. Memory is the largest
resident set of one task.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nep.errors import InputError

# The submission comes last: it may hold the separator.
FIELDS = ("JobID", "Comment", "ElapsedRaw", "CPUTimeRAW", "MaxRSS", "AllocTRES", "WorkDir", "SubmitLine")
SEPARATOR = "|"
JOB = re.compile(r"\d+(_\d+)?(\+\d+)?")
RULE = re.compile(r"\brule_(\w+?)(?:_wildcards_|\s|$)")
GPUS = re.compile(r"gres/gpu(:[^=]+)?=(\d+)")
LOG = re.compile(r".*\.slurm-(\d+)\.log")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Cost:
    """What the jobs of one rule have cost. `gpu_hours` is None where the cluster's accounting does not count GPUs."""

    rule: str
    jobs: int
    starts: int
    hours: float
    gpu_hours: float | None
    cpu_hours: float
    peak_gib: float


@dataclass
class _Allocation:
    job: str
    rule: str
    seconds: int
    cpu_seconds: int
    gpus: int | None
    peak_bytes: float = 0.0


def run_costs(run_dir: Path) -> list[Cost]:
    """Costs by rule of a run's jobs; none for a run without Slurm. Raises InputError where there is no accounting."""
    jobs = job_ids(run_dir)
    return costs(read_listing(jobs), Path.cwd()) if jobs else []


def job_ids(run_dir: Path) -> list[str]:
    """Slurm's ids of the jobs of a run that have begun, by their logs."""
    logs = (LOG.fullmatch(path.name) for path in (run_dir / "logs").rglob("*.log"))
    return sorted({log[1] for log in logs if log}, key=int)


def read_listing(jobs: Sequence[str]) -> str:
    """What sacct says of these jobs, each of their starts. Raises InputError where there is no accounting."""
    program = shutil.which("sacct")
    if program is None:
        raise InputError("no sacct found: run this where Slurm is")
    form = ["--parsable2", "--duplicates", "--noconvert", f"--format={','.join(FIELDS)}"]
    done = subprocess.run([program, f"--jobs={','.join(jobs)}", *form], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise InputError(f"no accounting ({reason}); what each job took is in results/<run>/benchmarks/")
    return done.stdout


def costs(listing: str, folder: Path) -> list[Cost]:
    """Costs by rule of the jobs that were submitted from a folder."""
    by_rule: dict[str, list[_Allocation]] = {}
    for allocation in _allocations(listing, folder):
        by_rule.setdefault(allocation.rule, []).append(allocation)
    return [_sum(rule, allocations) for rule, allocations in sorted(by_rule.items())]


def total(rows: list[Cost]) -> Cost:
    """Sum of jobs and times, largest memory."""
    gpus = [row.gpu_hours for row in rows if row.gpu_hours is not None]
    jobs, starts, hours, cpus = (
        sum(getattr(row, name) for row in rows) for name in ("jobs", "starts", "hours", "cpu_hours")
    )
    return Cost("all", jobs, starts, hours, sum(gpus) if gpus else None, cpus, max(row.peak_gib for row in rows))


def table(rows: list[Cost]) -> str:
    """The costs as aligned text, with a last row for all of them."""
    lines = [("rule", "jobs", "starts", "hours", "GPU hours", "CPU hours", "peak GiB"), *map(_cells, rows)]
    if rows:
        lines.append(_cells(total(rows)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    form = "  ".join([f"{{:<{widths[0]}}}", *(f"{{:>{width}}}" for width in widths[1:])])
    return "\n".join(form.format(*line) for line in lines)


def _allocations(listing: str, folder: Path) -> Iterator[_Allocation]:
    """The listed jobs of the workflow; the steps of a job follow it."""
    current: _Allocation | None = None
    for line in listing.splitlines():
        values = line.split(SEPARATOR, len(FIELDS) - 1)
        if len(values) < len(FIELDS) or not values[0][:1].isdigit():
            # The head, or a further line of a submission.
            continue
        row = dict(zip(FIELDS, values, strict=True))
        if JOB.fullmatch(row["JobID"]):
            if current:
                yield current
            rule = RULE.search(row["Comment"]) or RULE.search(row["SubmitLine"])
            mine = rule is not None and Path(row["WorkDir"]).resolve() == folder.resolve()
            current = _allocation(row, rule[1]) if rule and mine else None
        if current and row["MaxRSS"]:
            current.peak_bytes = max(current.peak_bytes, _bytes(row["MaxRSS"]))
    if current:
        yield current


def _allocation(row: dict[str, str], rule: str) -> _Allocation:
    counts = {kind: int(number) for kind, number in GPUS.findall(row["AllocTRES"])}
    gpus = counts.get("", sum(counts.values())) if counts else None
    return _Allocation(row["JobID"], rule, int(row["ElapsedRaw"]), int(row["CPUTimeRAW"]), gpus)


def _sum(rule: str, allocations: Iterable[_Allocation]) -> Cost:
    every = list(allocations)
    counted = [each.gpus * each.seconds for each in every if each.gpus is not None]
    return Cost(
        rule=rule,
        jobs=len({each.job for each in every}),
        starts=len(every),
        hours=sum(each.seconds for each in every) / 3600,
        gpu_hours=sum(counted) / 3600 if counted else None,
        cpu_hours=sum(each.cpu_seconds for each in every) / 3600,
        peak_gib=max(each.peak_bytes for each in every) / 2**30,
    )


def _bytes(size: str) -> float:
    return float(size.rstrip("KMGT")) * UNITS[size.lstrip("0123456789.")]


def _cells(row: Cost) -> tuple[str, ...]:
    gpus = "–" if row.gpu_hours is None else f"{row.gpu_hours:.2f}"
    hours, cpus, peak = (f"{value:.2f}" for value in (row.hours, row.cpu_hours, row.peak_gib))
    return (row.rule, str(row.jobs), str(row.starts), hours, gpus, cpus, peak)
