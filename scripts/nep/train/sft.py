"""Supervised fine-tuning: the mean loss of the answers' tokens over each effective batch, on cached video features."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoProcessor

from nep.config.sft import Sft
from nep.data.selection import select_sft, select_sft_validation, validation_of
from nep.errors import InputError
from nep.files import read_jsonl
from nep.layout.datasets import dataset_file
from nep.model.packing import PackedRow, Tree, pack_bins, pack_row, trees_of
from nep.model.samples import Sample, SampleBuilder, say_altered, video_keys
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.dataset import SftRow
from nep.train.anomalies import Anomalies, finite
from nep.train.batches import epoch_order, prepared_ahead
from nep.train.checkpoint import Checkpoints
from nep.train.distributed import start_distributed
from nep.train.engine import Engine
from nep.train.run_state import SharedTraining, publish, recipe_fingerprint, work_folder
from nep.train.runtime.meter import Meter
from nep.train.runtime.metrics import StepLog
from nep.train.runtime.options import RunPaths
from nep.train.runtime.trackers import Tracked, start_tracker
from nep.train.schedule import is_due, learning_rate

STAGE = "sft"


def train_sft(sft: Sft, seed: int, experiment: str, paths: RunPaths) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage."""
    distributed = start_distributed(sft.threads)
    files = dataset_files(sft, paths.convert)
    fingerprint = recipe_fingerprint(STAGE, sft, seed, [*files.values(), *map(validation_of, files.values())], paths)
    shared = SharedTraining(STAGE, fingerprint, paths)
    if shared.fetch(distributed):
        return
    work = work_folder(paths, STAGE, experiment, fingerprint)

    processor = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
    engine = Engine(paths.model, sft, distributed, seed)
    cache = VisionCache(paths.encode)
    builder = SampleBuilder(processor, engine.model, cache)
    samples, skipped = load_samples(sft, select_sft(files, sft, seed), builder, cache)
    held_out, _ = load_samples(sft, select_sft_validation(files, sft.validation_samples, seed), builder, cache)
    if distributed.is_main_process:
        say_altered(builder.altered)
    if not samples:
        raise InputError(f"sft.datasets: no sample left of {', '.join(map(str, files.values()))}")
    if sft.publish == "best" and not held_out:
        raise InputError("sft.publish: 'best' needs held-out samples, and there are none; use 'last'")
    visuals = Visuals(cache, processor, sft.freeze, distributed.device)
    visuals.check(engine.model, samples)

    checkpoints = Checkpoints(work, engine, "loss", "lowest")
    start = checkpoints.restore()
    metrics, validation, timings = (
        StepLog(work / f"{name}.jsonl", start, distributed.is_main_process)
        for name in ("metrics", "validation", "timings")
    )
    for row in validation.kept:
        checkpoints.validated(row)
    tracked = Tracked(paths.run, experiment, STAGE, fingerprint, sft.result_settings())
    tracker = start_tracker(sft.tracker, tracked, distributed.is_main_process)
    tracker.follow(metrics, validation, timings)
    anomalies = Anomalies(work / "anomalies.jsonl", start, distributed)
    plan = SftPlan(len(samples), sft, seed)
    meter = Meter(engine.model, visuals, distributed.device, distributed.size)

    def validate(step: int) -> None:
        row = {"step": step, "loss": validation_loss(held_out, sft, visuals, engine)}
        validation.write(row)
        checkpoints.validated(row)

    def prepare(step: int) -> SftBatch:
        return sft_batch([samples[index] for index in plan.batch(step)], sft, visuals, engine)

    if is_due(start, sft.validate_every, plan.steps) and start not in validation.kept_steps:
        validate(start)
    bar = tqdm(
        total=plan.steps,
        initial=start,
        desc=STAGE,
        unit="step",
        file=sys.stderr,
        disable=not distributed.is_main_process,
    )
    for step, batch in meter.timed(prepared_ahead(range(start, plan.steps), prepare)):
        rate = learning_rate(step, plan.steps, sft.lr, sft.warmup_ratio, sft.schedule)
        own_loss, norm = sft_step(batch, engine, rate)
        (loss_value,) = distributed.all_reduce_sum([own_loss])
        anomalies.check(step + 1, loss_value, norm, [samples[index].id for index in plan.batch(step)])
        metrics.write(
            {
                "step": step + 1,
                "epoch": plan.epoch(step + 1),
                "loss": finite(loss_value),
                "lr": rate,
                "grad_norm": finite(norm),
                "tokens": batch.labelled,
            }
        )
        timings.write({"step": step + 1, **meter.row(batch.trees, batch.samples)})
        bar.update()
        bar.set_postfix(loss=f"{loss_value:.4f}")
        checkpoints.after_step(step + 1, plan.steps)
        if is_due(step + 1, sft.validate_every, plan.steps):
            validate(step + 1)
    bar.close()
    tracker.close()
    results = {"steps": plan.steps, "samples": len(samples), "final_loss": read_jsonl(metrics.path)[-1]["loss"]}
    results |= {"skipped_steps": len(anomalies), "published_step": checkpoints.restore_published(plan.steps)}
    results |= {**skipped, "altered": builder.altered}
    publish(engine, paths, [metrics, validation, timings, anomalies.log], results, shared)


