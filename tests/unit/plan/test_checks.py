"""The checks of a plan, each with what it accepts and what it refuses."""

import math
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from support.hub_server import HubFile, HubServer

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.whole import Config, load_config
from nep.plan import checks as preflight
from nep.plan.dry_run import Job
from nep.plan.estimates import Estimate
from nep.plan.training import TrainingCost
from nep.train.runtime.preflight import GIB, Line, ModelSize

SIZE = ModelSize(parameters=1000, trainable=900, layers=2, hidden=8, intermediate=16, key_value=8, vocabulary=100)
SINFO = """main*|gpu:h200:2(S:0-1)|12000|8|1-00:00:00
main*|(null)|64000|64|1-00:00:00
long|(null)|8000+|4+|infinite
"""


def job(rule: str, **resources: Any) -> Job:
    stage = {"train_sft": "sft", "train_grpo": "grpo"}.get(rule, "split")
    wildcards = {"experiment": "nep"} if rule.startswith("train") else {}
    return Job(rule, stage, wildcards, True, (), 1, resources, (Path("out"),), None, local=False)


def config(**blocks: Any) -> Config:
    values = {
        "run": "r",
        "source": {"kind": "folder", "path": "data"},
        "model": {"kind": "folder", "path": "model"},
        "experiments": {"nep": {"sft": {}, "grpo": {}}},
        **blocks,
    }
    return load_config(values)


def states(checks: list[preflight.Check]) -> list[str]:
    return [check.state for check in checks]


def cost(host: float = 0, device: float = 0) -> TrainingCost:
    lines = [
        Line("weights", int(host * GIB), "host", "a smaller model"),
        Line("a", int(device * GIB), "device", "less"),
    ]
    sizes = {"read": 1000, "zero": 2, "prompt": 10, "tokens": 20, "flops": 1.0, "forward": 1.0}
    return TrainingCost(SIZE, **sizes, memory=[line for line in lines if line.bytes])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a program on the path, which alone is on it, that prints a text."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    (folder / "cat").symlink_to(shutil.which("cat"))
    (folder / "sh").symlink_to(shutil.which("sh"))
    monkeypatch.setenv("PATH", str(folder))
    return make


def sinfo(program: Callable[[str, str], None], text: str = SINFO) -> None:
    program("sinfo", f"cat <<'END'\n{text}END")


