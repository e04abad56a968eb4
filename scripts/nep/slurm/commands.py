"""Stand-ins for `sbatch`, `squeue` and `sacct` between Snakemake's Slurm plugin and Slurm; other calls pass through.

The plugin does not know a job that outlived the Snakemake that submitted it, nor a training that stopped on request
after a checkpoint. It waits for ever for a job that was preempted by cancellation or that the controller has forgotten,
and where it cannot ask for states because the controller or the accounting is down. With the stand-ins

- a submission takes over the job of an earlier run that makes the same from the same configuration and code;
- a training that stopped on request, and a preempted job, are queued again under their id: the plugin sees them wait;
- a job that is no longer listed has ended (Snakemake then looks for its outputs);
- Slurm's log of a job lies beside the rule's own, and stands in for it where the job ended before its rule said a word;
- while the controller does not answer, jobs count as running, for half an hour; then they have failed.

What was submitted is noted in `.snakemake/slurm/<hash of target and configuration file>.json`.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nep.files import read_json, sha256_of_file, sha256_of_json, write_json
from nep.workflow import logs, requeue

ROOT = Path(__file__).resolve().parents[3]
STAND_INS = ROOT / "profiles" / "slurm" / "bin"
NOTES = Path(".snakemake") / "slurm"
UNREACHABLE = "unreachable"
LONGEST_OUTAGE_S = 1800
BETWEEN_TRIES_S = 5
# The plugin gives a question 60 s.
ANSWER_S = 45
NO_CONTROLLER = "Unable to contact slurm controller"
LAST_LINES = 60
LIVING = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "REQUEUED")
FAILED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
TARGET = re.compile(r"--target-jobs (.*?) --")
FILES = re.compile(r"--configfiles? (.*?) --")
CONFIG = re.compile(r"--config (.*?) --")
DECIDING = ("Snakefile", "rules/*.smk", "scripts/**/*.py", "config/**/*.*")


@dataclass(frozen=True)
class Note:
    """A submitted job: its id, the run (Slurm's job name) that waits for it, Slurm's log and the rule's own (None for a
    group of jobs), what decides its result, and the file by which it asks to be queued again."""

    job: str
    run: str
    log: str
    rule_log: str | None
    content: str
    mark: str


def sbatch(arguments: Sequence[str]) -> int:
    """Submit a job of the plugin, or take over the one of an earlier run."""
    run, expected_log, script = (_value(arguments, name) for name in ("--job-name", "--output", "--wrap"))
    if not (run and expected_log and script):
        return _pass_on("sbatch", arguments)
    log, rule_log = _logs_of(script) or (expected_log, None)
    note = NOTES / f"{sha256_of_json([TARGET.findall(script), FILES.findall(script)])[:16]}.json"
    mark = str(note.with_suffix(".requeue").absolute())
    content = _content(script)
    earlier = Note(**read_json(note)) if note.is_file() else None
    if earlier and _lives(earlier):
        if earlier.content != content:
            message = "still makes this with another configuration or other code: wait for it, or"
            print(f"job {earlier.job} of an earlier run {message}: scancel {earlier.job}", file=sys.stderr)
            return 1
        _ask("scontrol", "update", f"JobId={earlier.job}", f"JobName={run}")
        job = earlier.job
        log = earlier.log
    else:
        os.environ[requeue.VARIABLE] = mark
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        words = [log if word == expected_log else word for word in arguments]
        done = _when_reachable(lambda: _ask("sbatch", *words))
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
            return done.returncode
        job = done.stdout.strip().split(";")[0]
    log, expected_log = log.replace("%j", job), expected_log.replace("%j", job)
    if log != expected_log and not Path(expected_log).is_symlink():
        Path(expected_log).symlink_to(log)
    NOTES.mkdir(parents=True, exist_ok=True)
    write_json(note, asdict(Note(job, run, log, rule_log, content, mark)))
    print(job)
    return 0


def squeue(arguments: Sequence[str]) -> int:
    """The states of a run's jobs, in the form that the plugin asks for (`id|state`)."""
    run = _value(arguments, "--name")
    if not run or "--states=all" not in arguments:
        return _pass_on("squeue", arguments)
    return _print_states(run)


def sacct(arguments: Sequence[str]) -> int:
    """The plugin's other way to the same question; it needs no accounting here."""
    run = _value(arguments, "--name")
    return _print_states(run) if run else _pass_on("sacct", arguments)


def main(path: str, arguments: Sequence[str]) -> int:
    """Run the stand-in that the file is named after."""
    return {"sbatch": sbatch, "squeue": squeue, "sacct": sacct}[Path(path).name](arguments)


