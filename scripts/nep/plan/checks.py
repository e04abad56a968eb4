"""Whether a run can succeed here: each check says what it found, and what would be right."""

import math
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av.codec
import httpx2
from huggingface_hub import HfApi, is_offline_mode
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from nep.config.grpo import Grpo
from nep.config.model import Model
from nep.config.sft import Sft
from nep.config.source import Source
from nep.config.whole import Config
from nep.download.hub import open_hub, token_from_environment
from nep.download.place import RepositoryKind
from nep.errors import InputError
from nep.layout.models import experiment_and_seed
from nep.plan.dry_run import Job
from nep.plan.estimates import Estimate
from nep.plan.training import TrainingCost
from nep.train.runtime.preflight import GIB, Place, check, memory_here
from nep.video.tools import find_ffmpeg

State = Literal["ok", "warning", "problem", "unknown"]
ANSWER_S = 20
# Of sinfo: partition, GPUs, memory, cores, time limit.
NODES = "%P|%G|%m|%c|%l"
# Keys that make a job of a rule shorter.
FASTER = {
    "split_shard": "split.shards",
    "encode_shard": "encode.shards",
    "train_sft": "sft.processes",
    "train_grpo": "grpo.processes",
    "evaluate_model": "evaluate.processes, evaluate.batch_size",
}
CODECS = {"encoders": "libx264", "decoders": "h264"}
CUTTING = {"make_demo_data", "split_shard", "make_controls"}
FETCHING = {"source": {"list_source", "fetch_archive", "finish_download"}, "model": {"fetch_model"}}


@dataclass(frozen=True)
class Check:
    """A problem would certainly end the run, a warning may; `unknown` is what cannot be told from here."""

    state: State
    what: str
    says: str


@dataclass(frozen=True)
class Nodes:
    """What the largest node of a partition has, and the minutes that a job may take there."""

    gpus: int
    memory_mb: int
    cores: int
    minutes: float
    is_default: bool


def check_disk(folder: Path, growth: int, checkpoints: int, unknown: Sequence[str]) -> Check:
    """`growth`: bytes that the folder will grow by at least; `checkpoints`: bytes of those that it will hold meanwhile;
    `unknown`: what is in neither."""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    passing = f" ({in_gib(checkpoints)} of it checkpoints, until their trainings have ended)" if checkpoints else ""
    needed = f"{in_gib(growth + checkpoints)}{passing}"
    if growth + checkpoints > free:
        return Check("problem", "disk", f"{needed} to be written, {in_gib(free)} free at {place}: make room")
    if unknown:
        says = f"{needed} of {in_gib(free)} free, and what {', '.join(unknown)} will write, which is not known yet"
        return Check("unknown", "disk", says)
    return Check("ok", "disk", f"{needed} of {in_gib(free)} free")


def check_local_gpus(jobs: Iterable[Job], config: Config, devices: int) -> list[Check]:
    """Against the `devices` of this machine. Without any, training runs on the CPU."""
    problems = []
    for job in jobs:
        if job.rule in ("train_sft", "train_grpo"):
            training = training_of(job, config)
            key = f"experiments.{experiment_and_seed(job.wildcards['experiment'])[0]}.{job.stage}"
            if training.nodes > 1 and not shutil.which("srun"):
                problems.append(f"{key}.nodes is {training.nodes}: several nodes need a scheduler (--profile slurm)")
            if devices and training.processes > devices:
                problems.append(f"{key}.processes is {training.processes}, a GPU each: set it to {devices} at most")
    evaluate = config.evaluate
    if evaluate.device.startswith("cuda") and any(job.rule == "evaluate_model" for job in jobs):
        if not devices:
            problems.append(f"evaluate.device is '{evaluate.device}' and there is no GPU: set it to cpu")
        elif evaluate.processes > devices:
            problems.append(f"evaluate.processes is {evaluate.processes}, a GPU each: set it to {devices} at most")
    found = f"{devices} on this machine" if devices else "none on this machine: training runs on the CPU"
    return [Check("problem", "GPUs", problem) for problem in problems] or [Check("ok", "GPUs", found)]


def check_submitted_gpus(jobs: Iterable[Job], config: Config) -> list[Check]:
    """Whether the profile asks a GPU for each process of a training or an evaluation."""
    found = []
    for job in jobs:
        if needed := _processes(job, config):
            asked = gpus_asked(job)
            if asked and asked < needed:
                says = f"the profile asks {asked} for {job.name}, which has {needed} processes: set gpu to {needed}"
                found.append(Check("problem", "GPUs", says))
            else:
                says = f"{asked or 'none'} asked for {job.name}, {needed} processes"
                idle = f": the others idle; set gpu to {needed}"
                found.append(Check("warning", "GPUs", says + idle) if asked > needed else Check("ok", "GPUs", says))
    return found


def _processes(job: Job, config: Config) -> int:
    """Processes of a job that take a GPU each."""
    if job.rule in ("train_sft", "train_grpo"):
        training = training_of(job, config)
        return training.nodes * training.processes
    return config.evaluate.processes if job.rule == "evaluate_model" and config.evaluate.device != "cpu" else 0


