"""Whether a job computes on CUDA: one that has GPUs does so, or ends with what is missing; it never goes on without.

torch is imported where it is asked: who evaluates a model behind an API does not wait for it.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from nep.errors import InputError

# Set to `cpu`, the job computes on the CPU whatever GPUs it has: a scheduler's GPUs may be simulated.
VARIABLE = "NEP_DEVICE"
# By any of these a job has GPUs.
GIVEN_BY = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES")
# What they say where there are none.
NO_GPU = ("", "-1", "NoDevFiles")
# CUDA's major version -> the oldest driver that runs its programs. Source: NVIDIA, CUDA Compatibility, "Minor Version
# Compatibility".
OLDEST_DRIVERS = {"11": 450, "12": 525, "13": 580}
DRIVER_VERSION = re.compile(r"^NVRM version:.*?\s(\d+\.[\d.]+)\s", re.MULTILINE)
# The start of what Triton compiles before its first kernel.
C_FILE = "#include <Python.h>\n"
ANSWER_S = 60


def on_cuda() -> bool:
    """Whether this process computes on CUDA.

    Raises InputError where its job has GPUs and CUDA cannot be used, and for an unknown value of NEP_DEVICE.
    """
    import torch

    if asked_for_cpu():
        # Before CUDA is first asked: libraries that look for GPUs by themselves find none either.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return False
    if (reason := given_gpus()) is not None:
        need_cuda(reason, f"set {VARIABLE}=cpu")
    return torch.cuda.is_available()


def asked_for_cpu() -> bool:
    """Whether the job is to compute on the CPU in any case. Raises InputError for an unknown value of NEP_DEVICE."""
    asked = os.environ.get(VARIABLE)
    if asked not in (None, "cpu"):
        raise InputError(f"{VARIABLE} is {asked!r}, should be 'cpu', or not set")
    return asked == "cpu"


def trains_on_cuda() -> bool:
    """As `on_cuda`, for a process that compiles its kernels: raises InputError where it could not."""
    cuda = on_cuda()
    if cuda:
        need_compiler()
    return cuda


def given_gpus() -> str | None:
    """The variable that says that this job has GPUs, with its value; None where none says so."""
    found = {name: os.environ.get(name, "") for name in GIVEN_BY}
    return next((f"{name}={value}" for name, value in found.items() if value not in NO_GPU), None)


def need_cuda(reason: str, without: str, proc: Path = Path("/proc")) -> None:
    """Raises InputError where CUDA cannot be used: the `reason` why it is needed, the driver that is needed, the one
    that is found, and what is to be done to go on `without`."""
    import torch

    if torch.cuda.is_available():
        return
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        raise InputError(f"{reason}, but {build} was built without CUDA: install its build for CUDA")
    oldest = OLDEST_DRIVERS.get(torch.version.cuda.partition(".")[0])
    driver = f"an NVIDIA driver for CUDA {torch.version.cuda}" + (f" (version {oldest} or newer)" if oldest else "")
    found = driver_version(proc)
    raise InputError(
        f"{reason}, but CUDA cannot be used: {build} needs {driver}; found on {os.uname().nodename}: "
        f"{f'version {found}' if found else 'no NVIDIA driver'} (torch: {_torch_says()}). Update the driver, ask for "
        f"other nodes, or {without} to compute on the CPU"
    )


def driver_version(proc: Path = Path("/proc")) -> str | None:
    """Version of the NVIDIA driver: of the kernel's module, else what nvidia-smi says; None where there is none."""
    file = proc / "driver" / "nvidia" / "version"
    if file.is_file() and (found := DRIVER_VERSION.search(file.read_text(encoding="utf-8", errors="replace"))):
        return found[1]
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    ask = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=ANSWER_S)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip().partition("\n")[0] or None if done.returncode == 0 else None


def need_compiler() -> None:
    """Raises InputError where Triton could not compile the C file that it compiles at its start.

    As Triton 3.8 does (`triton.runtime.build`), the compiler is the one in CC, else gcc, else clang.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    wanted = "Triton compiles a C file before its first kernel on CUDA"
    if not compiler:
        raise InputError(f"{wanted}, and there is no gcc or clang: install one, or name one in CC")
    scheme = sysconfig.get_default_scheme()
    # Debian's own scheme names a folder for headers that is not there.
    headers = sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]
    with TemporaryDirectory() as scratch:
        source = Path(scratch) / "start.c"
        source.write_text(C_FILE, encoding="utf-8")
        command = [compiler, str(source), "-shared", "-fPIC", f"-I{headers}", "-o", f"{scratch}/start.so"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_S)
            said = done.stderr.strip().partition("\n")[0] if done.returncode else None
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
    if said is not None:
        raise InputError(
            f"{wanted}, and {compiler} cannot compile one with Python.h of {headers} ({said}): install a C compiler "
            "and Python's headers (Debian: gcc, python3-dev), or name another compiler in CC"
        )


def _torch_says() -> str:
    """torch's own reason, its first sentence."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).partition(". ")[0].strip()
    return "no GPU is visible"