def test_disk_that_is_too_small_is_a_problem(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    inside = tmp_path / "results" / "r"
    assert preflight.check_disk(inside, free + (1 << 40), 0, []).state == "problem"
    assert preflight.check_disk(inside, 1, 0, []).state == "ok"
    meanwhile = preflight.check_disk(inside, 1, free + (1 << 40), [])
    assert meanwhile.state == "problem" and "of it checkpoints, until their trainings have ended" in meanwhile.says


def test_disk_says_what_it_does_not_count(tmp_path: Path) -> None:
    check = preflight.check_disk(tmp_path, 1, 0, ["split", "encode"])
    assert check.state == "unknown" and "split, encode" in check.says
    full = shutil.disk_usage(tmp_path).free + (1 << 40)
    assert preflight.check_disk(tmp_path, full, 0, ["split"]).state == "problem", "what is known is too much already"


def test_more_processes_than_gpus_here() -> None:
    wanted = config(sft={"processes": 4})
    (check,) = preflight.check_local_gpus([job("train_sft")], wanted, devices=2)
    assert check.state == "problem" and "experiments.nep.sft.processes is 4" in check.says
    assert states(preflight.check_local_gpus([job("train_sft")], wanted, devices=4)) == ["ok"]
    assert states(preflight.check_local_gpus([job("train_sft")], wanted, devices=0)) == ["ok"], "processes on the CPU"


def test_evaluation_on_cuda_needs_a_gpu() -> None:
    (check,) = preflight.check_local_gpus([job("evaluate_model")], config(evaluate={"device": "cuda"}), devices=0)
    assert check.state == "problem" and "evaluate.device is 'cuda'" in check.says
    assert states(preflight.check_local_gpus([job("evaluate_model")], config(evaluate={"device": "cpu"}), 0)) == ["ok"]
    assert states(preflight.check_local_gpus([job("merge_split")], config(evaluate={"device": "cuda"}), 0)) == ["ok"]


def test_processes_of_an_evaluation_take_a_gpu_each() -> None:
    wanted = config(evaluate={"device": "cuda", "processes": 4})
    (check,) = preflight.check_local_gpus([job("evaluate_model")], wanted, devices=2)
    assert check.state == "problem" and "evaluate.processes is 4" in check.says
    (check,) = preflight.check_submitted_gpus([job("evaluate_model", gpu=1)], wanted)
    assert check.state == "problem" and "set gpu to 4" in check.says
    assert states(preflight.check_submitted_gpus([job("evaluate_model", gpu=4)], wanted)) == ["ok"]


def test_a_reference_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = config(references={"large": {"url": "http://localhost/v1", "model": "m", "key_from": "LARGE_KEY"}})
    asked = replace(job("evaluate_reference"), wildcards={"reference": "large"})
    monkeypatch.delenv("LARGE_KEY", raising=False)
    (check,) = preflight.check_keys([asked], wanted)
    assert check.state == "problem" and "LARGE_KEY" in check.says
    monkeypatch.setenv("LARGE_KEY", "secret")
    assert preflight.check_keys([asked], wanted) == []


def test_several_nodes_need_a_scheduler(program: Callable[[str, str], None]) -> None:
    wanted = config(grpo={"nodes": 2})
    (check,) = preflight.check_local_gpus([job("train_grpo")], wanted, devices=1)
    assert check.state == "problem" and "--profile slurm" in check.says
    program("srun", "true")
    assert states(preflight.check_local_gpus([job("train_grpo")], wanted, devices=1)) == ["ok"]


def test_a_profile_with_fewer_gpus_than_processes() -> None:
    wanted = config(sft={"processes": 4, "nodes": 2})
    (check,) = preflight.check_submitted_gpus([job("train_sft", gpu=4)], wanted)
    assert check.state == "problem" and "set gpu to 8" in check.says
    assert states(preflight.check_submitted_gpus([job("train_sft", gpu=8)], wanted)) == ["ok"]
    assert states(preflight.check_submitted_gpus([job("train_sft", gres="gpu:h200:8")], wanted)) == ["ok"]


def test_a_profile_with_more_gpus_than_processes() -> None:
    """As where the published profile runs another configuration, whose evaluation has one process."""
    wanted = config(evaluate={"device": "cuda"})
    (check,) = preflight.check_submitted_gpus([job("evaluate_model", gpu=8)], wanted)
    assert check.state == "warning" and "8 asked for evaluate_model, 1 processes" in check.says
    assert "set gpu to 1" in check.says


@pytest.mark.parametrize(
    ("resources", "gpus"), [({"gpu": 2}, 2), ({"gres": "gpu:3"}, 3), ({"gres": "gpu:h200:4"}, 4), ({}, 0)]
)
def test_gpus_asked_of_a_scheduler(resources: dict[str, Any], gpus: int) -> None:
    assert preflight.gpus_asked(job("train_sft", **resources)) == gpus


def test_memory_that_cannot_fit_here() -> None:
    check = preflight.check_memory(job("train_sft"), Sft(), cost(host=1 << 20), local=True)
    assert check.state == "problem" and "change a smaller model" in check.says
    assert preflight.check_memory(job("train_sft"), Sft(), cost(host=0.001), local=True).state == "ok"


def test_memory_of_a_submitted_job() -> None:
    sft = Sft(processes=2)
    assert preflight.check_memory(job("train_sft", mem_mb=4000), sft, cost(host=3), local=False).state == "problem"
    assert preflight.check_memory(job("train_sft", mem_mb=8000), sft, cost(host=3), local=False).state == "ok"
    assert preflight.check_memory(job("train_sft"), sft, cost(host=3), local=False).state == "unknown"


def test_the_memory_of_a_clusters_gpus_is_not_known() -> None:
    check = preflight.check_memory(job("train_grpo", gpu=1, mem_mb=8000), Grpo(), cost(host=1, device=70), local=False)
    assert check.state == "unknown" and "70.0 GiB needed on each GPU" in check.says


def test_without_the_base_model_memory_is_not_known() -> None:
    assert preflight.check_memory(job("train_sft"), Sft(), None, local=True).state == "unknown"


def test_codecs_of_ffmpeg(program: Callable[[str, str], None]) -> None:
    preflight.find_ffmpeg.cache_clear()
    program("ffmpeg", "echo ' V....D libx264  x264'; echo ' V....D h264  H.264'")
    assert states(preflight.check_codecs({"split_shard"})) == ["ok"]
    program("ffmpeg", "echo ' V....D libx265  x265'; echo ' V....D h264  H.264'")
    (check,) = preflight.check_codecs({"split_shard"})
    assert check.state == "problem" and "no libx264 among its encoders" in check.says
    assert preflight.check_codecs({"train_sft"}) == [], "nothing is cut"
    preflight.find_ffmpeg.cache_clear()


def test_an_ffmpeg_that_does_not_start(program: Callable[[str, str], None]) -> None:
    preflight.find_ffmpeg.cache_clear()
    program("ffmpeg", "exit 127")
    assert states(preflight.check_codecs({"split_shard"})) == ["problem"]
    preflight.find_ffmpeg.cache_clear()


def test_partitions_are_read_with_their_largest_node() -> None:
    assert preflight.partitions(SINFO) == {
        "main": preflight.Nodes(gpus=2, memory_mb=64000, cores=64, minutes=1440, is_default=True),
        "long": preflight.Nodes(gpus=0, memory_mb=8000, cores=4, minutes=math.inf, is_default=False),
    }


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("30:00", 30), ("12:00:00", 720), ("2-12:00:00", 3600), ("90", 1.5), ("UNLIMITED", math.inf), ("n/a", math.inf)],
)
def test_the_time_limit_of_a_partition(limit: str, minutes: float) -> None:
    assert preflight.partitions(f"main|(null)|100|1|{limit}\n")["main"].minutes == minutes


