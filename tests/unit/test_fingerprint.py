from pathlib import Path

import pytest

from nep.fingerprint import code_fingerprint, local_closure, local_imports, syntax_of

FILES = {
    "entry.py": '"""Entry."""\nimport json\nfrom pkg.used import work\n\nprint(json.dumps(work(1)))\n',
    "pkg/__init__.py": "",
    "pkg/used.py": "from pkg import deep\n\n\ndef work(x):\n    return deep.add(x, 1)\n",
    "pkg/deep.py": "FIELD = Field(1, description='Old.')\n\n\ndef add(a, b):\n    return a + b\n",
    "pkg/lazy.py": "VALUE = 1\n",
    "pkg/unused.py": "VALUE = 2\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def fingerprint(root: Path, kept: Path | None = None) -> str:
    local_imports.cache_clear()
    syntax_of.cache_clear()
    return code_fingerprint(root / "entry.py", root, kept)


def test_closure_holds_what_is_imported_directly_or_not(root: Path) -> None:
    names = {path.relative_to(root).as_posix() for path in local_closure(root / "entry.py", root)}
    assert names == {"entry.py", "pkg/__init__.py", "pkg/used.py", "pkg/deep.py"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pkg/deep.py", "a + b", "a - b"),
        ("pkg/deep.py", "Field(1", "Field(2"),
        ("pkg/used.py", "(x, 1)", "(x, 2)"),
        ("entry.py", "work(1)", "work(2)"),
        ("pkg/__init__.py", "", "import os\n"),
        ("pkg/used.py", "    return", "    from pkg import lazy\n    return"),
    ],
)
def test_a_change_of_logic_is_seen(root: Path, name: str, old: str, new: str) -> None:
    before = fingerprint(root)
    (root / name).write_text((root / name).read_text().replace(old, new, 1))
    assert fingerprint(root) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pkg/deep.py", "def add(a, b):", "# a comment\n\n\ndef add(\n    a,\n    b,\n):"),
        ("pkg/deep.py", "    return", '    """A docstring."""\n    return'),
        ("entry.py", '"""Entry."""', '"""Another\n\nlonger text."""'),
        ("pkg/deep.py", "Old.", "The description of a key."),
        ("pkg/unused.py", "2", "3"),
    ],
)
def test_a_change_of_comment_docstring_description_format_or_another_module_is_not(
    root: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint(root)
    (root / name).write_text((root / name).read_text().replace(old, new, 1))
    assert fingerprint(root) == before


def test_what_is_kept_changes_nothing_and_parses_each_text_once(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    plain = fingerprint(root)
    assert fingerprint(root, kept) == plain
    files = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert len(files) == 4
    assert fingerprint(root, kept) == plain
    (root / "pkg/deep.py").write_text("def add(a, b):\n    return a - b\n")
    assert fingerprint(root, kept) == fingerprint(root) != plain
    assert len(list(kept.iterdir())) == 5
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_it_does_not_depend_on_where_the_tree_lies(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, text in FILES.items():
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_text(text)
    assert fingerprint(root) == fingerprint(elsewhere)


def test_how_a_job_is_run_does_not_count() -> None:
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    names = {path.relative_to(scripts).as_posix() for path in local_closure(scripts / "train_sft.py", scripts)}
    assert {"nep/errors.py", "nep/train/sft.py"} < names
    assert not {name for name in names if name.startswith(("nep/workflow/", "nep/train/runtime/", "nep/cli"))}


def test_every_entry_point_of_the_project_has_one() -> None:
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    entries = sorted(scripts.glob("*.py"))
    fingerprints = {entry.name: code_fingerprint(entry, scripts) for entry in entries}
    assert len(entries) > 4 and len(set(fingerprints.values())) == len(entries)
