"""Safe, resumable extraction of one zip archive, by the rules of `archive.py`."""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from nep.download.archive import DISK_RESERVE_BYTES, MAX_EXPANSION, MIN_ALLOWANCE_BYTES
from nep.errors import InputError
from nep.files import CHUNK_BYTES, confined

ENCRYPTED = 0x1


def extract_zip(archive: Path, root: Path, work: Path) -> list[str]:
    """Extract all members below `root`; their POSIX paths, sorted. A member that is there with its size is kept.

    `work` (on the file system of `root`) holds the temporary file. Raises InputError that names archive and member for
    one that is not a plain file or folder, leaves the root, appears twice or is encrypted; for a total size that no
    archive of videos has; for a full disk; for a damaged archive (every member's CRC-32 is checked).
    """
    work.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            files = _checked_files(archive, opened)
            for path, entry in files.items():
                _extract_member(archive, opened, entry, confined(root, path), work / "member.partial")
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InputError(f"{archive}: truncated or damaged archive ({error})") from None
    return sorted(files)


def _checked_files(archive: Path, opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    files: dict[str, zipfile.ZipInfo] = {}
    allowed = max(MIN_ALLOWANCE_BYTES, MAX_EXPANSION * archive.stat().st_size)
    total = 0
    for entry in opened.infolist():
        where = f"{archive}: member {entry.filename!r}"
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise InputError(f"{where} leaves the extraction root; refused")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or entry.flag_bits & ENCRYPTED:
            raise InputError(f"{where} is no plain file or folder, or is encrypted; refused")
        if entry.is_dir():
            continue
        if path.as_posix() in files:
            raise InputError(f"{where} appears twice")
        total += entry.file_size
        if total > allowed:
            raise InputError(f"{where} brings the unpacked total to {total} bytes, more than the {allowed} allowed")
        files[path.as_posix()] = entry
    return files


def _extract_member(
    archive: Path, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, temporary: Path
) -> None:
    if target.is_file() and target.stat().st_size == entry.file_size:
        return
    where = f"{archive}: member {entry.filename!r}"
    free = shutil.disk_usage(temporary.parent).free
    if entry.file_size > free - DISK_RESERVE_BYTES:
        raise InputError(f"{where} needs {entry.file_size} bytes, but the disk has only {free} left")
    with opened.open(entry) as stream, temporary.open("wb") as output:
        shutil.copyfileobj(stream, output, CHUNK_BYTES)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{where} cannot be written to {target}: {error.strerror}") from None