def test_a_partition_that_is_not_there(program: Callable[[str, str], None]) -> None:
    sinfo(program)
    (check,) = preflight.check_partitions([job("split_shard", slurm_partition="gpu")])
    assert check.state == "problem" and "no partition 'gpu'; there are long, main" in check.says
    assert states(preflight.check_partitions([job("split_shard", slurm_partition="main")])) == ["ok"]
    assert states(preflight.check_partitions([job("split_shard", slurm_partition="main,long")])) == ["ok"]
    assert states(preflight.check_partitions([job("split_shard")])) == ["ok"], "the default one"


def test_without_a_default_partition_one_must_be_set(program: Callable[[str, str], None]) -> None:
    sinfo(program, "main|(null)|100|1|1:00:00\n")
    (check,) = preflight.check_partitions([job("split_shard")])
    assert check.state == "problem" and "set one of main" in check.says


def test_more_than_a_node_has(program: Callable[[str, str], None]) -> None:
    sinfo(program)
    (check,) = preflight.check_partitions([job("train_sft", gpu=8, nodes=2)])
    assert check.state == "problem" and "asks 4 GPUs of a node" in check.says
    assert states(preflight.check_partitions([job("train_sft", gpu=4, nodes=2)])) == ["ok"]
    (check,) = preflight.check_partitions([job("train_sft", slurm_partition="long", mem_mb=9000)])
    assert check.state == "problem" and "9000 MB" in check.says
    (check,) = preflight.check_partitions([replace(job("split_shard"), threads=65)])
    assert check.state == "problem" and "asks 65 cores of a node; 'main' has 64 at most" in check.says


