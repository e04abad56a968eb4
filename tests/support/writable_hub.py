"""A hub on 127.0.0.1 that huggingface_hub's client publishes to, and reads from what it has published.

Accounts with tokens, private repositories, preupload, the LFS protocol with single and multipart transfers, commits. A
large object is kept as soon as all of it has come, whether or not a commit ever names it, as at the real hub. What came
is counted: `hub.received`.
"""

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from support.hub_server import API, Cut, HubFile, HubHandler, HubServer, Repository, Status

LFS_SUFFIXES = (".safetensors", ".parquet")
LFS_BYTES = 100_000
BATCH = re.compile(r"/(?:(?P<kind>dataset|space)s/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
PART = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?")
COMPLETE = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})/complete")
# Tokens of accounts that may write, and only read.
WRITER, READER = "hf_that_writes", "hf_that_reads"
FIRST = {".gitattributes": HubFile(b"*.safetensors filter=lfs\n")}


@dataclass(frozen=True)
class Account:
    """Whose token it is: it reads everything, and writes to repositories of these owners where its role is `write`."""

    name: str
    role: str = "write"
    owners: tuple[str, ...] = ()

    def may_write(self, repo: str) -> bool:
        """Whether it may write to the repository."""
        return self.role == "write" and repo.split("/")[0] in (self.name, *self.owners)


@dataclass
class Hold:
    """Never answer; `reached` is set when the upload has come."""

    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class WritableHub(HubServer):
    """`with WritableHub({"hf_token": Account("ada")}) as hub: hub.url`.

    Attributes:
        objects: large files by their SHA-256. received: bytes that came of each, sent again or not.
        upload_faults: for each coming upload of an object or part. commit_faults: for each coming commit; a `Cut` makes
            the commit and loses the answer.
        part_bytes: from which size on an object comes in parts of that size.
    """

    def __init__(self, accounts: dict[str, Account], part_bytes: int = 1 << 30) -> None:
        self.accounts = accounts
        self.part_bytes = part_bytes
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.received: Counter[str] = Counter()
        self.upload_faults: list[Cut | Status | Hold | None] = []
        self.commit_faults: list[Cut | Status] = []
        self._open(WritingHandler)

    def find(self, kind: str, name: str) -> Repository | None:
        return self.repositories.get((kind, name))

    def create(self, kind: str, name: str, private: bool = True) -> Repository:
        """A repository with its first commit, as the hub makes it."""
        files = dict(FIRST)
        head = commit_id(files, None)
        made = Repository(kind, name, files, {head: files}, {"main": head}, private)
        self.repositories[kind, name] = made
        return made


def commit_id(files: dict[str, HubFile], parent: str | None) -> str:
    """A commit's id, by its files and its parent."""
    held = json.dumps([parent, sorted((name, file.sha256) for name, file in files.items())])
    return hashlib.sha1(held.encode(), usedforsecurity=False).hexdigest()


