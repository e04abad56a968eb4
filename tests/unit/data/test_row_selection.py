"""Which rows of its data sets a training takes."""

from pathlib import Path

from support.training_run import grpo_row

from nep.config.grpo import Grpo
from nep.data.selection import select_grpo
from nep.files import write_jsonl

HELD_OUT = 1660


def test_validation_asks_so_many_questions_of_each_set_whatever_is_held_out(tmp_path: Path) -> None:
    """V1-33K holds out about 1,660, each of which would be asked twice at each validation."""
    files = {name: tmp_path / f"{name}.jsonl" for name in ("one", "two")}
    for name, path in files.items():
        question = grpo_row("video", 0)
        held_out = [{**question, "id": f"{name}-{number}", "part": "validation"} for number in range(HELD_OUT)]
        write_jsonl(path, [*held_out, {**question, "id": f"{name}-train", "part": "train"}])
    grpo = Grpo(datasets=dict.fromkeys(files))
    chosen = {number: select_grpo(files, grpo, number, 0) for number in (0, 64, grpo.validation_samples, HELD_OUT)}
    ids = {number: [row.id for row in rows["validation"]] for number, rows in chosen.items()}
    assert {number: len(found) for number, found in ids.items()} == {0: 0, 64: 128, 128: 256, HELD_OUT: 2 * HELD_OUT}
    assert set(ids[64]) < set(ids[128])
    assert ids[HELD_OUT] == [f"{name}-{number}" for name in files for number in range(HELD_OUT)]
    assert all([row.id for row in rows["train"]] == ["one-train", "two-train"] for rows in chosen.values())
