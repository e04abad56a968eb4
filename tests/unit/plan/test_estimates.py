"""What jobs are expected to cost: measured where they ran before, else computed, else said to be unknown."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nep.config.annotate import Annotate
from nep.config.asked_endpoint import AskedEndpoint
from nep.config.own_benchmark import OwnBenchmark
from nep.config.whole import load_config
from nep.plan.dry_run import Job
from nep.plan.estimates import Costs, Estimate, checkpoint_bytes, earlier_shards, estimate, expected_bytes
from nep.plan.facts import Facts
from nep.plan.reasons import Reason
from nep.plan.training import TrainingCost, VisualShape
from nep.train.runtime.preflight import ModelSize

SIZE = ModelSize(
    parameters=7_000_000_000,
    trainable=6_000_000_000,
    layers=28,
    hidden=3584,
    intermediate=18944,
    key_value=1024,
    vocabulary=152064,
)
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
STAGES = {"train_sft": "sft", "train_grpo": "grpo", "split_shard": "split", "encode_shard": "encode"}


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    config = load_config(
        {
            "run": "r",
            "source": {"kind": "hub", "repo": "me/data", "revision": "main"},
            "model": {"kind": "folder", "path": "model"},
            "encode": {"dtype": "bfloat16"},
            "evaluate": {"variants": ["direct"], "controls": ["text_only"], "max_new_tokens": {"direct": 10}},
            "sft": {"precision": "bf16"},
            "grpo": {"precision": "bf16", "steps": 10, "max_new_tokens": 100, "processes": 2},
            "experiments": {"nep": {"sft": {"datasets": {"next_event": 100}, "epochs": 2}, "grpo": {}}},
        }
    )
    return Facts(tmp_path, config, 1000, 10**9, 2 * 10**9, {}, tmp_path, 10**10)


def job(facts: Facts, rule: str, *reasons: Reason, threads: int = 1, **wildcards: Any) -> Job:
    shards = f"{wildcards['shard']}-of-{wildcards.pop('shards')}" if "shard" in wildcards else "out"
    values = {name: str(value) for name, value in wildcards.items()}
    output = facts.root / STAGES.get(rule, rule) / f"{shards}.json"
    benchmark = facts.root / "benchmarks" / "/".join([rule, *values.values()])
    stage = STAGES.get(rule, "other")
    return Job(rule, stage, values, True, reasons, threads, {}, (output,), Path(f"{benchmark}.tsv"), local=False)


def ran(job: Job, seconds: float, cpu: float | str) -> None:
    job.benchmark.parent.mkdir(parents=True, exist_ok=True)
    job.benchmark.write_text(HEAD + f"{seconds}\t0:00:01\t-\t-\t-\t-\t-\t-\t-\t{cpu}\n", encoding="utf-8")


def costs(flops: float = 1e15) -> Costs:
    sizes = {"read": 7_000_000_000, "zero": 2, "prompt": 600, "tokens": 4000, "flops": flops, "forward": flops / 3}
    return {(stage, "nep"): TrainingCost(SIZE, **sizes, memory=[]) for stage in ("sft", "grpo")}


def of(jobs: list[Job], facts: Facts, gpus: int = 0, known: Costs | None = None) -> Estimate:
    return estimate(jobs, facts, known or {}, {job.name: gpus for job in jobs})


def with_sft(facts: Facts, **changes: Any) -> Facts:
    """The same with other settings of the experiment's SFT."""
    experiment = facts.config.experiments["nep"]
    changed = experiment.model_copy(update={"sft": experiment.sft.model_copy(update=changes)})
    return replace(facts, config=facts.config.model_copy(update={"experiments": {"nep": changed}}))


def test_a_job_costs_what_it_cost_before(facts: Facts) -> None:
    training = job(facts, "train_sft", experiment="nep")
    ran(training, 100, 180)
    assert of([training], facts, gpus=4) == Estimate(180, 400, 100, f"measured: {training.benchmark}")
    assert of([training], facts).gpu_seconds == 0


def test_where_cpu_time_was_not_measured_the_time_counts(facts: Facts) -> None:
    training = job(facts, "train_sft", experiment="nep")
    ran(training, 100, "NA")
    assert of([training], facts).cpu_seconds == 100


