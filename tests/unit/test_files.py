import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nep.cli import run_entry_point
from nep.errors import InputError
from nep.files import (
    atomic_path,
    confined,
    drop_unfinished,
    read_json,
    read_jsonl,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_json_rows,
    write_jsonl,
    write_text,
)


def test_atomic_path_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_run_has_left_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a[1].txt.x7/a[1].txt", ".a1.txt.x7/a1.txt", "a[1].txt"):
        write_text(tmp_path / name, "text")
    drop_unfinished(tmp_path / "a[1].txt")
    assert {path.name for path in tmp_path.iterdir()} == {".a1.txt.x7", "a[1].txt"}


def test_atomic_path_keeps_the_suffix_and_shows_nothing_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_bytes(b"video")
        assert not path.exists()
    assert path.read_bytes() == b"video"


@pytest.mark.parametrize("name", ["x" * 251 + ".mp4", "日" * 82 + ".json", "y" * 247])
def test_a_name_as_long_as_names_may_be_is_written_and_cleaned_up(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / name) as temporary:
        temporary.write_text("half")
        # What a kill would leave.
        left = next(tmp_path.iterdir()).rename(tmp_path / f"{temporary.parent.name}left")
        raise RuntimeError
    write_text(tmp_path / name, "text")
    assert {path.name for path in tmp_path.iterdir()} == {left.name, name}
    drop_unfinished(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_broken_unicode_is_written_as_the_escape_that_json_has(tmp_path: Path) -> None:
    row = {"caption": "a \ud800 cup\\", "\udfff": 1}
    write_json(tmp_path / "a.json", row)
    write_jsonl(tmp_path / "a.jsonl", [row])
    write_json_rows(tmp_path / "rows.json", [row])
    assert read_json(tmp_path / "a.json") == row
    assert read_jsonl(tmp_path / "a.jsonl") == read_json(tmp_path / "rows.json") == [row]
    assert sha256_of_json(row) != sha256_of_json({**row, "caption": "a \ufffd cup\\"})


def test_a_byte_order_mark_and_blank_lines_are_no_content(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\n\n')
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert read_jsonl(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]


def test_atomic_path_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("old", "new"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [item.name for item in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    )
)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    folder = tmp_path_factory.mktemp("json")
    write_json(folder / "a.json", value)
    assert read_json(folder / "a.json") == value
    rows = [{"value": value}, {"line": "a\nb\u2028c"}]
    write_jsonl(folder / "a.jsonl", rows)
    assert read_jsonl(folder / "a.jsonl") == rows


def test_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    write_json(tmp_path / "b.json", {"a": [2], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sha256_of_json({"b": 1, "a": 2}) == sha256_of_json({"a": 2, "b": 1}) != sha256_of_json({"a": 2, "b": 2})


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe{", b""])
def test_bad_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json: not JSON"):
        read_json(tmp_path / "bad.json")


@pytest.mark.parametrize("second", [b'{"a": ', b"\xff", b"x"])
def test_bad_jsonl_names_file_and_line(tmp_path: Path, second: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b'{"a": 1}\n' + second + b"\n")
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2: not JSON"):
        read_jsonl(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_missing_file_is_named(tmp_path: Path, read: object) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: no such file"):
        read(tmp_path / "nothing.json")


def test_sha256_of_a_file_larger_than_a_chunk(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("relative", ["../other", "/etc/passwd", "a/../../other", "link/x"])
def test_paths_that_leave_their_root(tmp_path: Path, relative: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leaves its root"):
        confined(root, relative)


def test_paths_that_stay(tmp_path: Path) -> None:
    assert confined(tmp_path, "a/../b c/日.mp4") == (tmp_path / "b c" / "日.mp4").resolve()


def test_entry_point_ends_with_one_line_and_status_2(capsys: pytest.CaptureFixture) -> None:
    def main() -> None:
        raise InputError("file x: value 3 is wrong")

    with pytest.raises(SystemExit) as ended:
        run_entry_point(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: file x: value 3 is wrong\n"


def test_entry_point_lets_other_errors_through() -> None:
    with pytest.raises(ZeroDivisionError):
        run_entry_point(lambda: json.dumps(1 / 0))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_are_a_json_list_with_one_object_a_line(tmp_path: Path, count: int) -> None:
    rows = [{"b": "ü\u2028 line", "a": number} for number in range(count)]
    write_json_rows(tmp_path / "rows.json", rows)
    assert read_json(tmp_path / "rows.json") == rows
    assert len((tmp_path / "rows.json").read_text(encoding="utf-8").split("\n")) == count + 3
