import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE
from support.entry_points import run_script
from support.hub_server import COMMIT, Cut, HubFile, HubServer, Status

from nep.download.hub import HubPlace
from nep.download.place import RemoteFile
from nep.errors import InputError

BIG = random.Random(0).randbytes(300_000)
LARGE = BIG * 80
# The client writes in pieces of 10 MiB: what was received of a piece before the cut is asked for again.
CONTINUED = f"bytes={DOWNLOAD_CHUNK_SIZE}-"


def tar_gz(members: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    files = {
        "video_data_part0.tar.gz": HubFile(tar_gz({"video_dataset/a b.mp4": BIG}), lfs=True),
        "next_event_prediction.json": HubFile(b"[]"),
        "futurebench.json": HubFile(b"[ ]"),
    }
    with HubServer("dataset", "me/data", files, revisions=("v1",)) as server:
        yield server


@pytest.fixture
def place(hub: HubServer) -> HubPlace:
    return HubPlace("me/data", "v1", "dataset", endpoint=hub.url)


def test_listing_gives_sizes_checksums_and_the_commit(place: HubPlace, hub: HubServer) -> None:
    archive = hub.files["video_data_part0.tar.gz"]
    assert place.commit == COMMIT
    assert place.names() == sorted(hub.files)
    assert place.describe("video_data_part0.tar.gz") == RemoteFile(
        "video_data_part0.tar.gz", len(archive.content), sha256=archive.sha256
    )
    assert place.describe("futurebench.json").git_sha1 == hub.files["futurebench.json"].blob_id


@pytest.mark.parametrize("name", ["video_data_part0.tar.gz", "futurebench.json"])
def test_download_is_verified_and_done_once(place: HubPlace, hub: HubServer, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        path = place.fetch(place.describe(name), tmp_path / name)
        assert path.read_bytes() == hub.files[name].content
    assert [path.name for path in tmp_path.iterdir()] == [name]
    fetched = [request for request in hub.requests if request.method == "GET" and "/resolve/" in request.path]
    assert len(fetched) == 1 and f"/resolve/{COMMIT}/" in fetched[0].path


def test_cut_connection_is_continued_at_once(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    large = hub.files["large.bin"] = HubFile(LARGE, lfs=True, faults=[Cut(15_000_000)])
    path = place.fetch(place.describe("large.bin"), tmp_path / "large.bin")
    assert path.read_bytes() == large.content
    assert hub.ranges_of("large.bin")[-1] == CONTINUED


def test_interrupted_download_is_continued_by_the_next_try(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    large = hub.files["large.bin"] = HubFile(LARGE, lfs=True, faults=[Cut(15_000_000), Status(403)])
    file = place.describe("large.bin")
    with pytest.raises(InputError, match=r"file large\.bin: .*403"):
        place.fetch(file, tmp_path / "large.bin")
    assert not (tmp_path / "large.bin").exists()
    assert place.fetch(file, tmp_path / "large.bin").read_bytes() == large.content
    assert hub.ranges_of("large.bin")[-1] == CONTINUED
    assert [path.name for path in tmp_path.iterdir()] == ["large.bin"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept, in order; nothing sleeps."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again_as_late_as_it_says(
    place: HubPlace, hub: HubServer, tmp_path: Path, waits: list[float], status: int
) -> None:
    busy = Status(status, {"Retry-After": "7"})
    large = hub.files["large.bin"] = HubFile(LARGE, lfs=True, faults=[busy, Cut(15_000_000), busy])
    hub.api_faults += [busy, busy]
    file = place.describe("large.bin")
    assert place.fetch(file, tmp_path / "large.bin").read_bytes() == large.content
    assert hub.ranges_of("large.bin")[-1] == CONTINUED
    # The client itself waits a second longer than it was told.
    assert len([wait for wait in waits if wait in (7, 8)]) == 4


def test_waits_grow_where_the_hub_does_not_say_how_long(place: HubPlace, hub: HubServer, waits: list[float]) -> None:
    hub.api_faults += [Status(503)] * 3
    assert place.commit == COMMIT
    assert waits == [1, 2, 4]


def test_a_hub_that_stays_busy_ends_the_download(
    place: HubPlace, hub: HubServer, tmp_path: Path, waits: list[float]
) -> None:
    file = place.describe("futurebench.json")
    hub.files["futurebench.json"].faults += [Status(503, {"Retry-After": "86400"})] * 5
    with pytest.raises(InputError, match=r"file futurebench\.json: .*503"):
        place.fetch(file, tmp_path / "q.json")
    assert waits == [600] * 4


def test_wrong_checksum_names_file_expected_and_found(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    archive = hub.files["video_data_part0.tar.gz"]
    archive.tampered = archive.content[:-1] + b"?"
    file = place.describe("video_data_part0.tar.gz")
    with pytest.raises(InputError, match=f"a.tar.gz.*checksum mismatch: expected sha256 {archive.sha256}, found"):
        place.fetch(file, tmp_path / "a.tar.gz")
    assert not list(tmp_path.iterdir()), "nothing wrong is left to be continued"
    archive.tampered = None
    assert place.fetch(file, tmp_path / "a.tar.gz").read_bytes() == archive.content


def test_wrong_checksum_of_a_small_file(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    hub.files["futurebench.json"].tampered = b"[!]"
    with pytest.raises(InputError, match="checksum mismatch: expected git blob"):
        place.fetch(place.describe("futurebench.json"), tmp_path / "q.json")


def test_a_stale_file_is_replaced(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_bytes(b"{ }")
    assert place.fetch(place.describe("futurebench.json"), tmp_path / "q.json").read_bytes() == b"[ ]"


def test_missing_file_and_file_that_vanished(place: HubPlace, hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"me/data at v1: no file 'nope\.json'; it holds futurebench\.json"):
        place.describe("nope.json")
    file = place.describe("futurebench.json")
    del hub.files["futurebench.json"]
    with pytest.raises(InputError, match=r"file futurebench\.json: .*404"):
        place.fetch(file, tmp_path / "q.json")


@pytest.mark.parametrize(("repo", "revision"), [("me/other", "v1"), ("me/data", "v2")])
def test_unknown_repository_or_revision(hub: HubServer, repo: str, revision: str) -> None:
    with pytest.raises(InputError, match=f"hub dataset {repo} at {revision}.*404"):
        HubPlace(repo, revision, "dataset", endpoint=hub.url).names()


def test_unreachable_hub(hub: HubServer) -> None:
    with pytest.raises(InputError, match="hub dataset me/data at v1: ConnectError"):
        HubPlace("me/data", "v1", "dataset", endpoint="http://127.0.0.1:9").names()


def test_token_comes_from_the_environment_only(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    place = HubPlace("me/data", "v1", "dataset", endpoint=hub.url)
    place.fetch(place.describe("futurebench.json"), tmp_path / "a")
    assert {request.authorization for request in hub.requests} == {None}
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    place = HubPlace("me/data", "v1", "dataset", endpoint=hub.url)
    place.fetch(place.describe("futurebench.json"), tmp_path / "b")
    assert "Bearer hf_test" in {request.authorization for request in hub.requests}


def test_file_beyond_what_plain_http_serves(place: HubPlace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"huge\.tar has 60000000000 bytes, more than"):
        place.fetch(RemoteFile("huge.tar", 60_000_000_000, sha256="0" * 64), tmp_path / "huge.tar")


def test_entry_points_over_http(hub: HubServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = json.dumps({"kind": "hub", "repo": "me/data", "revision": "v1", "keep_archives": False})
    listing = run / "download/archives.json"
    name = "video_data_part0.tar.gz"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    common = ("--source", source, "--listing", listing, "--run-dir", run)
    steps = [
        run_script("list_source.py", "--source", source, "--out", listing, **environment),
        run_script(
            "fetch_archive.py", *common, "--name", name, "--out", run / f"download/archives/{name}.json", **environment
        ),
        run_script(
            "finish_download.py",
            *(*common, "--out", run / "download/manifest.json", "--videos", run / "download/videos.json"),
            **environment,
        ),
    ]
    assert [step.returncode for step in steps] == [0, 0, 0], [step.stderr for step in steps]
    assert json.loads(listing.read_text())["commit"] == COMMIT
    assert (run / "download/videos/video_dataset/a b.mp4").read_bytes() == BIG
    assert (run / "download/annotations/futurebench.json").read_bytes() == b"[ ]"
    assert [path.name for path in (run / "download/archives").iterdir()] == [f"{name}.json"], "keep_archives: false"


def test_offline_reads_the_local_cache_or_says_so(hub: HubServer, tmp_path: Path) -> None:
    source = json.dumps({"kind": "hub", "repo": "me/data", "revision": COMMIT})
    offline = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    failed = run_script("list_source.py", "--source", source, "--out", tmp_path / "x.json", **offline)
    assert failed.returncode == 2 and "HF_HUB_OFFLINE is set" in failed.stderr
    assert not hub.requests

    snapshot = tmp_path / "hf/hub/datasets--me--data/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    for name, file in hub.files.items():
        (blobs / file.etag).write_bytes(file.content)
        (snapshot / name).symlink_to(blobs / file.etag)
    found = run_script("list_source.py", "--source", source, "--out", tmp_path / "x.json", **offline)
    assert found.returncode == 0, found.stderr
    assert (
        json.loads((tmp_path / "x.json").read_text())["archives"][0]["sha256"]
        == hub.files["video_data_part0.tar.gz"].sha256
    )
    assert not hub.requests
