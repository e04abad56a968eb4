"""What the jobs of a rule will cost: from the benchmark files of earlier jobs, else by arithmetic on what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.download.dataset import PLAIN_FILES
from nep.layout.models import TRAINING_STAGES
from nep.plan.asking import Asking, asking_of, asking_of_questions
from nep.plan.dry_run import Job
from nep.plan.facts import Facts
from nep.plan.gpu_time import (
    BANDWIDTH,
    DECODE_SHARE,
    GENERATE_S,
    ITEM_BYTES,
    PEAK_FLOPS,
    READ_S,
    TRAINING_SHARE,
    evaluation_seconds,
    grpo_seconds,
    sft_seconds,
)
from nep.plan.training import TrainingCost, VisualShape
from nep.report.collect import Job as JobCost
from nep.report.collect import read_benchmark

# Seconds of a core: of a clip of 60 s, 720p, H.264 (benchmarks/results/data_split.json, data_read.json), and of one of
# 33,000 records (data_scale.json). Of an image of 720p, read and encoded: 17 ms on one core.
PER_VIDEO = {
    "frames_shard": (60 * 0.017, "its images (60 of 720p)"),
    "split_shard": (0.4, "cutting (60 s of 720p)"),
    "encode_shard": (READ_S, "reading its frames (60 s of 720p)"),
    "convert_datasets": (0.0012, "its rows"),
}
RGB_BYTES = 3
# A checkpoint: fp32 weights and two optimizer states; but for ZeRO-3, the weights as they are computed with, once more.
STATE_BYTES = 12
ON_CPU = "no earlier run; on a CPU only one can tell"

# Of the trainings whose start model's config is here: (stage, experiment) → cost.
Costs = Mapping[tuple[str, str], TrainingCost]


@dataclass(frozen=True)
class Estimate:
    """Of all jobs of one rule that would run; None where nothing can be said. `longest`: seconds of the longest job by
    the clock. `source` says where it comes from, or what is missing."""

    cpu_seconds: float | None
    gpu_seconds: float | None
    longest: float | None
    source: str


def estimate(jobs: Sequence[Job], facts: Facts, costs: Costs, gpus: Mapping[str, int]) -> Estimate:
    """Cost of `jobs`, which are of one rule. `gpus`: number of GPUs that each job (by name) has."""
    found = _measured(jobs, gpus)
    if found is None:
        found = _computed(jobs, facts, costs, gpus)
    return found if any(gpus[job.name] for job in jobs) else replace(found, gpu_seconds=0.0)


def _measured(jobs: Sequence[Job], gpus: Mapping[str, int]) -> Estimate | None:
    """Each job as it took before, shards as all of them did together; None where a job has never run."""
    cpu = gpu = longest = 0.0
    notes = set()
    for job in jobs:
        earlier = _earlier(job)
        if not earlier:
            return None
        ratio = _work_ratio(job)
        share = ratio / (_shards(job) or 1)
        cpu += share * sum(cost.seconds if cost.cpu_seconds is None else cost.cpu_seconds for cost in earlier)
        seconds = share * sum(cost.seconds for cost in earlier)
        gpu += seconds * gpus[job.name]
        longest = max(longest, seconds)
        notes |= {f"; times {ratio:.3g} for the changed recipe"} if ratio != 1 else set()
    files = jobs[0].benchmark if len(jobs) == 1 and not _shards(jobs[0]) else jobs[0].benchmark.parent
    return Estimate(cpu, gpu, longest, f"measured: {files}{''.join(sorted(notes))}")


def _earlier(job: Job) -> list[JobCost]:
    """What the job cost when it ran last; for a shard, what all shards did."""
    if job.benchmark is None:
        return []
    if not _shards(job):
        return read_benchmark(job.benchmark, job.rule) if job.benchmark.is_file() else []
    files = list(job.benchmark.parent.glob("*.tsv"))
    number = earlier_shards(job.outputs[0]) or len(files)
    whole = [file for file in files if int(file.stem) <= number]
    return [cost for file in whole for cost in read_benchmark(file, job.rule)] if len(whole) == number else []


def earlier_shards(output: Path) -> int | None:
    """Into how many shards an earlier run has dealt what `output` (`<k>-of-<n>`) is a shard of: the newest such n."""
    found = sorted(output.parent.glob(f"*-of-*{output.suffix}"), key=lambda path: path.stat().st_mtime)
    return _number(found[-1]) if found else None


def _shards(job: Job) -> int:
    """Into how many shards the job's rule is dealt; 0 where it is not."""
    return _number(job.outputs[0]) if "shard" in job.wildcards else 0


