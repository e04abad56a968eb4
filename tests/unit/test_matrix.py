"""What the matrices of configurations depend on: whether they run in CI hangs on it."""

from pathlib import Path

import pytest
from support import matrix
from support.entry_points import ROOT
from support.matrix import closure, entries


def test_the_matrices_depend_on_what_their_tests_import_and_on_their_fixtures() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in closure(entries())}
    own = {"tests/property/test_cuts.py", "tests/property/numbered.py", "tests/unit/train/test_survival.py"}
    fixtures = {"tests/conftest.py", "tests/unit/train/conftest.py", "tests/support/training_run.py"}
    assert own | fixtures < found
    assert {"scripts/nep/train/engine.py", "scripts/nep/train/rl/grpo.py"} < found
    assert not {path for path in found if path.startswith(("scripts/nep/report/", "tests/e2e/"))}


def test_a_note_holds_for_the_code_that_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def status(option: str) -> int:
        monkeypatch.setattr("sys.argv", ["matrix.py", option])
        return matrix.main()

    monkeypatch.setattr(matrix, "NOTE", tmp_path / "matrix.sha256")
    assert status("--is-current") == 1, "never passed"
    assert status("--note") == 0 == status("--is-current")
    monkeypatch.setattr(matrix, "OTHER_FILES", ("README.md",))
    assert status("--is-current") == 1, "something else than what passed"