def test_all_jobs_of_a_rule_are_added_up(facts: Facts) -> None:
    jobs = [job(facts, "evaluate_model", model=name) for name in ("base", "nep-sft")]
    for place, one in enumerate(jobs):
        ran(one, 10, 5 + place)
    found = of(jobs, facts, gpus=1)
    assert (found.cpu_seconds, found.gpu_seconds, found.longest) == (11, 20, 10)
    assert found.source == f"measured: {facts.root}/benchmarks/evaluate_model"


@pytest.mark.parametrize(
    ("now", "expected"), [({"epochs": 4}, 200), ({"datasets": {"a": 30}}, 300), ({"lr": 2.0}, 100), ({"epochs": 1}, 50)]
)
def test_a_changed_recipe_scales_what_was_measured(facts: Facts, now: dict[str, Any], expected: float) -> None:
    before = {"epochs": 2, "lr": 1.0, "datasets": {"a": 10}}
    training = job(facts, "train_sft", Reason("changed params", "x", before, {**before, **now}), experiment="nep")
    ran(training, 100, 100)
    assert of([training], facts).cpu_seconds == pytest.approx(expected)
    assert ("for the changed recipe" in of([training], facts).source) == (expected != 100)


def test_grpo_scales_with_its_sampled_tokens(facts: Facts) -> None:
    before = {"steps": 10, "prompts_per_step": 4, "completions": 8, "max_new_tokens": 64}
    now = {**before, "steps": 5, "completions": 32}
    training = job(facts, "train_grpo", Reason("changed params", "x", before, now), experiment="nep")
    ran(training, 100, 100)
    assert of([training], facts).cpu_seconds == pytest.approx(200)


def test_shards_share_what_all_shards_took(facts: Facts) -> None:
    """Dealt into another number of shards the work stays the same."""
    for shard in (1, 2):
        done = job(facts, "split_shard", shard=shard, shards=2)
        ran(done, 10, 20)
        done.outputs[0].parent.mkdir(exist_ok=True)
        done.outputs[0].touch()
    new = [job(facts, "split_shard", shard=shard, shards=8) for shard in range(1, 9)]
    assert of(new, facts).cpu_seconds == pytest.approx(40)
    assert of(new[:2], facts).cpu_seconds == pytest.approx(10)
    assert of(new[:2], facts).longest == pytest.approx(20 / 8)