def test_more_time_than_a_partition_gives(program: Callable[[str, str], None]) -> None:
    """Shards of one submission are done one after another: Slurm is asked for the sum of their times."""
    sinfo(program)
    shard = job("split_shard", runtime=240)
    assert states(preflight.check_partitions([shard])) == ["ok"]
    grouped = replace(shard, in_a_row=16)
    (check,) = preflight.check_partitions([grouped])
    assert check.state == "problem"
    assert "split_shard: asks 3840 minutes (runtime), 16 jobs in a row; 'main' has 1440 at most" in check.says
    anywhere = replace(grouped, resources={**grouped.resources, "slurm_partition": "long"})
    assert states(preflight.check_partitions([anywhere])) == ["ok"]


def test_an_estimate_above_the_time_that_a_job_asks_for() -> None:
    """A warning, and no problem: it is an estimate, and a training goes on from its checkpoint."""
    asked = job("evaluate_model", runtime=720)
    (check,) = preflight.check_time("evaluate_model", [asked], Estimate(None, 1.0, 54.5 * 3600, "arithmetic: x"))
    assert check.state == "warning" and check.what == "time of evaluate_model"
    assert "about 54.5 h a job of the 12.0 h" in check.says and "arithmetic: x" in check.says
    assert "'runtime' of evaluate_model in the profile above 3270 or change evaluate.processes" in check.says
    (check,) = preflight.check_time("evaluate_model", [asked], Estimate(None, 1.0, 720 * 60, "x"))
    assert check.state == "ok"
    shorter = replace(asked, resources={"runtime": 30})
    (check,) = preflight.check_time("evaluate_model", [asked, shorter], Estimate(None, 1.0, 3600, "x"))
    assert check.state == "warning" and "of the 30 min" in check.says, "the job with the least time counts"


def test_without_a_runtime_or_an_estimate_no_time_is_checked() -> None:
    assert preflight.check_time("train_sft", [job("train_sft")], Estimate(None, 1.0, 3600, "x")) == []
    assert preflight.check_time("train_sft", [job("train_sft", runtime=1)], Estimate(None, None, None, "?")) == []


def test_a_slurm_that_does_not_answer(program: Callable[[str, str], None]) -> None:
    assert states(preflight.check_partitions([job("split_shard")])) == ["problem"], "no sinfo"
    program("sinfo", "exit 1")
    assert states(preflight.check_partitions([job("split_shard")])) == ["unknown"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer("dataset", "me/data", {"a.json": HubFile(b"[]")}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        yield running


def asked(repo: str = "me/data", revision: str = "main", rule: str = "list_source") -> list[preflight.Check]:
    return preflight.check_hub(config(source={"kind": "hub", "repo": repo, "revision": revision}), {rule})


def test_an_open_repository(hub: HubServer) -> None:
    assert [(check.state, check.says) for check in asked()] == [("ok", "open to all")]
    assert asked(rule="train_sft") == [], "nothing is fetched"
    assert preflight.check_hub(config(), {"list_source"}) == [], "a folder"


def test_a_gated_repository_needs_a_token_with_access(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository.gate = "hf_right"
    assert [(check.state, check.says) for check in asked()] == [("problem", "gated, and HF_TOKEN is not set")]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    (check,) = asked()
    assert check.state == "problem" and "has no access" in check.says
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert states(asked()) == ["ok"]


def test_a_repository_or_revision_that_is_not_there(hub: HubServer) -> None:
    (check,) = asked(repo="me/nothing")
    assert check.state == "problem" and "no repository of this name" in check.says
    (check,) = asked(revision="v9")
    assert check.state == "problem" and "'v9'" in check.says


def test_a_hub_that_cannot_be_reached_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert states(asked()) == ["unknown"]


def test_offline_the_cache_must_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (check,) = asked()
    assert check.state == "problem" and "not in the local hub cache" in check.says
