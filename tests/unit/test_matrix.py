"""What the matrices of configurations depend on: whether they run in CI hangs on it."""

from support.entry_points import ROOT
from support.matrix import closure, entries, fingerprint


def test_the_matrices_depend_on_what_their_tests_import_and_on_their_fixtures() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in closure(entries())}
    own = {"tests/property/test_cuts.py", "tests/property/numbered.py", "tests/unit/train/test_survival.py"}
    fixtures = {"tests/conftest.py", "tests/unit/train/conftest.py", "tests/support/training_run.py"}
    assert own | fixtures < found
    assert {"scripts/nep/train/engine.py", "scripts/nep/train/grpo.py"} < found
    assert not {path for path in found if path.startswith(("scripts/nep/report/", "tests/e2e/"))}


def test_the_fingerprint_is_the_same_each_time() -> None:
    assert fingerprint() == fingerprint()