def _number(shard: Path) -> int:
    return int(shard.stem.rpartition("-")[2])


def _work_ratio(job: Job) -> float:
    """How much more a training has to do than with the recipe of its last run; 1 for other jobs."""
    for reason in job.reasons:
        old, new = _work(reason.before), _work(reason.now)
        if old and new:
            sizes, before = (list(recipe.get("datasets", {}).values()) for recipe in (reason.now, reason.before))
            samples = sum(sizes) / sum(before) if "epochs" in reason.now and all(sizes) and all(before) else 1
            return new / old * samples
    return 1.0


def _work(recipe: Mapping[str, Any]) -> float:
    """What a training's time grows with: epochs of SFT, sampled tokens of GRPO; 0 for other recipes."""
    if "completions" in recipe:
        return recipe["steps"] * recipe["prompts_per_step"] * recipe["completions"] * recipe["max_new_tokens"]
    return recipe.get("epochs", 0) + recipe.get("text_only_epochs", 0)


def _computed(jobs: Sequence[Job], facts: Facts, costs: Costs, gpus: Mapping[str, int]) -> Estimate:
    rule = jobs[0].rule
    if rule in PER_VIDEO:
        return _per_video(jobs, facts, gpus)
    if rule in ("train_sft", "train_grpo"):
        return _trainings(jobs, facts, costs, gpus)
    if rule == "annotate_shard":
        return _asked(jobs, facts, asking_of(facts.config.annotate))
    if rule == "write_questions_shard":
        return _asked(jobs, facts, asking_of_questions(facts.config.own_questions))
    if rule == "evaluate_model":
        return _evaluations(jobs, facts, gpus)
    return _unknown("no earlier run")


def _unknown(why: str) -> Estimate:
    return Estimate(None, None, None, why)


def _per_video(jobs: Sequence[Job], facts: Facts, gpus: Mapping[str, int]) -> Estimate:
    videos = facts.clips if jobs[0].rule == "encode_shard" else facts.videos
    if videos is None:
        return _unknown("no earlier run; the number of videos is known after the download")
    each, doing = PER_VIDEO[jobs[0].rule]
    cpu = videos * each / (_shards(jobs[0]) or 1)
    seconds = cpu / jobs[0].threads
    source = f"arithmetic: {videos:,} videos, {each:g} s of a core each for {doing}"
    return Estimate(cpu * len(jobs), seconds * sum(gpus[job.name] for job in jobs), seconds, source)


def _asked(jobs: Sequence[Job], facts: Facts, asking: Asking) -> Estimate:
    """Reading the frames; requests, tokens and money where no answer is kept."""
    if facts.videos is None:
        return _unknown("no earlier run; the number of videos is known after the download")
    share = len(jobs) / (_shards(jobs[0]) or 1) * facts.videos
    tokens = (
        f"{share * asking.prompt_tokens / 1e6:,.1f} M tokens in and {share * asking.completion_tokens / 1e6:,.1f} M out"
    )
    source = (
        f"arithmetic: {share * asking.requests:,.0f} requests, about {tokens}, cost about {share * asking.money:,.2f}"
    )
    seconds = PER_VIDEO["encode_shard"][0] * asking.readings
    return Estimate(share * seconds, None, None, f"{source}, less what kept answers spare")


def _trainings(jobs: Sequence[Job], facts: Facts, costs: Costs, gpus: Mapping[str, int]) -> Estimate:
    if not all(gpus[job.name] for job in jobs):
        return _unknown(ON_CPU)
    times = {}
    for job in jobs:
        stage, experiment = job.stage, job.wildcards["experiment"]
        cost, samples = costs.get((stage, experiment)), facts.samples(stage, experiment)
        if cost is None:
            return _unknown("no earlier run; the base model is not here yet")
        if samples is None:
            return _unknown("no earlier run; the number of samples is known after convert")
        training = getattr(facts.config.trainings[experiment], stage)
        held_out = facts.held_out(stage, experiment)
        if isinstance(training, Sft):
            times[job.name] = sft_seconds(training, cost, samples, held_out)
        else:
            times[job.name] = grpo_seconds(training, cost, samples, held_out)
    share = f"{TRAINING_SHARE:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s"
    decoding = f", decoding at {DECODE_SHARE:.0%} of {BANDWIDTH / 1e12:g} TB/s, answers of full length"
    source = f"arithmetic: {share} assumed{decoding if jobs[0].stage == 'grpo' else ''}; with validation"
    return _of_gpus(times, gpus, source)


