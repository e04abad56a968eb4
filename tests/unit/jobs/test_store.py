import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from nep.errors import InputError
from nep.jobs import store as shelf_module
from nep.jobs.store import VARIABLE, Shelf, store_folder

KEY = {"recipe": "r", "seed": 3}
ROUNDS = 10


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o2750)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def shelf_of(run: Path) -> Shelf:
    return Shelf("train", run=run, root=run / "out")


def make(run: Path, weights: bytes = b"weights") -> tuple[list[Path], list[Path]]:
    """A result: a folder beside, and a declared output."""
    out = run / "out"
    (out / "model/deep").mkdir(parents=True)
    (out / "model/deep/weights.bin").write_bytes(weights)
    (out / "manifest.json").write_text("{}")
    return [out / "model"], [out / "manifest.json"]


def published(run: Path) -> Path:
    """A run whose result is in the store; returns the file of the store that holds its weights."""
    beside, outputs = make(run)
    shelf_of(run).publish(KEY, beside=beside, outputs=outputs, value={"steps": 2})
    (weights,) = (Path(os.environ[VARIABLE]) / "train").rglob("weights.bin")
    return weights


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_run_takes_what_was_published(store: Path, tmp_path: Path) -> None:
    published(tmp_path / "a")
    stale = tmp_path / "b/out/model/old.bin"
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert shelf_of(tmp_path / "b").fetch(KEY) == {"steps": 2}
    assert contents(tmp_path / "b/out") == contents(tmp_path / "a/out")
    assert not list((tmp_path / "b/work/store").iterdir())


@pytest.mark.parametrize("key", [{"recipe": "other", "seed": 3}, {"recipe": "r", "seed": 4}, {"recipe": "r"}])
def test_what_was_made_from_something_else_is_not_taken(store: Path, tmp_path: Path, key: dict) -> None:
    published(tmp_path / "a")
    assert shelf_of(tmp_path / "b").fetch(key) is None
    assert Shelf("other", run=tmp_path / "b", root=tmp_path / "b").fetch(KEY) is None
    assert not (tmp_path / "b").exists()


def test_without_a_store_nothing_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    beside, outputs = make(tmp_path / "a")
    shelf_of(tmp_path / "a").publish(KEY, beside=beside, outputs=outputs)
    assert shelf_of(tmp_path / "a").fetch(KEY) is None
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_a_store_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "misspelt"))
    with pytest.raises(InputError, match=r"NEP_STORE: no folder .*misspelt"):
        store_folder()


def test_what_lies_beside_is_linked_and_outputs_are_copied(store: Path, tmp_path: Path) -> None:
    weights = published(tmp_path / "a")
    shelf_of(tmp_path / "b").fetch(KEY)
    for run in ("a", "b"):
        assert (tmp_path / run / "out/model/deep/weights.bin").samefile(weights)
        output = tmp_path / run / "out/manifest.json"
        assert output.stat().st_nlink == 1
        assert output.stat().st_mode & stat.S_IWUSR


def test_where_no_link_can_be_made_files_are_copied(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Path) -> None:
        raise PermissionError("not your file")

    monkeypatch.setattr(os, "link", refuse)
    weights = published(tmp_path / "a")
    assert shelf_of(tmp_path / "b").fetch(KEY) == {"steps": 2}
    assert contents(tmp_path / "b/out") == contents(tmp_path / "a/out")
    assert weights.stat().st_nlink == 1


def test_everything_gets_the_mode_of_the_store(store: Path, tmp_path: Path) -> None:
    published(tmp_path / "a")
    modes = {path.is_dir(): set() for path in store.rglob("*")}
    for path in store.rglob("*"):
        modes[path.is_dir()].add(oct(stat.S_IMODE(path.stat().st_mode)))
    assert modes == {True: {"0o2750"}, False: {"0o440"}}


def damage_content(weights: Path) -> None:
    weights.chmod(0o640)
    weights.write_bytes(b"WEIGHTS")


def damage_entry(weights: Path) -> None:
    entry = weights.parents[3] / "entry.json"
    entry.chmod(0o640)
    entry.write_text(entry.read_text()[:-20])


def escape(weights: Path) -> None:
    entry = weights.parents[3] / "entry.json"
    entry.chmod(0o640)
    content = json.loads(entry.read_text())
    content["files"]["../../../elsewhere"] = {"sha256": "0", "linked": False}
    entry.write_text(json.dumps(content))


@pytest.mark.parametrize("harm", [damage_content, damage_entry, escape, Path.unlink])
def test_a_damaged_entry_is_set_aside_and_made_anew(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture, harm
) -> None:
    harm(published(tmp_path / "a"))
    run = tmp_path / "b"
    assert shelf_of(run).fetch(KEY) is None
    assert not (run / "out").exists()
    message = capsys.readouterr().err
    assert "is damaged" in message
    assert "moved to" in message
    assert len(list((store / "quarantine").iterdir())) == 1
    beside, outputs = make(run)
    shelf_of(run).publish(KEY, beside=beside, outputs=outputs)
    assert shelf_of(tmp_path / "c").fetch(KEY) is True
    assert contents(tmp_path / "c/out") == contents(run / "out")


def test_a_result_that_cannot_be_shared_is_still_a_result(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf_module, "_place", full)
    beside, outputs = make(tmp_path / "a")
    shelf_of(tmp_path / "a").publish(KEY, beside=beside, outputs=outputs)
    assert "No space left on device" in capsys.readouterr().err
    assert not list((store / "train").rglob("entry.json"))
    assert not list((store / "tmp").iterdir())


def work_with_others(run: Path, barrier) -> None:
    """Each round: all at once look for a result, and share their own where there is none yet."""
    for number in range(ROUNDS):
        folder = run / str(number)
        barrier.wait()
        if shelf_of(folder).fetch({"round": number}) is None:
            beside, outputs = make(folder, f"weights {number}".encode())
            shelf_of(folder).publish({"round": number}, beside=beside, outputs=outputs)
        again = run / f"{number}-again"
        assert shelf_of(again).fetch({"round": number}) is True
        assert (again / "out/model/deep/weights.bin").read_bytes() == f"weights {number}".encode()


def test_users_who_write_at_once_do_not_disturb_each_other(store: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3, timeout=60)
    users = [context.Process(target=work_with_others, args=(tmp_path / user, barrier)) for user in "abc"]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [user.exitcode for user in users] == [0, 0, 0]
    assert len(list((store / "train").rglob("entry.json"))) == ROUNDS
    assert not list((store / "tmp").iterdir())
    assert not (store / "quarantine").exists()