def check_keys(jobs: Iterable[Job], config: Config) -> list[Check]:
    """Whether the environment has the keys of the references that will be asked."""
    names = sorted(job.wildcards["reference"] for job in jobs if job.rule == "evaluate_reference")
    lacking = {name: config.references[name].key_from for name in names}
    return [
        Check("problem", f"key of {name}", f"the environment has no {variable}: set it, to anything if none is asked")
        for name, variable in lacking.items()
        if not os.environ.get(variable)
    ]


def check_memory(job: Job, training: Sft | Grpo, cost: TrainingCost | None, local: bool) -> Check:
    """The preflight of a training, before its job; on a scheduler, against the memory that the job asks for."""
    what = f"memory of {job.name}"
    if cost is None:
        return Check("unknown", what, "the base model is not here yet: its job checks before it loads anything")
    capacity = memory_here(training.processes) if local else _asked_for(job, training)
    try:
        check(cost.memory, capacity)
    except InputError as error:
        return Check("problem", what, str(error).removeprefix("memory: "))
    sums = {place: sum(line.bytes for line in cost.memory if line.place == place) for place in ("device", "host")}
    says = [f"{in_gib(sums[place])} of {in_gib(size)} on the {place}" for place, size in capacity.items()]
    if sums["device"] and "device" not in capacity:
        says.append(f"{in_gib(sums['device'])} needed on each GPU, whose memory is not known here")
        return Check("unknown", what, ", ".join(says))
    if not capacity:
        return Check("unknown", what, f"{in_gib(sums['host'])} needed by each process; the job asks for no mem_mb")
    return Check("ok", what, f"a process needs {', '.join(says)}")


