"""LLaMA-Factory itself trains on its export, from a model that this workflow has trained."""

from collections.abc import Callable
from pathlib import Path

from nep.files import read_json

EXPORT = "export/llamafactory/nep"


def test_it_trains_two_steps_on_all_rows(run: Path, call: Callable[..., str], on_cpu: Callable[..., Path]) -> None:
    config = on_cpu(f"{EXPORT}/train.yaml", preprocessing_num_workers=1, model_name_or_path="nep/sft/model")
    printed = call(".venv-interop", "llamafactory-cli", "train", config)
    rows = [len(read_json(run / EXPORT / f"{name}.json")) for name in ("next_event", "mc_reason_hop1")]
    assert rows == [16, 8]
    assert "Num examples = 24" in printed
    state = read_json(run / "trained/llamafactory/nep/sft/trainer_state.json")
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert state["global_step"] == len(losses) == 2
    # A model that guesses has the loss ln(size of the vocabulary); without labels it would be 0.
    assert all(1 < loss < 12 for loss in losses)
