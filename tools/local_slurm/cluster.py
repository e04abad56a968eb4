"""A real Slurm on one machine: munged, slurmctld and slurmds as children of this process, all state in one folder.

It needs the programs of Debian's `slurmctld slurmd slurm-client munge`, no root, no `/etc`, no service manager. Its
GPUs are simulated: they are scheduled, counted and shown to jobs like real ones, and nothing else.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local_slurm import accounts
from nep.errors import InputError
from nep.workflow import device

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel")
PACKAGES = "slurmctld slurmd slurm-client munge"
NAME = "local"
START_S = 30
STOP_S = 15
OWN_VARIABLES = ("SLURM", "SBATCH", "SRUN")


@dataclass(frozen=True)
class Nodes:
    """What the cluster has: nodes that are all alike, `sacct` with `accounting`, further lines of slurm.conf."""

    number: int = 2
    cpus: int = 4
    memory_mb: int = 12000
    gpus: int = 2
    gpu_model: str = "h200"
    accounting: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


class LocalCluster:
    """The running cluster; `environment` is what a process needs to use it."""

    def __init__(self, root: Path, nodes: Nodes) -> None:
        self.root = root
        self.nodes = nodes
        self.names = [f"n{number}" for number in range(1, nodes.number + 1)]
        self.configuration = root / "slurm.conf"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(OWN_VARIABLES)}
        self.environment["SLURM_CONF"] = str(self.configuration)
        # Its GPUs compute nothing.
        self.environment[device.VARIABLE] = "cpu"
        self.environment["PATH"] = f"{root / 'bin'}:{os.environ['PATH']}"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = free_ports(3 + nodes.number)

    def start(self) -> None:
        """Write the configuration, start all daemons, and wait until every node is idle."""
        self._write()
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = (f"--{name}-file={self.root}/munged.{name}" for name in ("pid", "seed"))
        self._start_daemon("munged", "--foreground", f"--socket={self._socket}", f"--key-file={key}", *files)
        wait_for(self._socket.exists, START_S, f"munged: no socket; see {self.root}/munged.out")
        if self.nodes.accounting:
            self._start_accounting()
        self.start_controller()
        for name in self.names:
            self.start_node(name)
        wait_for(self._is_idle, START_S, f"slurm: the nodes are not idle; see {self.root}/*.out")

    def start_controller(self) -> None:
        """Start slurmctld, with the state that it was stopped in."""
        self._start_daemon("slurmctld", "-D", "-f", str(self.configuration))

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self._start_daemon(f"slurmd-{name}", "-D", "-N", name, "-f", str(self.configuration))

    def stop_daemon(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop `slurmctld` or `slurmd-<node>` by a signal."""
        daemon = self._daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def ask(self, *words: str) -> str:
        """Output of one of Slurm's commands. Raises CalledProcessError."""
        return subprocess.run(
            words, env=self.environment, stdout=subprocess.PIPE, text=True, check=True, timeout=STOP_S
        ).stdout

    def processes(self) -> Iterator[int]:
        """Ids of the living processes of the cluster's jobs and daemons, but for this process."""
        mark = f"SLURM_CONF={self.configuration}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                    yield int(folder.name)
            except OSError:
                # It ended meanwhile, or belongs to somebody else.
                continue

    def stop(self) -> None:
        """End all jobs, then all daemons, then whatever processes jobs have orphaned."""
        if "slurmctld" in self._daemons:
            self._end_jobs()
        # In the reverse order of their start: slurmd first, munged last.
        for name in reversed(list(self._daemons)):
            self.stop_daemon(name)
        for process in self.processes():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _end_jobs(self) -> None:
        try:
            self.ask("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}")
            self.ask("scancel", f"--user={getpass.getuser()}")
            wait_for(lambda: not self.ask("squeue", "--noheader").strip(), STOP_S, "slurm: jobs do not end")
        except (subprocess.SubprocessError, TimeoutError):
            # The daemons are stopped all the same, and left-over processes are killed.
            return

    def _is_idle(self) -> bool:
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                raise InputError(f"{name} ended with status {daemon.returncode}; see {self.root / name}.out")
        states = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return states.stdout.split() == ["idle"] * len(self.names)

    def _start_accounting(self) -> None:
        _, port, database_port, *_ = self._ports
        self._start_daemon("mariadbd", *accounts.database(self.root, database_port)[1:])
        wait_for(lambda: accounts.grant(self.root), START_S, f"no database; see {self.root}/mariadbd.out")
        accounts.write_daemon_settings(self.root, port, database_port, self._auth_info)
        self._start_daemon("slurmdbd", "-D")
        wait_for(self._is_accounting, START_S, f"no accounting; see {self.root}/slurmdbd.out")
        accounts.register(self.ask, NAME)

    def _is_accounting(self) -> bool:
        asked = ["sacctmgr", "--noheader", "list", "cluster"]
        return subprocess.run(asked, env=self.environment, check=False, capture_output=True).returncode == 0

    @property
    def _auth_info(self) -> str:
        # Credentials live 120 s by default, and so long would a job wait that is queued again.
        return f"socket={self._socket},cred_expire=5"

    @property
    def _socket(self) -> Path:
        return self.root / "munge.socket"

    def _start_daemon(self, name: str, *arguments: str) -> None:
        program = name.partition("-")[0]
        with (self.root / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )

    def _write(self) -> None:
        for folder in ("bin", "state", *(f"spool-{name}" for name in self.names)):
            (self.root / folder).mkdir()
        for number in range(self.nodes.gpus):
            # Slurm wants a device file for each GPU.
            (self.root / f"gpu{number}").symlink_to("/dev/null")
        self.configuration.write_text("\n".join(self._lines()) + "\n", encoding="utf-8")
        gpus = f"NodeName={','.join(self.names)} Name=gpu Type={self.nodes.gpu_model} File={self.root}/gpu"
        files = f"[0-{self.nodes.gpus - 1}]" if self.nodes.gpus > 1 else "0"
        (self.root / "gres.conf").write_text(f"{gpus}{files}\n" if self.nodes.gpus else "", encoding="utf-8")
        # The plugin that starts a job's step drops SLURM_CONF from its environment.
        srun = self.root / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _lines(self) -> Iterator[str]:
        host, user = socket.gethostname().split(".")[0], getpass.getuser()
        controller, accounting, _, *ports = self._ports
        settings = {
            "ClusterName": NAME,
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": str(controller),
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthInfo": self._auth_info,
            "StateSaveLocation": f"{self.root}/state",
            "SlurmdSpoolDir": f"{self.root}/spool-%n",
            "SlurmctldPidFile": f"{self.root}/slurmctld.pid",
            "SlurmdPidFile": f"{self.root}/slurmd-%n.pid",
            "MailProg": "/bin/true",
            "ProctrackType": "proctrack/linuxproc",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "GresTypes": "gpu",
            "ReturnToService": "2",
            # More CPUs than the machine has: jobs wait for each other less.
            "SlurmdParameters": "config_overrides",
            "SlurmdTimeout": "10",
            "KillWait": "30",
            "MinJobAge": "3600",
            "JobFileAppend": "1",
            "SchedulerParameters": "sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            **(accounts.settings(self.root, accounting) if self.nodes.accounting else {}),
            **self.nodes.settings,
        }
        yield from (f"{key}={value}" for key, value in settings.items())
        shape = f"CPUs={self.nodes.cpus} RealMemory={self.nodes.memory_mb}"
        gpus = f" Gres=gpu:{self.nodes.gpu_model}:{self.nodes.gpus}" if self.nodes.gpus else ""
        for name, port in zip(self.names, ports, strict=True):
            yield f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {shape}{gpus}"
        yield "PartitionName=main Nodes=ALL Default=YES PriorityTier=1"
        yield "PartitionName=cancelled Nodes=ALL PriorityTier=1 PreemptMode=CANCEL"
        yield "PartitionName=urgent Nodes=ALL PriorityTier=10"


@contextmanager
def local_cluster(nodes: Nodes | None = None) -> Iterator[LocalCluster]:
    """A cluster while the block runs. Raises InputError where Slurm's programs are missing."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise InputError(f"no {', '.join(missing)} found; Debian, Ubuntu: apt-get install {PACKAGES}")
    # The path is short, as sockets lie below it, and munged wants a folder that others may enter.
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    root.chmod(0o755)
    cluster = LocalCluster(root, nodes or Nodes())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until the condition holds. Raises TimeoutError with the message `otherwise`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
