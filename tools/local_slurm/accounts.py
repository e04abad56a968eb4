"""The accounting of a Slurm on one machine: MariaDB and slurmdbd, all state below the cluster's folder.

It needs the programs of Debian's `slurmdbd mariadb-server`.
"""

import getpass
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from nep.errors import InputError

PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacctmgr")
PACKAGES = "slurmdbd mariadb-server"
DATABASE, USER, PASSWORD = "slurm_acct_db", "slurm", "local"
ACCOUNT = "local"


def settings(root: Path, port: int) -> dict[str, str]:
    """What slurm.conf says of the accounting."""
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(port),
        # Clients ask slurmdbd with this socket and not with that of AuthInfo.
        "AccountingStoragePass": f"{root}/munge.socket",
        "AccountingStorageTRES": "gres/gpu",
        "AccountingStoreFlags": "job_comment",
    }


def database(root: Path, port: int) -> list[str]:
    """Make the database's files; the command that starts it. Raises InputError where programs are missing."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise InputError(f"no {', '.join(missing)} found; Debian, Ubuntu: apt-get install {PACKAGES}")
    own = ["--no-defaults", f"--datadir={root}/database", f"--user={getpass.getuser()}"]
    make = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(make, check=True, capture_output=True)
    place = [
        f"--socket={_socket(root)}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--pid-file={root}/database.pid",
    ]
    return ["mariadbd", *own, *place, "--innodb-buffer-pool-size=64M", "--skip-name-resolve"]


def grant(root: Path) -> bool:
    """Make slurmdbd's user and tables' place; False while the database does not answer."""
    who = f"{USER}@'127.0.0.1'"
    statements = (
        f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
        f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON {DATABASE}.* TO {who}",
    )
    ask = ["mariadb", "--no-defaults", f"--socket={_socket(root)}", "-uroot", "-e", ";".join(statements)]
    return subprocess.run(ask, check=False, capture_output=True).returncode == 0


def write_daemon_settings(root: Path, port: int, database_port: int, auth_info: str) -> None:
    """slurmdbd.conf beside slurm.conf, for its owner alone."""
    file = root / "slurmdbd.conf"
    lines = _daemon_settings(root, port, database_port, auth_info)
    file.write_text("\n".join(f"{key}={value}" for key, value in lines) + "\n", encoding="utf-8")
    file.chmod(0o600)


def register(ask: Callable[..., str], cluster: str) -> None:
    """Make the cluster, an account and this user known, whose jobs are then accounted for."""
    ask("sacctmgr", "--immediate", "add", "cluster", cluster)
    ask("sacctmgr", "--immediate", "add", "account", ACCOUNT, f"Cluster={cluster}")
    ask("sacctmgr", "--immediate", "add", "user", getpass.getuser(), f"Account={ACCOUNT}", f"Cluster={cluster}")


def _daemon_settings(root: Path, port: int, database_port: int, auth_info: str) -> Iterator[tuple[str, str]]:
    yield from (("AuthType", "auth/munge"), ("AuthInfo", auth_info), ("SlurmUser", getpass.getuser()))
    yield from (("DbdHost", "localhost"), ("DbdAddr", "127.0.0.1"), ("DbdPort", str(port)))
    yield from (("PidFile", f"{root}/slurmdbd.pid"), ("LogFile", f"{root}/slurmdbd.log"))
    yield from (("StorageType", "accounting_storage/mysql"), ("StorageHost", "127.0.0.1"))
    yield from (("StoragePort", str(database_port)), ("StorageUser", USER), ("StoragePass", PASSWORD))
    yield from (("StorageLoc", DATABASE), ("CommitDelay", "1"))


def _socket(root: Path) -> Path:
    return root / "database.socket"
