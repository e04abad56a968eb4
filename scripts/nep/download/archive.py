"""Safe, resumable extraction of one tar archive: every member a plain file below the root, complete or absent."""

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from nep.errors import InputError
from nep.files import CHUNK_BYTES, atomic_path, confined, to_json_line, write_jsonl

# Videos hardly compress: a member stream that unpacks to more than this multiple of its archive is a bomb.
MAX_EXPANSION = 100
MIN_ALLOWANCE_BYTES = 1 << 30
DISK_RESERVE_BYTES = 1 << 28


@dataclass(frozen=True)
class Member:
    """An extracted member: POSIX path below the root, size in bytes, SHA-256 of its content."""

    path: str
    size: int
    sha256: str


def extract_archive(archive: Path, root: Path, work: Path) -> list[Member]:
    """Extract all members of `archive` below `root`; the members, sorted by path.

    `work` (on the file system of `root`) holds the temporary file and the list of finished members: a second call skips
    those that are there with the right size. Raises InputError that names archive and member for a member that is not a
    plain file, a second name of one, or a folder, leaves the root or appears twice; for a total size that no archive of
    videos has; for a full disk; for a truncated or damaged archive.
    """
    work.mkdir(parents=True, exist_ok=True)
    journal = work / "members.jsonl"
    finished = {member.path: member for member in _read_journal(journal) if _is_there(root, member)}
    write_jsonl(journal, (asdict(member) for member in finished.values()))
    members: dict[str, Member] = {}
    total = 0
    with _damage_named(archive), tarfile.open(archive, mode="r:*") as tar:
        for entry in _checked_files(archive, tar):
            path = PurePosixPath(entry.name).as_posix()
            linked = _linked_member(archive, entry, members) if entry.islnk() else None
            size = linked.size if linked else entry.size
            total += size
            _check_total(archive, entry, total)
            if path in members:
                raise InputError(f"{archive}: member {entry.name!r} appears twice")
            known = finished.get(path)
            if linked and (known is None or known.sha256 != linked.sha256):
                known = _copy_member(archive, entry, linked, root)
            elif known is None or known.size != size:
                known = _extract_member(archive, tar, entry, confined(root, path), work / "member.partial")
                with journal.open("a", encoding="utf-8") as lines:
                    lines.write(to_json_line(asdict(known)))
            members[path] = known
    return [members[path] for path in sorted(members)]


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, BadGzipFile, tarfile.TarError, zlib.error, LZMAError) as error:
        raise InputError(f"{archive}: truncated or damaged archive ({error})") from None


def _checked_files(archive: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for entry in tar:
        _check_member(archive, entry)
        if entry.isfile() or entry.islnk():
            yield entry
    # tarfile takes a broken header for the end of the archive: only a block of zeros is one (POSIX).
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end-of-archive mark at byte {tar.offset}")
    # The checksum of a compressed stream is looked at only where its end is read.
    while tar.fileobj.read(CHUNK_BYTES):
        pass


def _check_total(archive: Path, entry: tarfile.TarInfo, total: int) -> None:
    allowed = max(MIN_ALLOWANCE_BYTES, MAX_EXPANSION * archive.stat().st_size)
    if total > allowed:
        raise InputError(
            f"{archive}: member {entry.name!r} brings the unpacked total to {total} bytes, "
            f"more than the {allowed} that an archive of this size may hold; refused"
        )


def _check_member(archive: Path, entry: tarfile.TarInfo) -> None:
    where = f"{archive}: member {entry.name!r}"
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{where} leaves the extraction root; refused")
    if "\0" in entry.name or not _is_utf8(entry.name):
        raise InputError(f"{where}: a name must be UTF-8 text; refused")
    if entry.issym():
        raise InputError(f"{where} is a link to {entry.linkname!r}; only plain files and folders are extracted")
    if not (entry.isreg() or entry.isdir() or entry.islnk()) or entry.issparse():
        raise InputError(f"{where} is neither a plain file nor a folder (tar type {entry.type!r}); refused")
    if not entry.isdir() and not path.parts:
        raise InputError(f"{where}: a file needs a name")


def _linked_member(archive: Path, entry: tarfile.TarInfo, members: dict[str, Member]) -> Member:
    """The member that a hard link, which is how tar stores a file's second name, stands for: one that came before."""
    target = members.get(PurePosixPath(entry.linkname).as_posix())
    if target is None:
        raise InputError(
            f"{archive}: member {entry.name!r} is a hard link to {entry.linkname!r}, "
            "which is no file of this archive before it; refused"
        )
    return target


def _copy_member(archive: Path, entry: tarfile.TarInfo, linked: Member, root: Path) -> Member:
    path = PurePosixPath(entry.name).as_posix()
    target = confined(root, path)
    try:
        with atomic_path(target) as temporary:
            os.link(confined(root, linked.path), temporary)
    except OSError as error:
        raise InputError(f"{archive}: member {entry.name!r} cannot be linked at {target}: {error.strerror}") from None
    return replace(linked, path=path)


def _extract_member(
    archive: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, temporary: Path
) -> Member:
    where = f"{archive}: member {entry.name!r}"
    free = shutil.disk_usage(temporary.parent).free
    if entry.size > free - DISK_RESERVE_BYTES:
        raise InputError(f"{where} needs {entry.size} bytes, but the disk has only {free} left")
    digest = hashlib.sha256()
    written = 0
    with tar.extractfile(entry) as stream, temporary.open("wb") as output:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            written += output.write(chunk)
    if written != entry.size:
        raise tarfile.ReadError(f"member {entry.name!r}: expected {entry.size} bytes, found {written}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{where} cannot be written to {target}: {error.strerror}") from None
    return Member(PurePosixPath(entry.name).as_posix(), written, digest.hexdigest())


def _is_utf8(name: str) -> bool:
    # tarfile reads undecodable bytes as lone surrogates.
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_there(root: Path, member: Member) -> bool:
    path = confined(root, member.path)
    return path.is_file() and path.stat().st_size == member.size


def _read_journal(journal: Path) -> list[Member]:
    if not journal.is_file():
        return []
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    # A kill in the middle of a write leaves a last line without its end.
    return [Member(**json.loads(line)) for line in lines if line.endswith("\n")]