def test_the_newest_number_of_shards_counts(tmp_path: Path) -> None:
    for place, name in enumerate(["1-of-8.json", "1-of-2.json", "2-of-2.json"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (place, place))
    assert earlier_shards(tmp_path / "1-of-4.json") == 2
    assert earlier_shards(tmp_path / "none" / "1-of-4.json") is None


def test_shards_that_did_not_all_run_are_not_taken_for_the_whole(facts: Facts) -> None:
    ran(job(facts, "split_shard", shard=1, shards=2), 10, 20)
    (facts.root / "split").mkdir()
    (facts.root / "split" / "1-of-2.json").touch()
    jobs = [job(facts, "split_shard", shard=shard, shards=2) for shard in (1, 2)]
    assert of(jobs, facts).source.startswith("arithmetic")


def test_videos_are_counted_where_nothing_was_measured(facts: Facts) -> None:
    jobs = [job(facts, "encode_shard", threads=4, shard=shard, shards=4) for shard in (1, 2)]
    found = of(jobs, facts, gpus=1)
    assert found.cpu_seconds == pytest.approx(1000 * 1.3 / 2)
    assert found.gpu_seconds == pytest.approx(1000 * 1.3 / 2 / 4), "a GPU waits for four processes"
    assert found.longest == pytest.approx(1000 * 1.3 / 4 / 4)
    assert found.source.startswith("arithmetic: 1,000 videos")


def test_what_is_not_known_is_said(facts: Facts) -> None:
    unknown = replace(facts, videos=None)
    assert "known after the download" in of([job(unknown, "split_shard", shard=1, shards=1)], unknown).source
    training = job(facts, "train_sft", experiment="nep")
    assert of([training], facts).source == "no earlier run; on a CPU only one can tell"
    assert "base model is not here" in of([training], facts, gpus=1).source
    assert of([training], facts, gpus=1).gpu_seconds is None
    assert "known after convert" in of([job(facts, "train_grpo", experiment="nep")], facts, 1, costs()).source
    assert of([job(facts, "merge_split")], facts) == Estimate(None, 0.0, None, "no earlier run")


def test_sft_by_its_flops_its_collectives_and_its_validations(facts: Facts) -> None:
    """Batches of 16 on one process: 7 steps an epoch, validated before, after 10 and at the end on 64 samples."""
    known = with_sft(facts, validate_every=10)
    found = of([job(known, "train_sft", experiment="nep")], known, gpus=2, known=costs(flops=1e15))
    speed = 790e12 * 0.4
    seconds = 14 * 16 * 1e15 / speed + 3 * 64 * 1e15 / 3 / speed
    assert found.longest == pytest.approx(seconds)
    assert found.gpu_seconds == pytest.approx(2 * seconds), "what a job has, it holds"
    assert "40% of 790 TFLOP/s assumed" in found.source
    known = with_sft(facts, processes=4, validation_samples=0)
    found = of([job(known, "train_sft", experiment="nep")], known, gpus=4, known=costs(flops=1e15))
    gradients_and_weights = 2 * 6e9 * 2 * 3 / 4 / 300e9
    assert found.longest == pytest.approx(14 * (4 * 1e15 / speed + gradients_and_weights))


def test_grpo_by_its_rollouts_its_updates_and_its_validations(facts: Facts) -> None:
    known = replace(facts, rows={"grpo/next_event_mc.jsonl": 500})
    found = of([job(known, "train_grpo", experiment="nep")], known, gpus=2, known=costs(flops=1e15))
    # 8 questions a process: 32,000 tokens in two rows.
    update = 8 * 1e15 / (790e12 * 0.4) + (2 * 6e9 + 6e9) * 2 / 2 / 300e9
    speed, place = 4.3e12 * 0.67, 28 * 1024
    sampled = (7e9 + 8 * (600 + 8 * 50) * place) * 2 / speed + 0.3e-3
    # 5 % of 500 questions, 13 a process, in one batch with the video and one without, before and after 10 steps.
    asked = (7e9 + 16 * (600 + 50) * place) * 2 / speed + 0.3e-3
    assert found.longest == pytest.approx(10 * (100 * sampled + update) + 2 * 2 * 100 * asked)
    assert found.gpu_seconds == pytest.approx(2 * found.longest)


def test_evaluation_by_its_tokens_and_its_clips(facts: Facts) -> None:
    known = replace(facts, rows={"futurebench.jsonl": 50})
    found = of([job(known, "evaluate_model", model="base")], known, gpus=1)
    assert found.longest == found.gpu_seconds == pytest.approx(50 * 2 * 10 * 0.03 + 50 * 1.3)
    shared = known.config.evaluate.model_copy(update={"processes": 4, "batch_size": 4})
    four = replace(known, config=known.config.model_copy(update={"evaluate": shared}))
    found = of([job(four, "evaluate_model", model="base")], four, gpus=4)
    assert found.longest == pytest.approx(4 * 2 * 10 * 0.03 + 13 * 1.3), "13 questions of one process, in 4 batches"
    assert found.gpu_seconds == pytest.approx(4 * found.longest)
    tasks = known.config.evaluate.model_copy(update={"tasks": ["futurebench", "videomme"]})
    more = replace(known, config=known.config.model_copy(update={"evaluate": tasks}))
    assert "questions of videomme are not counted" in of([job(more, "evaluate_model", model="base")], more, 1).source


def test_samples_are_those_that_there_are(facts: Facts) -> None:
    assert facts.samples("sft", "nep") == 100, "as asked for"
    assert replace(facts, rows={"sft/next_event.json": 60}).samples("sft", "nep") == 60
    assert facts.samples("grpo", "nep") is None
    assert facts.held_out("grpo", "nep") == facts.config.grpo.validation_samples, "as asked for"
    assert replace(facts, rows={"grpo/next_event_mc.jsonl": 500}).held_out("grpo", "nep") == 25


def test_bytes_of_stages_that_have_written_nothing(facts: Facts) -> None:
    visual = VisualShape(tokens=320, hidden=3584)
    assert expected_bytes("download", facts, {}, None) == 14 * 10**9, "archives are kept"
    assert expected_bytes("split", facts, {}, None) == 10**9
    assert expected_bytes("encode", facts, {}, visual) == 1000 * (32 * 16384 * 3 + 320 * 3584 * 2)
    assert expected_bytes("encode", facts, {}, None) is None
    assert expected_bytes("sft", facts, costs(), visual) == 14_000_000_000
    assert expected_bytes("sft", facts, {}, visual) is None
    assert expected_bytes("download", replace(facts, archive_bytes=None), {}, None) is None


def test_annotation_is_counted_in_requests_tokens_and_money(facts: Facts) -> None:
    vision = {"url": "http://a", "model": "m", "price_in": 1.0, "price_out": 10.0}
    annotate = Annotate(vision=vision, recipe="timed_events", frames=10, size=448, shards=4)
    known = replace(facts, config=facts.config.model_copy(update={"annotate": annotate}))
    jobs = [job(known, "annotate_shard", shard=shard, shards=4) for shard in (1, 2)]
    found = of(jobs, known)
    # Two of four shards of 1,000 videos; watch, plan, foretell, verify, critique; 144 tokens a frame in two of them.
    tokens_in, tokens_out = 500 * (5 * 800 + 2 * 10 * 144), 500 * 5 * 250
    assert f"2,500 requests, about {tokens_in / 1e6:,.1f} M tokens in and {tokens_out / 1e6:,.1f} M out" in found.source
    assert f"cost about {(tokens_in + 10 * tokens_out) / 1e6:,.2f}" in found.source
    assert found.cpu_seconds == pytest.approx(500 * 1.3 * 3)
    assert of(jobs, replace(known, videos=None)).cpu_seconds is None


def test_questions_are_counted_where_each_passes_at_once(facts: Facts) -> None:
    vision = {"url": "http://a", "model": "m", "price_in": 1.0, "price_out": 10.0}
    questions = OwnBenchmark(kinds=["hop1", "hop2"], frames=10, size=448, tries=4, shards=4)
    blocks = {"annotate": Annotate(vision=vision), "questions": questions}
    known = replace(facts, config=facts.config.model_copy(update=blocks))
    jobs = [job(known, "write_questions_shard", shard=shard, shards=4) for shard in (1, 2)]
    found = of(jobs, known)
    # Two of four shards of 1,000 videos; for each of two kinds: write, check, and four tries by text, with frames of
    # the first part, and of the second. One model for both is asked once without the video.
    tokens_in = 500 * 2 * ((2 + 4) * 800 + 8 * (800 + 10 * 144))
    tokens_out = 500 * 2 * (2 + 12) * 250
    assert (
        f"14,000 requests, about {tokens_in / 1e6:,.1f} M tokens in and {tokens_out / 1e6:,.1f} M out" in found.source
    )
    assert f"cost about {(tokens_in + 10 * tokens_out) / 1e6:,.2f}" in found.source
    text = {**vision, "model": "other", "price_in": 0.0, "price_out": 0.0}
    blocks["questions"] = questions.model_copy(update={"text": AskedEndpoint(**text)})
    other = replace(facts, config=facts.config.model_copy(update=blocks))
    assert "18,000 requests" in of(jobs, other).source


def test_checkpoints_are_counted_while_there_are_any(facts: Facts) -> None:
    """Of an experiment's trainings, one after the other, the larger ones; those of experiments beside each other."""
    one = 6_000_000_000 * 14
    sft, grpo = (job(facts, rule, experiment="nep") for rule in ("train_sft", "train_grpo"))
    assert checkpoint_bytes([sft, grpo], facts, costs()) == 3 * one, "two that are kept, one that is being written"
    more = with_sft(facts, keep_checkpoints=4, publish="best")
    assert checkpoint_bytes([sft, grpo], more, costs()) == 6 * one, "and the best one"
    assert checkpoint_bytes([grpo], more, costs()) == 3 * one
    both = more.config.experiments | {"other": facts.config.experiments["nep"]}
    two = replace(facts, config=facts.config.model_copy(update={"experiments": both}))
    known = costs() | {(stage, "other"): cost for (stage, _), cost in costs().items()}
    others = [job(facts, rule, experiment="other") for rule in ("train_sft", "train_grpo")]
    assert checkpoint_bytes([sft, grpo, *others], two, known) == (6 + 3) * one
    assert checkpoint_bytes([job(facts, "encode_shard", shard=1, shards=1)], facts, {}) == 0
    assert checkpoint_bytes([sft], facts, {}) is None
