"""Two checkouts that share a store: the second makes nothing expensive, and has the same bytes in the end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.workflow import Workplace, hashes

from nep.files import read_json, write_json
from nep.jobs.store import VARIABLE

pytestmark = pytest.mark.e2e


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o770)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a checkout of one commit, a whole run of its name in it, and returns the run's folder."""
    commit = Workplace.make(tmp_path / "commit")

    def run(name: str) -> Path:
        workplace = commit.copy(tmp_path / f"checkout-{name}")
        made = {"source": {"path": f"results/{name}/hub"}, "model": {"path": f"results/{name}/tiny_model"}}
        outcome = workplace.run(workplace.configure("small", run=name, **made))
        assert outcome.status == 0, outcome.text
        return workplace.root / "results" / name

    return run


def data_of(run: Path) -> dict[str, str]:
    """Hashes of all that the run has made but the pages and model cards that show its name."""
    named = ("report/data", "report/cards")
    return {name: digest for name, digest in hashes(run).items() if not name.startswith(named)}


def work_done(run: Path) -> set[str]:
    """The expensive work that a run has done itself."""
    signs = {"training": "work/*/nep/*/step-*", "evaluation": "work/evaluate/*/lmms_eval.log"}
    return {what for what, sign in signs.items() if list(run.glob(sign))}


def test_a_second_checkout_takes_what_the_first_has_made(store: Path, run_in: Callable[[str], Path], small_run) -> None:
    first, second = run_in("first"), run_in("second")
    assert work_done(first) == {"training", "evaluation"}
    assert work_done(second) == set()
    entries = {stage.name: len(list(stage.rglob("entry.json"))) for stage in store.iterdir()}
    assert entries == {"split": 28, "encode": 2, "sft": 1, "grpo": 1, "evaluate": 3, "tmp": 0}
    assert data_of(second) == data_of(first) == data_of(small_run.folder)
    for name in ("segments/first", "segments/second", "encode/frames", "encode/features", "nep/sft/model"):
        for file in (first / name).iterdir():
            assert file.samefile(second / name / file.name)

    (scores,) = [path for path in store.glob("evaluate/*/*/files/scores.json") if is_of(path, "nep-grpo")]
    scores.chmod(0o600)
    write_json(scores, {**read_json(scores), "scores": []})
    third = run_in("third")
    assert work_done(third) == {"evaluation"}
    assert data_of(third) == data_of(first)
    assert "is damaged" in (third / "logs/evaluate_model/nep-grpo.log").read_text()
    assert len(list((store / "quarantine").iterdir())) == 1


def is_of(scores: Path, model: str) -> bool:
    return read_json(scores)["model"] == model
