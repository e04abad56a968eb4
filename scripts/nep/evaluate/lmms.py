"""One run of lmms-eval in a process of its own: its arguments, its environment, what it logged."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nep.errors import InputError
from nep.evaluate.backends import Backend
from nep.evaluate.external import external_env
from nep.evaluate.ledger import Ledger
from nep.evaluate.tasks.multiple_choice.utils import METRIC
from nep.files import read_jsonl, write_json
from nep.jobs.child import ends_with_parent
from nep.rows.question import AskedQuestion
from nep.rows.sample import Sample

LOG_NAME = "lmms_eval.log"
JUDGING_THREADS = 16
_LOG_LINES = 25
_SCRIPT = Path(__file__).resolve().parents[2] / "run_lmms_eval.py"


class LmmsEvalError(InputError):
    """lmms-eval did not evaluate every question; the message holds the end of its log."""


@dataclass(frozen=True)
class LmmsEvalRun:
    """What lmms-eval is asked for: tasks, some of them defined in `folder / "tasks"`, and where its answers go.

    `check` names the document whose logits are compared, and what the vision cache would do with it; `benchmarks` is
    where lmms-eval finds the data of its own benchmarks; with `offline` it asks no judge.
    """

    folder: Path
    tasks: Sequence[str]
    seed: int
    device: str
    threads: int
    limit: int | None
    check: dict[str, Any] | None
    benchmarks: Path | None
    offline: bool

    @property
    def ledger(self) -> Path:
        """Folder of the completions."""
        return self.folder / "completions"

    @property
    def check_file(self) -> Path:
        """Where the comparison of one clip's logits goes."""
        return self.folder / "check.json"


def run_lmms_eval(run: LmmsEvalRun, backend: Backend) -> None:
    """Load the model once and run all tasks, logging samples below `folder / "out"`.

    Raises LmmsEvalError if it ends with an error. It also ends with status 0 after one, so see `logged_samples`.
    """
    settings = run.folder / "settings.json"
    check = run.check and {**run.check, "out": str(run.check_file.resolve())}
    batching = {"chunk": backend.chunk, "frames": backend.same_frames}
    recording = {"ledger": str(run.ledger.resolve()), **batching, "exact": backend.exact, "check": check}
    write_json(settings, {"model": backend.model, **recording})
    arguments = {
        "--model": backend.model,
        "--model_args": backend.argument_text,
        "--tasks": ",".join(run.tasks),
        "--include_path": str((run.folder / "tasks").resolve()),
        "--output_path": str((run.folder / "out").resolve()),
        "--batch_size": str(backend.batch_size),
        "--device": run.device,
        "--seed": str(run.seed),
        # Where a judge is asked, most of the time is waiting.
        "--process_docs_parallel": str(JUDGING_THREADS if run.benchmarks else 1),
        # Thoughts stay in the samples: the report shows them, and `parse` knows where they end.
        "--reasoning_tags": "none",
        **({"--limit": str(run.limit)} if run.limit else {}),
    }
    words = [word for pair in arguments.items() for word in pair]
    command = [*_launcher(backend, run.device), str(_SCRIPT), str(settings.resolve()), *words]
    log = run.folder / LOG_NAME
    print(f"lmms-eval: {len(run.tasks)} tasks, {backend.model}, log {log}", file=sys.stderr)
    with log.open("wb") as stream:
        done = subprocess.run(
            [*command, "--log_samples"],
            cwd=run.folder,
            env={**subprocess_env(run), **backend.environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=ends_with_parent(signal.SIGKILL),
            check=False,
        )
    if done.returncode != 0:
        raise LmmsEvalError(f"lmms-eval ended with status {done.returncode}\n{_end_of(log)}")


def _launcher(backend: Backend, device: str) -> list[str]:
    """The command that a script of Python is given to: by itself, or in several processes of accelerate."""
    python, processes = str(backend.python or sys.executable), backend.processes
    if processes == 1:
        return [python]
    options = {"--num_processes": processes, "--num_machines": 1, "--mixed_precision": "no", "--dynamo_backend": "no"}
    where = ["--cpu"] if device == "cpu" else ["--multi_gpu"]
    # Port 0: a free one, as several evaluations may run on one machine.
    words = [str(word) for pair in {**options, "--main_process_port": 0}.items() for word in pair]
    return [python, "-m", "accelerate.commands.launch", *where, *words]


def subprocess_env(run: LmmsEvalRun) -> dict[str, str]:
    """Environment of the process: offline, caches below its folder, `nep` importable, a fixed number of threads."""
    caches = run.folder.resolve() / "cache"
    library = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    own = {
        "PYTHONPATH": library if not inherited else os.pathsep.join((library, inherited)),
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HOME": str(caches / "huggingface"),
        "HF_DATASETS_CACHE": str(caches / "datasets"),
        "LMMS_EVAL_DATASETS_CACHE": str(caches / "datasets"),
        "XDG_CACHE_HOME": str(caches),
        "MPLCONFIGDIR": str(caches / "matplotlib"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "OMP_NUM_THREADS": str(run.threads),
        "MKL_NUM_THREADS": str(run.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "FORCE_QWENVL_VIDEO_READER": "decord",
    }
    if run.benchmarks:
        own |= external_env(run.benchmarks, run.offline)
    if run.device == "cpu":
        own |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    return {**os.environ, **own}


def logged_samples(run: LmmsEvalRun, task: str, questions: Sequence[AskedQuestion]) -> list[Sample]:
    """Samples that lmms-eval logged for a task of ours, in the order of `questions`.

    Each has the `error` that the model raised at it, else None. Raises LmmsEvalError if there is no log or the samples
    are not exactly one for each question.
    """
    log = sample_log(run, task)
    errors = Ledger(run.ledger).errors()
    samples: dict[str, Sample] = {}
    for row in read_jsonl(log):
        logged = {key: value for key, value in row[METRIC].items() if key != "score"}
        sample = Sample(**logged, error=errors.get((task, row["doc_id"])))
        if sample.question_id in samples:
            raise LmmsEvalError(f"{log}: question {sample.question_id!r} has two samples")
        samples[sample.question_id] = sample
    missing = [row.id for row in questions if row.id not in samples]
    if missing or len(samples) != len(questions):
        raise LmmsEvalError(
            f"{log}: {len(samples)} samples for {len(questions)} questions, without {missing[:3]}; "
            f"see {run.folder / LOG_NAME}"
        )
    return [samples[row.id] for row in questions]


def sample_log(run: LmmsEvalRun, task: str) -> Path:
    """The file of a task's samples. Raises LmmsEvalError, with the end of the log, if there is not one."""
    logs = sorted((run.folder / "out").rglob(f"*_samples_{task}.jsonl"))
    if len(logs) != 1:
        raise LmmsEvalError(f"lmms-eval logged no samples of task {task}\n{_end_of(run.folder / LOG_NAME)}")
    return logs[0]


def lmms_eval_version() -> str:
    """Version of the installed lmms-eval."""
    return version("lmms-eval")


def _end_of(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join((f"the end of {log}:", *lines[-_LOG_LINES:]))