@dataclass(frozen=True)
class SftBatch:
    """An effective batch: this process's rows, of which the first `own` count, and the whole batch's trees."""

    rows: list[PackedRow]
    own: int
    trees: list[Tree]
    samples: int

    @property
    def labelled(self) -> int:
        """Labelled tokens of the whole batch."""
        return sum(tree.labelled for tree in self.trees)


def sft_batch(samples: Sequence[Sample], sft: Sft, visuals: Visuals, engine: Engine) -> SftBatch:
    """Pack a batch. A process without samples gets one that does not count, as it takes part in the collectives."""
    distributed = engine.distributed
    limit = sft.pack_tokens if engine.packs else 1
    trees = trees_of(samples, limit)
    packs = pack_bins(trees, distributed.size, limit, len)[distributed.rank]
    own = [pack for pack in packs if pack]
    others = [trees[:1]] * (len(packs) - len(own))
    rows = [pack_row(pack, visuals, engine.packs, distributed.device) for pack in [*own, *others]]
    return SftBatch(rows, len(own), trees, len(samples))


def sft_step(batch: SftBatch, engine: Engine, rate: float) -> tuple[float, float]:
    """One optimiser step at learning rate `rate`: this process's share of the loss, and the gradient norm."""
    own_loss = torch.zeros((), dtype=torch.float64, device=engine.distributed.device)
    for index, row in enumerate(batch.rows):
        loss = -engine.score(row).sum() / batch.labelled * (index < batch.own)
        engine.accumulate(loss, last=index == len(batch.rows) - 1)
        # Not read before all rows are queued: a device would wait for the next one.
        own_loss += loss.detach()
    norm = engine.step(rate)
    return own_loss.item(), norm


@torch.no_grad()
def validation_loss(samples: Sequence[Sample], sft: Sft, visuals: Visuals, engine: Engine) -> float | None:
    """Mean loss of the labelled tokens of held-out samples in nats; None without any."""
    if not samples:
        return None
    batch = sft_batch(samples, sft, visuals, engine)
    losses = [-engine.score(row).sum().item() * (index < batch.own) for index, row in enumerate(batch.rows)]
    return engine.distributed.all_reduce_sum([sum(losses)])[0] / batch.labelled


class SftPlan:
    """Which samples each step takes: every epoch is a permutation, and its last batch may be smaller."""

    def __init__(self, samples: int, sft: Sft, seed: int) -> None:
        self._samples = samples
        self._batch_size = sft.batch_size
        self._seed = seed
        self.steps_per_epoch = -(-samples // sft.batch_size)
        self.steps = self.steps_per_epoch * sft.epochs

    def batch(self, step: int) -> list[int]:
        """Indices of the samples of step `step` (from 0)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = epoch_order(self._samples, self._seed, epoch)
        return order[place * self._batch_size : (place + 1) * self._batch_size]

    def epoch(self, steps_done: int) -> float:
        """Passes over the data after `steps_done` steps."""
        return round(steps_done / self.steps_per_epoch, 6)


def dataset_files(sft: Sft, convert: Path) -> dict[str, Path]:
    """The file of each data set. Raises InputError naming the sets that exist when one does not."""
    files = {name: convert / dataset_file(STAGE, name) for name in sft.datasets}
    for name, path in files.items():
        if not path.is_file():
            known = sorted(item.stem for item in path.parent.glob("*.json") if "." not in item.stem)
            raise InputError(f"sft.datasets: no data set {name!r} ({path}); there are: {', '.join(known) or 'none'}")
    return files


def load_samples(
    sft: Sft, rows: Mapping[str, list[SftRow]], builder: SampleBuilder, cache: VisionCache
) -> tuple[list[Sample], dict[str, int]]:
    """The samples of all data sets, and how many rows were left out because their video is not in the cache.

    Raises InputError for a sample above `max_tokens`: truncation would part video tokens from features.
    """
    found = list(itertools.chain.from_iterable(rows.values()))
    usable = [row for row in found if all(key in cache for key in video_keys(row))]
    samples = [builder.dialogue(row.id, row.turns, video_keys(row)) for row in usable]
    for sample in samples:
        if len(sample) > sft.max_tokens:
            raise InputError(
                f"record {sample.id}: {len(sample)} tokens, above sft.max_tokens = {sft.max_tokens}; "
                "raise it, or lower the frame or pixel budget in 'vision'"
            )
    return samples, {"without_video": len(found) - len(usable)}
