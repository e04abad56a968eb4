"""Two checkouts that share a store: the second makes nothing expensive, and has the same bytes in the end."""

import shutil
from pathlib import Path

import pytest
from support.workflow import Workplace, hashes

from nep.files import read_json, write_json
from nep.jobs.store import VARIABLE

pytestmark = pytest.mark.e2e


def run_in(checkout: Workplace, name: str, *targets: str) -> Path:
    """Make a run of its own name, whole or up to `targets`, and return the run's folder."""
    made = {"source": {"path": f"results/{name}/hub"}, "model": {"path": f"results/{name}/tiny_model"}}
    outcome = checkout.run(checkout.configure("small", run=name, **made), *targets)
    assert outcome.status == 0, outcome.text
    return checkout.root / "results" / name


def data_of(run: Path) -> dict[str, str]:
    """Hashes of all that the run has made but the pages and model cards that show its name."""
    named = ("report/data", "report/cards")
    return {name: digest for name, digest in hashes(run).items() if not name.startswith(named)}


def work_done(run: Path) -> set[str]:
    """The expensive work that a run has done itself."""
    signs = {"training": "work/*/nep/*/metrics.jsonl", "evaluation": "work/evaluate/*/lmms_eval.log"}
    return {what for what, sign in signs.items() if list(run.glob(sign))}


def test_a_second_checkout_takes_what_the_first_has_made(
    small_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a run with a store has the bytes of one without: `test_killed_runs.py`."""
    monkeypatch.setenv(VARIABLE, str(small_run.store))
    first, checkout = small_run.original, Workplace.make(tmp_path / "checkout")
    second = run_in(checkout, "second")
    assert work_done(first) == {"training", "evaluation"}
    assert work_done(second) == set()
    entries = {stage.name: len(list(stage.rglob("entry.json"))) for stage in small_run.store.iterdir()}
    assert entries == {"split": 28, "encode": 2, "sft": 1, "grpo": 1, "evaluate": 3, "tmp": 0}
    expected = data_of(first)
    assert data_of(second) == expected
    for name in ("segments/first", "segments/second", "encode/frames", "encode/features", "nep/sft/model"):
        for file in (first / name).iterdir():
            assert file.samefile(second / name / file.name)

    (scores,) = [path for path in small_run.store.glob("evaluate/*/*/files/scores.json") if is_of(path, "nep-grpo")]
    scores.chmod(0o600)
    write_json(scores, {**read_json(scores), "scores": []})
    shutil.rmtree(second / "evaluate/nep-grpo")
    run_in(checkout, "second", "all", "evaluate")
    assert work_done(second) == {"evaluation"}
    assert data_of(second) == expected
    assert "is damaged" in (second / "logs/evaluate_model/nep-grpo.log").read_text()
    assert len(list((small_run.store / "quarantine").iterdir())) == 1


def is_of(scores: Path, model: str) -> bool:
    return read_json(scores)["model"] == model
