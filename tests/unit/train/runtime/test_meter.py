"""What a step of SFT is said to cost."""

import time

import pytest

from nep.config.sft import Sft
from nep.files import read_jsonl
from nep.train.runtime.flops import training_flops
from nep.train.runtime.meter import Meter
from nep.train.sft import sft_batch, train_sft

WAIT_S = 0.05


def test_rates_are_counts_over_the_seconds_of_the_step(parts, engine_of) -> None:
    engine = engine_of(Sft())
    batch = sft_batch(parts.dialogues, Sft(), parts.visuals, engine)
    meter = Meter(engine.model, parts.visuals, engine.distributed.device, engine.distributed.size)

    def late():
        time.sleep(WAIT_S)
        yield batch

    (row,) = [meter.row(taken.trees, taken.samples) for taken in meter.timed(late())]
    seconds = row["seconds"]
    assert WAIT_S <= row["data_wait_seconds"] <= seconds
    visual = sum(parts.cache.placeholder(key).tokens for sample in parts.dialogues for key in sample.video_keys)
    fed = sum(len(sample) - 1 for sample in parts.dialogues)
    labelled = sum(sample.labelled for sample in parts.dialogues)
    assert row["visual_tokens_per_second"] * seconds == pytest.approx(visual)
    assert row["text_tokens_per_second"] * seconds == pytest.approx(fed - visual)
    assert row["labelled_tokens_per_second"] * seconds == pytest.approx(labelled)
    assert row["samples_per_second"] * seconds == pytest.approx(len(parts.dialogues))
    assert row["mfu"] * seconds * meter._peak == pytest.approx(training_flops(engine.model, batch.trees))
    assert row["peak_memory_bytes"] > sum(weight.nbytes for weight in engine.model.parameters())


def test_each_step_and_validation_of_a_run_is_reported(paths_to, tmp_path, torch_settings) -> None:
    train_sft(Sft(epochs=2, batch_size=4, threads=1, validate_every=2), 0, "nep", paths_to(tmp_path))
    metrics, timings, validation = (
        read_jsonl(tmp_path / f"out/{name}.jsonl") for name in ("metrics", "timings", "validation")
    )
    assert [row["step"] for row in metrics] == [row["step"] for row in timings] == [1, 2, 3, 4]
    assert all({"loss", "lr", "grad_norm"} < row.keys() for row in metrics)
    assert all(0 < row["data_wait_seconds"] < row["seconds"] and 0 < row["mfu"] < 1 for row in timings)
    assert [row["step"] for row in validation] == [0, 2, 4]
    assert validation[-1]["loss"] < validation[0]["loss"]
