"""Supervised fine-tuning: the mean loss of the answers' tokens over each effective batch, on cached video features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoProcessor

from nep.config.sft import Sft
from nep.data.selection import dataset_files, select_sft, select_sft_validation, validation_of
from nep.errors import InputError
from nep.model.packing import PackedRow, Tree, pack_bins, pack_row, trees_of
from nep.model.samples import VIDEO_MARK, Sample, SampleBuilder, video_keys
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.dataset import SftRow
from nep.train.batches import epoch_order, prepared_ahead
from nep.train.distributed import start_distributed
from nep.train.engine import Engine
from nep.train.loop import Row, Step, Trainer, train
from nep.train.runtime.meter import Meter
from nep.train.runtime.options import RunPaths, TrainingOptions
from nep.train.schedule import learning_rate

STAGE = "sft"


def train_sft(sft: Sft, seed: int, experiment: str, paths: RunPaths) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage."""
    files = dataset_files(STAGE, sft, paths.convert)
    read = [*files.values(), *map(validation_of, files.values())]
    options = TrainingOptions(sft, seed, experiment, paths)
    train(
        STAGE, options, start_distributed(sft.threads), read, lambda engine: SftTrainer(sft, seed, engine, files, paths)
    )


class SftTrainer(Trainer):
    """Steps and validations of a run, each a function of (seed, step) and the current weights."""

    measure, best = "loss", "lowest"

    def __init__(self, sft: Sft, seed: int, engine: Engine, files: dict[str, Path], paths: RunPaths) -> None:
        self._sft = sft
        self._engine = engine
        processor = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
        cache = VisionCache(paths.encode, index=paths.index)
        builder = SampleBuilder(processor, engine.model, cache)
        rows = select_sft(files, sft, seed)
        self._samples, self.without_video = load_samples(sft, rows, builder, cache)
        self._texts = text_samples(rows, builder, cache) if sft.text_only_epochs else []
        held_out = select_sft_validation(files, sft.validation_samples, seed)
        self._held_out, _ = load_samples(sft, held_out, builder, cache)
        if not self._samples:
            raise InputError(f"sft.datasets: no sample left of {', '.join(map(str, files.values()))}")
        self.altered = builder.altered
        self.validates = bool(self._held_out)
        self._visuals = Visuals(cache, processor, sft.freeze, engine.distributed.device)
        self._visuals.check(engine.model, self._samples)
        self._plan = SftPlan(len(self._samples), sft, seed)
        self.steps = self._plan.steps

    def run(self, start: int, past: Sequence[Row], work: Path, stop_if_told: Callable[[int], None]) -> Iterator[Step]:
        """Take the steps, each on a batch that was made while the one before was taken."""
        sft, distributed = self._sft, self._engine.distributed
        meter = Meter(self._engine.model, self._visuals, distributed.device, distributed.size)
        for step, batch in meter.timed(prepared_ahead(range(start, self.steps), self._batch)):
            rate = learning_rate(step, self.steps, sft.lr, sft.warmup_ratio, sft.schedule)
            own_loss, norm = sft_step(batch, self._engine, rate)
            (loss,) = distributed.all_reduce_sum([own_loss])
            epoch = self._plan.epoch(step + 1)
            yield Step(
                metrics={"epoch": epoch, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": batch.labelled},
                timings=meter.row(batch.trees, batch.samples),
                records=[self._samples[index].id for index in self._plan.batch(step)],
                bar={"loss": f"{loss:.4f}"},
            )

    def _batch(self, step: int) -> "SftBatch":
        taken = self._texts if self._plan.is_text_only(step) else self._samples
        samples = [taken[index] for index in self._plan.batch(step)]
        return sft_batch(samples, self._sft, self._visuals, self._engine)

    def validate(self, between: Callable[[], None]) -> Row:
        """Mean loss of the held-out samples' labelled tokens in nats; null where there are none."""
        return {"loss": validation_loss(self._held_out, self._sft, self._visuals, self._engine, between)}

    def results(self, final: Row) -> Row:
        """How many samples there are."""
        return {"samples": len(self._samples)}


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
def validation_loss(
    samples: Sequence[Sample], sft: Sft, visuals: Visuals, engine: Engine, between: Callable[[], None]
) -> float | None:
    """Mean loss of held-out samples' labelled tokens in nats; None without any. `between` comes before each row."""
    if not samples:
        return None
    batch, total = sft_batch(samples, sft, visuals, engine), 0.0
    for index, row in enumerate(batch.rows):
        between()
        total += -engine.score(row).sum().item() * (index < batch.own)
    return engine.distributed.all_reduce_sum([total])[0] / batch.labelled


class SftPlan:
    """Which samples each step takes: every epoch is a permutation, and its last batch may be smaller."""

    def __init__(self, samples: int, sft: Sft, seed: int) -> None:
        self._samples = samples
        self._batch_size = sft.batch_size
        self._seed = seed
        self.steps_per_epoch = -(-samples // sft.batch_size)
        self._text_only_steps = self.steps_per_epoch * sft.text_only_epochs
        self.steps = self._text_only_steps + self.steps_per_epoch * sft.epochs

    def batch(self, step: int) -> list[int]:
        """Indices of the samples of step `step` (from 0)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = epoch_order(self._samples, self._seed, epoch)
        return order[place * self._batch_size : (place + 1) * self._batch_size]

    def is_text_only(self, step: int) -> bool:
        """Whether step `step` (from 0) shows no videos: the first epochs are the warm-up."""
        return step < self._text_only_steps

    def epoch(self, steps_done: int) -> float:
        """Passes over the data after `steps_done` steps."""
        return round(steps_done / self.steps_per_epoch, 6)


def load_samples(
    sft: Sft, rows: Mapping[str, list[SftRow]], builder: SampleBuilder, cache: VisionCache
) -> tuple[list[Sample], int]:
    """The samples of all data sets, and how many rows were left out because their video is not in the cache.

    Raises InputError for a sample above `max_tokens`: truncation would part video tokens from features.
    """
    usable = usable_rows(rows, cache)
    samples = [builder.dialogue(row.id, row.turns, video_keys(row)) for row in usable]
    for sample in samples:
        if len(sample) > sft.max_tokens:
            raise InputError(
                f"record {sample.id}: {len(sample)} tokens, above sft.max_tokens = {sft.max_tokens}; "
                "raise it, or lower the frame or pixel budget in 'vision'"
            )
    return samples, sum(map(len, rows.values())) - len(usable)


def text_samples(rows: Mapping[str, list[SftRow]], builder: SampleBuilder, cache: VisionCache) -> list[Sample]:
    """The same samples, in the same order, without their videos."""
    return [builder.dialogue(row.id, without_marks(row.turns), ()) for row in usable_rows(rows, cache)]


def usable_rows(rows: Mapping[str, list[SftRow]], cache: VisionCache) -> list[SftRow]:
    """The rows of all data sets whose videos are in the cache."""
    return [row for found in rows.values() for row in found if all(key in cache for key in video_keys(row))]


def without_marks(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A dialogue in which no video is named."""
    return [{**turn, "content": turn["content"].replace(VIDEO_MARK, "")} for turn in turns]
