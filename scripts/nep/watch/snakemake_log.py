"""What Snakemake's log says about the jobs of a run. The form is that of Snakemake 9.27 (its `logging.py`)."""

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

LOGS = "log/*.snakemake.log"
STAMP = re.compile(r" *\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]")
STAMP_FORM = "%a %b %d %H:%M:%S %Y"
RULE = re.compile(r" *(?:local)?(?:rule|checkpoint) (\w+):")
FAILED = re.compile(r"Error in rule (\w+):")
GROUP_FAILED = "    jobs:"
FIELD = re.compile(r" +(jobid|log|wildcards): (.*)")
AFTER_LOGS = " (check log file(s) for error details)"
FINISHED = re.compile(r"Finished jobid: (\d+) \(Rule: \w+\)")
COUNT = re.compile(r"(\w+) +(\d+)")
STEPS = re.compile(r"(\d+) of (\d+) steps \(.*")
END = "Complete log(s): "
# Before the text of a failed job's log (`--show-failed-logs`), which stands between two equal lines.
QUOTED = re.compile(r"Logfile .*:")
RUN = re.compile(r" results/([^/\s,]+)/")


@dataclass(frozen=True)
class Job:
    """A job: `name` is its rule with the wildcards' values; `since` when it came to its state, in seconds since 1970.

    A job is `started` from the moment that it is handed to whoever runs it. `logs`: the rule's own, and where a cluster
    has run a job that failed, the cluster's.
    """

    number: int
    rule: str
    name: str
    state: Literal["started", "finished", "failed"]
    since: float
    logs: tuple[Path, ...]


@dataclass(frozen=True)
class RunLog:
    """Jobs in the order in which they first started; `planned` are numbers of jobs by rule, as known at the start.

    `done` and `total` are Snakemake's own figures.
    """

    planned: dict[str, int]
    jobs: tuple[Job, ...]
    done: int
    total: int
    is_over: bool


def newest_log(snakemake_dir: Path, run: str | None = None, after: float = 0) -> tuple[Path, str] | None:
    """The newest log, and the run that it is about: of `run`, or of any; written to since `after`; else None.

    A log that names no file of a run is passed over: there was nothing to do, or it is a plan's.
    """
    for path in sorted(snakemake_dir.glob(LOGS), reverse=True):
        names = set(RUN.findall(path.read_text("utf-8", errors="replace"))) if path.stat().st_mtime >= after else set()
        if names and (run is None or run in names):
            return path, run or min(names)
    return None


def parse_log(text: str) -> RunLog:
    """Read the whole lines of a log, also of one that is being written."""
    reader = _Reader()
    for line in text.rpartition("\n")[0].splitlines():
        reader.read(line)
    return reader.result()


class _Reader:
    """Follows a log line by line; an entry about a job is a head and the indented lines below it."""

    def __init__(self) -> None:
        self._planned: dict[str, int] = {}
        self._jobs: dict[int, Job] = {}
        self._steps: tuple[int, int] | None = None
        self._is_over = False
        self._quote_begins = False
        self._quote_ends_with: str | None = None
        self._now = 0.0
        self._fails = False
        self._rule: str | None = None
        self._fields: dict[str, str] = {}
        self._group_logs: tuple[Path, ...] = ()

    def read(self, line: str) -> None:
        if self._quote_ends_with is not None:
            self._quote_ends_with = None if line == self._quote_ends_with else self._quote_ends_with
        elif self._quote_begins:
            self._quote_begins, self._quote_ends_with = False, line
        elif QUOTED.fullmatch(line):
            self._quote_begins = True
        else:
            self._read_own(line)

    def _read_own(self, line: str) -> None:
        """A line that is Snakemake's own and not of a job's log."""
        if found := STAMP.fullmatch(line):
            self._end_entry()
            self._now = time.mktime(time.strptime(found[1], STAMP_FORM))
            self._fails, self._group_logs = False, ()
        elif found := RULE.fullmatch(line) or FAILED.fullmatch(line):
            self._end_entry()
            self._rule = found[1]
            self._fails = self._fails or line.startswith("Error")
        elif found := FIELD.fullmatch(line):
            self._fields[found[1]] = found[2]
        elif line == GROUP_FAILED:
            self._fails, self._group_logs = True, _paths(self._fields)
            self._fields = {}
        elif not line.startswith(" "):
            self._end_entry()
            self._read_figures(line)

    def result(self) -> RunLog:
        self._end_entry()
        total = self._planned.pop("total", 0)
        done, total = self._steps or (0, total)
        return RunLog(self._planned, tuple(self._jobs.values()), done, total, self._is_over)

    def _read_figures(self, line: str) -> None:
        if found := FINISHED.fullmatch(line):
            number = int(found[1])
            if number in self._jobs:
                self._jobs[number] = replace(self._jobs[number], state="finished", since=self._now)
        elif found := STEPS.fullmatch(line):
            self._steps = int(found[1]), int(found[2])
        elif found := COUNT.fullmatch(line):
            self._planned[found[1]] = int(found[2])
        elif line.startswith(END):
            self._is_over = True

    def _end_entry(self) -> None:
        """Take over the job of the entry that ends here."""
        rule, fields = self._rule, self._fields
        self._rule, self._fields = None, {}
        if rule is None or "jobid" not in fields:
            return
        number, logs = int(fields["jobid"]), _paths(fields)
        before = self._jobs.get(number)
        if self._fails:
            logs = tuple(dict.fromkeys([*logs, *self._group_logs]))
            name = before.name if before else rule
            self._jobs[number] = Job(number, rule, name, "failed", self._now, logs)
        else:
            values = [pair.partition("=")[2] for pair in fields.get("wildcards", "").split(", ")]
            name = " ".join([rule, *filter(None, values)])
            self._jobs[number] = Job(number, rule, name, "started", self._now, logs)


def _paths(fields: dict[str, str]) -> tuple[Path, ...]:
    text = fields.get("log", "").removesuffix(AFTER_LOGS)
    return tuple(Path(name) for name in text.split(", ") if name)
