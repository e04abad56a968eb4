"""Supervised fine-tuning: the mean loss of the answers' tokens over each effective batch, on cached video features."""

import itertools
import sys
import time
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoProcessor

from nep.config import Sft
from nep.data.selection import select_sft
from nep.encode.cache import VisionCache
from nep.errors import InputError
from nep.files import read_jsonl
from nep.train.batches import MicroBatch, deal, epoch_order, micro_batch_count, sft_micro_batch
from nep.train.checkpoint import Checkpoints
from nep.train.engine import Engine
from nep.train.metrics import StepLog, peak_memory_bytes
from nep.train.run_state import RunPaths, publish, recipe_fingerprint, work_folder
from nep.train.samples import Sample, SampleBuilder, video_keys
from nep.train.schedule import learning_rate
from nep.train.visual import Visuals
from nep.train.world import start_world

STAGE = "sft"


def train_sft(sft: Sft, seed: int, experiment: str, paths: RunPaths) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage."""
    world = start_world(sft.threads)
    files = dataset_files(sft, paths.convert)
    fingerprint = recipe_fingerprint(STAGE, sft, seed, world.size, list(files.values()), paths)
    work = work_folder(paths, STAGE, experiment, fingerprint)

    processor = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
    engine = Engine(paths.model, sft, world)
    cache = VisionCache(paths.encode)
    samples, skipped = load_samples(sft, seed, files, SampleBuilder(processor, engine.model, cache), cache)
    visuals = Visuals(cache, processor, sft, world.device)
    visuals.check(engine.model, samples)

    checkpoints = Checkpoints(work, engine)
    start = checkpoints.restore()
    metrics = StepLog(work / "metrics.jsonl", start, world.leads)
    timings = StepLog(work / "timings.jsonl", start, world.leads)
    plan = SftPlan(len(samples), sft, seed)
    pad = processor.tokenizer.pad_token_id
    bar = tqdm(total=plan.steps, initial=start, desc=STAGE, unit="step", file=sys.stderr, disable=not world.leads)
    for step in range(start, plan.steps):
        began = time.monotonic()
        batch = [samples[index] for index in plan.batch(step)]
        labelled = sum(sample.labelled for sample in batch)
        rate = learning_rate(step, plan.steps, sft.lr, sft.warmup_ratio, sft.schedule)
        count = micro_batch_count(len(batch), sft.micro_batch_size, world.size)
        chunks = deal(batch, count * world.size, len)[world.rank :: world.size]
        own_loss = 0.0
        for index, chunk in enumerate(chunks):
            # A process without samples still takes part in the collectives, with a loss of weight 0.
            micro = sft_micro_batch(chunk or batch[:1], visuals, pad, world.device)
            loss = summed_loss(engine, micro) / labelled * bool(chunk)
            engine.accumulate(loss, last=index == len(chunks) - 1)
            own_loss += loss.item()
        norm = engine.step(rate)
        (loss_value,) = world.total([own_loss])
        metrics.write(
            {
                "step": step + 1,
                "epoch": plan.epoch(step + 1),
                "loss": loss_value,
                "lr": rate,
                "grad_norm": norm,
                "tokens": labelled,
            }
        )
        timings.write(timing_row(step + 1, time.monotonic() - began, sum(len(sample) for sample in batch), len(batch)))
        bar.update()
        bar.set_postfix(loss=f"{loss_value:.4f}")
        if (step + 1) % sft.checkpoint_every == 0 or step + 1 == plan.steps:
            checkpoints.save(step + 1)
    bar.close()
    results = {"steps": plan.steps, "samples": len(samples), "final_loss": read_jsonl(metrics.path)[-1]["loss"]}
    publish(engine, paths, [metrics, timings], {**results, **skipped})


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


def summed_loss(engine: Engine, micro: MicroBatch) -> Tensor:
    """Sum of the labelled tokens' cross-entropies in nats, in fp32."""
    return F.cross_entropy(engine.logits(micro.inputs).float(), micro.targets, reduction="sum")


def dataset_files(sft: Sft, convert: Path) -> dict[str, Path]:
    """The file of each data set. Raises InputError naming the sets that exist when one does not."""
    files = {name: convert / STAGE / f"{name}.json" for name in sft.datasets}
    for name, path in files.items():
        if not path.is_file():
            known = sorted(item.stem for item in path.parent.glob("*.json"))
            raise InputError(f"sft.datasets: no data set {name!r} ({path}); there are: {', '.join(known) or 'none'}")
    return files


def load_samples(
    sft: Sft, seed: int, files: dict[str, Path], builder: SampleBuilder, cache: VisionCache
) -> tuple[list[Sample], dict[str, int]]:
    """The samples of all data sets, and how many rows were left out because their video is not in the cache.

    Raises InputError for a sample above `max_tokens` (truncation would part video tokens from features), and when no
    sample is left.
    """
    rows = list(itertools.chain.from_iterable(select_sft(files, sft, seed).values()))
    usable = [row for row in rows if all(key in cache for key in video_keys(row))]
    samples = [builder.dialogue(row["id"], row["messages"], video_keys(row)) for row in usable]
    for sample in samples:
        if len(sample) > sft.max_tokens:
            raise InputError(
                f"record {sample.id}: {len(sample)} tokens, above sft.max_tokens = {sft.max_tokens}; "
                "raise it, or lower the frame or pixel budget in 'vision'"
            )
    if not samples:
        raise InputError(f"sft.datasets: no sample left of {len(rows)} rows in {', '.join(map(str, files.values()))}")
    return samples, {"without_video": len(rows) - len(usable)}


def timing_row(step: int, seconds: float, tokens: int, samples: int) -> dict[str, float]:
    """What a step cost on the leading process; `tokens` and `samples` count the whole effective batch."""
    return {
        "step": step,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "samples_per_second": samples / seconds,
        "peak_memory_bytes": peak_memory_bytes(),
    }