class WritingHandler(HubHandler):
    """The requests that write."""

    hub: WritableHub

    def _account(self) -> Account | None:
        return self.hub.accounts.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _readable(self, kind: str, name: str) -> Repository | None:
        found = self.hub.find(kind, name)
        return found if found and (self._account() or not found.private) else None

    def _answer(self, path: str, with_body: bool) -> None:
        account = self._account()
        if path != "/api/whoami-v2":
            super()._answer(path, with_body)
        elif account is None:
            self._fail(401, "InvalidToken")
        else:
            token = {"displayName": "test", "role": account.role}
            self._send_json({"type": "user", "name": account.name, "auth": {"accessToken": token}})

    def _put(self, path: str) -> None:
        found = PART.fullmatch(path)
        fault = self.hub.upload_faults.pop(0) if self.hub.upload_faults else None
        content = self._received(found["oid"], fault.at if isinstance(fault, Cut) else None)
        if isinstance(fault, Cut):
            self.close_connection = True
            self.connection.close()
        elif isinstance(fault, Hold):
            fault.reached.set()
            fault.over.wait()
            self.close_connection = True
        elif isinstance(fault, Status):
            self._fail(fault.code, "Refused", fault.headers)
        elif found["part"]:
            self.hub.parts[found["oid"], int(found["part"])] = content
            self._send_json({}, headers={"ETag": f'"{len(content)}"'})
        else:
            self._keep(found["oid"], content)

    def _post(self, path: str) -> None:
        if path == "/api/repos/create":
            self._create(json.loads(self._body()))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(self._body())["content"])
        elif found := COMPLETE.fullmatch(path):
            count = len(json.loads(self._body())["parts"])
            self._keep(found["oid"], b"".join(self.hub.parts[found["oid"], part] for part in range(1, count + 1)))
        elif path == "/lfs/verify":
            asked = json.loads(self._body())
            stored = self.hub.objects.get(asked["oid"])
            self._send_json({}) if stored is not None and len(stored) == asked["size"] else self._fail(404, "NoObject")
        elif found := BATCH.fullmatch(path):
            self._write(found["kind"] or "model", found["repo"], self._batch)
        elif (found := API.fullmatch(path)) and (found["rest"] or "").startswith("preupload/"):
            self._write(found["kind"], found["repo"], self._preupload)
        elif found and (found["rest"] or "").startswith("commit/"):
            self._write(found["kind"], found["repo"], self._commit)
        else:
            super()._post(path)

    def _answer_auth_check(self, repository: Repository, write: bool) -> None:
        account = self._account()
        granted = account is not None and (not write or account.may_write(repository.name))
        self._send_json({}) if granted else self._fail(403, "Forbidden")

    def _write(self, kind: str, name: str, action) -> None:
        body, account, repository = self._body(), self._account(), self._readable(kind, name)
        if repository is None:
            self._fail(404 if account else 401, "RepoNotFound")
        elif account is None or not account.may_write(name):
            self._fail(403, "Forbidden")
        else:
            action(repository, body)

    def _create(self, asked: dict) -> None:
        account = self._account()
        name, kind = f"{asked['organization']}/{asked['name']}", asked.get("type", "model")
        if account is None:
            self._fail(401, "InvalidToken")
        elif not account.may_write(name):
            self._fail(403, "Forbidden")
        elif self.hub.find(kind, name):
            self._fail(409, "Exists")
        else:
            self.hub.create(kind, name, private=asked.get("visibility") == "private")
            prefix = "" if kind == "model" else f"{kind}s/"
            self._send_json({"url": f"{self.hub.url}/{prefix}{name}"})

    def _validate(self, card: str) -> None:
        _, header, _ = card.split("---\n", 2)
        known = isinstance(yaml.safe_load(header).get("license"), str)
        errors = [] if known else [{"message": '"license" must be a string'}]
        self._send_json({"errors": errors, "warnings": []}, 200 if known else 400)

    def _preupload(self, repository: Repository, body: bytes) -> None:
        answers = []
        for file in json.loads(body)["files"]:
            there = repository.files.get(file["path"])
            large = file["path"].endswith(LFS_SUFFIXES) or file["size"] > LFS_BYTES
            oid = {"oid": there.etag} if there else {}
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **oid})
        self._send_json({"files": answers})

    def _batch(self, repository: Repository, body: bytes) -> None:
        objects = [self._upload_action(**item) for item in json.loads(body)["objects"]]
        self._send_json({"transfer": "basic", "objects": objects})

    def _upload_action(self, oid: str, size: int) -> dict:
        if oid in self.hub.objects:
            return {"oid": oid, "size": size}
        place, verify = f"{self.hub.url}/lfs/{oid}", {"href": f"{self.hub.url}/lfs/verify"}
        upload = {"href": place}
        if size > self.hub.part_bytes:
            count = -(-size // self.hub.part_bytes)
            urls = {str(part): f"{place}/{part}" for part in range(1, count + 1)}
            upload = {"href": f"{place}/complete", "header": {"chunk_size": str(self.hub.part_bytes), **urls}}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    def _commit(self, repository: Repository, body: bytes) -> None:
        fault = self.hub.commit_faults.pop(0) if self.hub.commit_faults else None
        if isinstance(fault, Status):
            self._fail(fault.code, "Refused", fault.headers)
            return
        header, *operations = (json.loads(line) for line in body.splitlines())
        head = repository.revisions["main"]
        if header["value"].get("parentCommit", head) != head:
            self._fail(412, "PreconditionFailed")
            return
        files = dict(repository.files)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = HubFile(base64.b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                files[value["path"]] = HubFile(self.hub.objects[value["oid"]], lfs=True)
            else:
                del files[value["path"]]
        oid = commit_id(files, head)
        repository.files = repository.commits[oid] = files
        repository.revisions["main"] = oid
        if fault:
            self.close_connection = True
            self.connection.close()
        else:
            self._send_json({"commitUrl": f"{self.hub.url}/{repository.name}/commit/{oid}", "commitOid": oid})

    def _keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() == oid:
            self.hub.objects[oid] = content
            self._send_json({})
        else:
            self._fail(400, "WrongChecksum")

    def _received(self, oid: str, limit: int | None) -> bytes:
        """The body, or its first `limit` bytes; what comes is counted."""
        content = bytearray()
        for piece in self._pieces():
            self.hub.received[oid] += len(piece)
            content += piece
            if limit is not None and len(content) >= limit:
                break
        return bytes(content)

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers["Content-Length"])
        while left and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)
            yield piece