def _asked_for(job: Job, training: Sft | Grpo) -> dict[Place, int]:
    """Bytes for each process of a submitted job, as far as they are known."""
    memory = job.resources.get("mem_mb")
    return {"host": memory * 1_000_000 // training.processes} if isinstance(memory, int) else {}


def check_time(rule: str, jobs: Sequence[Job], cost: Estimate) -> list[Check]:
    """Whether the longest job of a rule is expected to end in the time that its jobs ask for; nothing where either is
    not known."""
    asked = [job.resources["runtime"] for job in jobs if isinstance(job.resources.get("runtime"), int)]
    if not asked or cost.longest is None:
        return []
    minutes = math.ceil(cost.longest / 60)
    takes = f"about {_hours(minutes)} a job of the {_hours(min(asked))} that it asks for"
    if minutes <= min(asked):
        return [Check("ok", f"time of {rule}", takes)]
    fewer = f" or change {FASTER[rule]}" if rule in FASTER else ""
    says = f"{takes} ({cost.source}): set 'runtime' of {rule} in the profile above {minutes}{fewer}"
    return [Check("warning", f"time of {rule}", says)]


def _hours(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.0f} min"


def check_hub(config: Config, rules: set[str]) -> list[Check]:
    """Whether what is to be fetched from a hub can be: it exists, at this revision, and access is granted."""
    blocks: list[tuple[str, Source | Model, RepositoryKind]] = [
        ("source", config.source, "dataset"),
        ("model", config.model, "model"),
    ]
    wanted = [(name, block, kind) for name, block, kind in blocks if block.kind == "hub" and FETCHING[name] & rules]
    return [_ask_hub(f"hub {kind} {block.repo}", block, kind) for _, block, kind in wanted]


def _ask_hub(what: str, block: Source | Model, kind: RepositoryKind) -> Check:
    if is_offline_mode():
        try:
            open_hub(block.repo, block.revision, kind)
        except InputError as error:
            return Check("problem", what, str(error))
        return Check("ok", what, "in the local hub cache (HF_HUB_OFFLINE is set)")
    token = token_from_environment()
    api = HfApi(token=token)
    try:
        info = api.repo_info(block.repo, repo_type=kind, revision=block.revision, timeout=ANSWER_S)
        if info.gated:
            api.auth_check(block.repo, repo_type=kind)
    except GatedRepoError:
        given = "the token in HF_TOKEN has no access: ask for it on the hub" if token else "HF_TOKEN is not set"
        return Check("problem", what, f"gated, and {given}")
    except RevisionNotFoundError:
        return Check("problem", what, f"has no revision {block.revision!r}")
    except RepositoryNotFoundError:
        hint = "that HF_TOKEN may read" if token else "that can be read without HF_TOKEN"
        return Check("problem", what, f"no repository of this name {hint}")
    except (HfHubHTTPError, httpx2.TransportError, OSError) as error:
        return Check("unknown", what, f"the hub could not be asked ({type(error).__name__})")
    return Check("ok", what, "gated, and the token has access" if info.gated else "open to all")


def check_codecs(rules: set[str]) -> list[Check]:
    """The codecs by which videos are cut: of the ffmpeg program, and of PyAV's own libraries."""
    if not CUTTING & rules:
        return []
    try:
        program = find_ffmpeg()
        lists = {kind: _answer(program, "-hide_banner", f"-{kind}") for kind in CODECS}
    except (InputError, OSError, subprocess.SubprocessError) as error:
        return [Check("problem", "ffmpeg", str(error))]
    lacking = [f"{name} among its {kind}" for kind, name in CODECS.items() if name not in lists[kind].split()]
    if lacking:
        return [Check("problem", "ffmpeg", f"{program} has no {', no '.join(lacking)}: install a full build")]
    if not {"libx264", "h264"} <= av.codec.codecs_available:
        return [Check("problem", "ffmpeg", "PyAV was built without H.264: install its wheel from PyPI")]
    return [Check("ok", "ffmpeg", f"{program} and PyAV have H.264")]


def check_partitions(jobs: Iterable[Job]) -> list[Check]:
    """Whether the partitions that submitted jobs ask for exist, with a node and the time that they ask for."""
    try:
        nodes = partitions(_answer("sinfo", "--noheader", f"--format={NODES}"))
    except FileNotFoundError:
        return [Check("problem", "partition", "no sinfo here: run this where Slurm's commands are")]
    except subprocess.CalledProcessError as error:
        return [Check("unknown", "partition", f"sinfo did not answer ({error.stderr.strip()})")]
    except subprocess.TimeoutExpired:
        return [Check("unknown", "partition", f"sinfo did not answer within {ANSWER_S} s")]
    found: dict[tuple[State, str], set[str]] = {}
    for job in jobs:
        if not job.local:
            found.setdefault(_partition_of(job, nodes), set()).add(job.rule)
    return [
        Check(state, "partition", says if state == "ok" else f"{_named(rules)}: {says}")
        for (state, says), rules in sorted(found.items())
    ]


def partitions(text: str) -> dict[str, Nodes]:
    """What `sinfo` shows in the format `NODES`: partition → its largest node; the default one is marked with a star."""
    found: dict[str, Nodes] = {}
    for line in filter(None, text.splitlines()):
        name, gres, memory, cores, limit = line.split("|")
        key = name.rstrip("*")
        before = found.get(key, Nodes(0, 0, 0, 0, False))
        gpus = sum(int(part.split("(")[0].rpartition(":")[2]) for part in gres.split(",") if part.startswith("gpu"))
        found[key] = Nodes(
            gpus=max(gpus, before.gpus),
            memory_mb=max(int(memory.rstrip("+")), before.memory_mb),
            cores=max(int(cores.rstrip("+")), before.cores),
            minutes=max(_minutes(limit), before.minutes),
            is_default=name.endswith("*"),
        )
    return found


def _minutes(limit: str) -> float:
    """Slurm's `days-hours:minutes:seconds`, of which the first parts may be missing, or a word for no limit."""
    if not limit[0].isdigit():
        return math.inf
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    seconds = sum(part * size for part, size in zip(reversed(parts), (1, 60, 3600), strict=False))
    return int(days or 0) * 1440 + seconds / 60


def _partition_of(job: Job, nodes: dict[str, Nodes]) -> tuple[State, str]:
    names = [name for name in str(job.resources.get("slurm_partition") or "").split(",") if name]
    known = ", ".join(sorted(nodes)) or "none"
    if not names:
        names = [name for name, node in nodes.items() if node.is_default]
    if not names:
        return "problem", f"no partition is set, and the cluster has no default one: set one of {known}"
    if missing := [name for name in names if name not in nodes]:
        return "problem", f"no partition '{missing[0]}'; there are {known}"
    place = ",".join(names)
    memory, minutes = (job.resources.get(key) for key in ("mem_mb", "runtime"))
    asked = [
        ("GPUs of a node", "gpus", -(-gpus_asked(job) // int(job.resources.get("nodes") or 1))),
        ("MB of a node", "memory_mb", memory if isinstance(memory, int) else 0),
        ("cores of a node", "cores", job.threads),
        ("minutes (runtime)", "minutes", minutes * job.in_a_row if isinstance(minutes, int) else 0),
    ]
    for what, key, number in asked:
        most = max(getattr(nodes[name], key) for name in names)
        if number > most:
            shards = f", {job.in_a_row} jobs in a row" if key == "minutes" and job.in_a_row > 1 else ""
            return "problem", f"asks {number} {what}{shards}; '{place}' has {most:g} at most"
    return "ok", f"'{place}' exists"


def _named(rules: set[str]) -> str:
    first, *others = sorted(rules)
    return f"{first} and {len(others)} more rules" if others else first


def gpus_asked(job: Job) -> int:
    """GPUs that a job asks of a scheduler: `gpu`, else `gres: gpu:2` or `gpu:h200:2`."""
    if isinstance(job.resources.get("gpu"), int):
        return job.resources["gpu"]
    kind, *rest = str(job.resources.get("gres", "")).split(":")
    return int(rest[-1]) if kind == "gpu" and rest and rest[-1].isdecimal() else 0


def training_of(job: Job, config: Config) -> Sft | Grpo:
    """The configuration block of a training job."""
    return getattr(config.trainings[job.wildcards["experiment"]], job.stage)


def in_gib(size: float) -> str:
    """Bytes as text."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):,.1f} MiB"


def _answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_S).stdout