def _print_states(run: str) -> int:
    notes = [note for note in _notes() if note.run == run]
    done = _ask("squeue", "--noheader", "--states=all", "--format=%i|%T", f"--name={run}")
    if done.returncode == 0:
        (NOTES / UNREACHABLE).unlink(missing_ok=True)
        listed = dict(line.split("|") for line in done.stdout.split())
        states = {note.job: _settled(note, listed.get(note.job, "UNKNOWN")) for note in notes}
    elif _outage_s() < LONGEST_OUTAGE_S:
        states = {note.job: "RUNNING" for note in notes}
    else:
        for note in notes:
            with Path(note.log).open("a", encoding="utf-8") as log:
                minutes = LONGEST_OUTAGE_S // 60
                log.write(f"Slurm's controller has not answered for {minutes} minutes: {done.stderr.strip()}\n")
            _give_last_words(note)
        states = {note.job: "FAILED" for note in notes}
    for job, state in states.items():
        print(f"{job}|{state}")
    return 0


def _settled(note: Note, state: str) -> str:
    """The state that the plugin is told: a job that is to go on is queued again."""
    mark = Path(note.mark)
    if state != "PREEMPTED" and not (state in ("FAILED", "TIMEOUT", "CANCELLED") and mark.is_file()):
        if state in FAILED:
            _give_last_words(note)
        return state
    mark.unlink(missing_ok=True)
    return "PENDING" if _ask("scontrol", "requeue", note.job).returncode == 0 else "FAILED"


def _give_last_words(note: Note) -> None:
    """Slurm's last lines about a failed job whose rule has logged nothing: Snakemake then shows neither log."""
    own, of_slurm = Path(note.rule_log or ""), Path(note.log)
    if note.rule_log is None or (own.is_file() and own.stat().st_size > 0):
        return
    lines = of_slurm.read_text("utf-8", errors="replace").splitlines() if of_slurm.is_file() else []
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("\n".join([f"The rule has logged nothing. Of {of_slurm}:", *lines[-LAST_LINES:], ""]), "utf-8")


def _logs_of(script: str) -> tuple[str, str | None] | None:
    """Slurm's log (`%j` is the job's id) and the rule's own, of a job or, without the latter, of a group of jobs."""
    targets = [word.strip("'") for words in TARGET.findall(script) for word in words.split()]
    rule, _, wildcards = targets[0].partition(":")
    if len(targets) > 1:
        stem, own = logs.stem_of(rule), None
    else:
        stem = logs.stem_of(rule, [word.partition("=")[2] for word in wildcards.split(",") if word])
        own = f"{stem}.log"
    return (f"{stem}.slurm-%j.log", own) if stem else None


def _content(script: str) -> str:
    """Hash of what decides a job's result: its target, configuration and the workflow's files."""
    found = {str(path.relative_to(ROOT)): path for pattern in DECIDING for path in ROOT.glob(pattern)}
    configured = [Path(word.strip("'")) for words in FILES.findall(script) for word in words.split()]
    found |= {str(path): path for path in configured if path.is_file()}
    return sha256_of_json(
        {
            "target": TARGET.findall(script),
            "config": CONFIG.findall(script),
            "files": {name: sha256_of_file(path) for name, path in found.items() if path.is_file()},
        }
    )


def _notes() -> list[Note]:
    return [Note(**read_json(path)) for path in NOTES.glob("*.json")]


def _lives(note: Note) -> bool:
    """Whether Slurm has this job waiting or running: this one, and not one of another cluster with the same id."""
    question = ("squeue", "--noheader", "--states=all", "--format=%T|%j", f"--jobs={note.job}")
    state, _, name = _when_reachable(lambda: _ask(*question)).stdout.strip().partition("|")
    return state in LIVING and name == note.run


def _when_reachable(ask: Callable[[], subprocess.CompletedProcess[str]]) -> subprocess.CompletedProcess[str]:
    """Ask until the controller answers, for as long as an outage may last."""
    while True:
        done = ask()
        if NO_CONTROLLER not in done.stderr or _outage_s() > LONGEST_OUTAGE_S:
            return done
        time.sleep(BETWEEN_TRIES_S)


def _outage_s() -> float:
    """Seconds since the controller was first found not to answer; notes the first time."""
    since = NOTES / UNREACHABLE
    if not since.exists():
        NOTES.mkdir(parents=True, exist_ok=True)
        since.touch()
    return time.time() - since.stat().st_mtime


def _ask(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [_real(program), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{NO_CONTROLLER}: no answer in {ANSWER_S} s")


def _pass_on(program: str, arguments: Sequence[str]) -> int:
    return subprocess.run([_real(program), *arguments], check=False).returncode


def _real(program: str) -> str:
    """Slurm's own program: the first one on the path that is not a stand-in."""
    others = [folder for folder in os.get_exec_path() if Path(folder).resolve() != STAND_INS]
    return shutil.which(program, path=os.pathsep.join(others)) or program


def _value(arguments: Sequence[str], name: str) -> str | None:
    """Value of an option, given as `--name value` or `--name=value`."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
