"""What trackers keep of a training, read back by the programs that the files are for."""

import json
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest
from support.recipes import short_grpo, short_sft
from support.training_process import lines_in, run, start, stop_when
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

from nep.config.base import EXECUTION_ONLY
from nep.config.sft import Sft
from nep.config.training import Training
from nep.files import read_jsonl
from nep.train.runtime.trackers import Tracked, start_tracker

SFT = short_sft(epochs=4, batch_size=4, pack_tokens=200, checkpoint_minutes=0)
GRPO = short_grpo(steps=6, pack_tokens=200, checkpoint_minutes=0, validate_every=2)
# Figures by name, each a list of (step, value).
Figures = dict[str, list[tuple[int, float]]]


def from_tensorboard(run: Path, place: str) -> Figures:
    accumulator = EventAccumulator(str(run / "trackers/tensorboard" / place), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def from_wandb(run: Path, place: str) -> Figures:
    (file,) = (run / "trackers/wandb" / place).glob("wandb/offline-run-*/run-*.wandb")
    store, figures = DataStore(), {}
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for name in row.keys() - {"_step", "_timestamp", "_runtime"}:
                figures.setdefault(name, []).append((row["_step"], row[name]))
    return figures


def from_logs(out: Path) -> Figures:
    """What the logs of the training say."""
    figures: Figures = {}
    for log in ("metrics", "validation", "timings"):
        for row in read_jsonl(out / f"{log}.jsonl"):
            for key in row.keys() - {"step"}:
                if row[key] is not None:
                    figures.setdefault(f"{log}/{key}", []).append((row["step"], row[key]))
    return figures


@pytest.mark.parametrize(
    ("tracker", "read", "recipe"),
    [("tensorboard", from_tensorboard, SFT), ("tensorboard", from_tensorboard, GRPO), ("wandb", from_wandb, SFT)],
    ids=["tensorboard-sft", "tensorboard-grpo", "wandb-sft"],
)
def test_a_tracker_has_each_step_of_a_killed_training_once(
    paths_to, tmp_path: Path, tracker: str, read: Callable[[Path, str], Figures], recipe: Training
) -> None:
    paths, recipe = paths_to(tmp_path / "run"), recipe.model_copy(update={"tracker": tracker})
    # One step further than the checkpoint that the next start goes on from.
    killed = stop_when(start(recipe, paths), SIGKILL, lambda: lines_in(paths.run, "metrics.jsonl") >= 3)
    assert killed == [-SIGKILL]
    assert run(recipe, paths) == [0], (paths.run / "stderr.txt").read_text()
    place = f"nep/{'sft' if isinstance(recipe, Sft) else 'grpo'}"
    found, logged = read(paths.run, place), from_logs(paths.out)
    assert found.keys() == logged.keys() and {"metrics/loss", "timings/seconds"} < found.keys()
    for name, figures in logged.items():
        steps, values = zip(*found[name], strict=True)
        assert steps == tuple(step for step, _ in figures)
        # TensorBoard's are fp32.
        assert values == pytest.approx([value for _, value in figures], rel=1e-6, abs=1e-9)


def test_which_tracker_is_no_part_of_the_recipe() -> None:
    assert "tracker" in EXECUTION_ONLY
    assert Sft(tracker="wandb").result_settings() == Sft().result_settings()


@pytest.mark.parametrize("name", ["none", "tensorboard"])
def test_only_the_leading_process_writes(tmp_path: Path, name: str) -> None:
    tracked = Tracked(tmp_path, "nep", "sft", "0" * 16, {})
    tracker = start_tracker(name, tracked, is_main_process=False)
    tracker.follow()
    tracker.write(1, {"metrics/loss": 1.0})
    tracker.close()
    assert not list(tmp_path.iterdir())