def _evaluations(jobs: Sequence[Job], facts: Facts, gpus: Mapping[str, int]) -> Estimate:
    evaluate = facts.config.evaluate
    if not all(gpus[job.name] for job in jobs):
        return _unknown(ON_CPU)
    if facts.questions is None:
        return _unknown("no earlier run; the number of questions is known after convert")
    if others := [task for task in evaluate.tasks if task != "futurebench"]:
        return _unknown(f"no earlier run; the questions of {', '.join(others)} are not counted beforehand")
    seconds = evaluation_seconds(evaluate, min(facts.questions, evaluate.limit or facts.questions))
    source = f"arithmetic: answers of full length at an assumed {GENERATE_S * 1e3:.0f} ms a token"
    return _of_gpus({job.name: seconds for job in jobs}, gpus, source)


def _of_gpus(times: Mapping[str, float], gpus: Mapping[str, int], source: str) -> Estimate:
    """Of jobs that take these seconds by the clock."""
    return Estimate(None, sum(time * gpus[name] for name, time in times.items()), max(times.values()), source)


def expected_bytes(stage: str, facts: Facts, costs: Costs, visual: VisualShape | None) -> int | None:
    """Bytes that a stage which has written nothing yet will leave; None where that cannot be said."""
    if stage == "download":
        return _downloaded(facts)
    if stage == "split":
        return facts.video_bytes
    if stage == "encode":
        return _cached(facts, visual)
    if stage in TRAINING_STAGES:
        trainings = {name: getattr(body, stage) for name, body in facts.config.trainings.items()}
        models = [
            costs[(stage, name)].size.parameters * ITEM_BYTES[training.precision] if (stage, name) in costs else None
            for name, training in trainings.items()
            if training is not None
        ]
        return None if None in models else sum(models)
    return None


def checkpoint_bytes(jobs: Sequence[Job], facts: Facts, costs: Costs) -> int | None:
    """Bytes of the checkpoints that there are at once, at most; None where that cannot be said.

    A training's go when it has ended: experiments may train beside each other, each first SFT, then GRPO.
    """
    largest: dict[str, int] = {}
    for job in jobs:
        if job.stage not in TRAINING_STAGES:
            continue
        name = job.wildcards["experiment"]
        if (job.stage, name) not in costs:
            return None
        training = getattr(facts.config.trainings[name], job.stage)
        largest[name] = max(largest.get(name, 0), _checkpoints(training, costs[(job.stage, name)]))
    return sum(largest.values())


def _downloaded(facts: Facts) -> int | None:
    """Extracted videos, their archives where these are kept, and the model. Plain video files are linked; how large
    videos made of images will be, nobody knows."""
    source = facts.config.source
    if source.frame_folders:
        return None
    archives = 0 if source.kind in PLAIN_FILES else facts.archive_bytes
    if archives is None or facts.model_bytes is None:
        return None
    return archives * (2 if source.kind == "hub" and source.keep_archives else 1) + facts.model_bytes


def _cached(facts: Facts, visual: VisualShape | None) -> int | None:
    """Frames and features of the clips that trainings take, at the whole budget."""
    vision, encode = facts.config.vision, facts.config.encode
    if facts.clips is None or (encode.features and visual is None):
        return None
    features = visual.tokens * visual.hidden * ITEM_BYTES[encode.dtype] if encode.features else 0
    return facts.clips * (vision.frames * vision.max_pixels * RGB_BYTES + features)


def _checkpoints(training: Sft | Grpo, cost: TrainingCost) -> int:
    """The newest ones, the best one where it is published, and the one being written."""
    item = ITEM_BYTES[training.precision] if cost.zero < 3 else 0
    number = training.keep_checkpoints + (training.publish == "best") + 1
    return number * cost.size.trainable * (STATE_BYTES + item)
