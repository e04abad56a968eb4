"""The environments that the tests are about, and one run in them (`make test-envs`)."""

from pathlib import Path

import pytest
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator
from support.benchmark_hub import long_video_bench
from support.environments import ENVS, environments
from support.evaluation_run import write_clip
from support.hub_server import HubServer
from support.own_environments import Run, make, write_shell
from support.question_answers import QUESTION_ANSWERS
from support.workflow import Outcome, Workplace

from nep.benchmarks.lmms_tasks import external_tasks

BENCHMARK = "longvideobench_val_v"
KEY = "sk-of-the-environments"
TARGETS = ["all", "export_llamafactory", "export_easyr1", "export_verl", "export_swift", "export_hf"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of the environment made of each environment file's pip section, by name."""
    return {env.stem: make(env, tmp_path_factory.mktemp("pins")) for env in ENVS}


@pytest.fixture(scope="session")
def run(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small run with all exports, in a folder of its own; SFT in two processes, which something must start, and a
    benchmark of lmms-eval's own, which something must fetch."""
    folder = tmp_path_factory.mktemp("envs")
    notes = folder / "notes"
    notes.mkdir()
    shells = {name: write_shell(folder / name, venv / "bin", notes) for name, venv in made.items()}
    resources = [f"{rule}:shell_exec={shells[env]}" for rule, env in environments().items()]
    workplace = Workplace.make(folder / "nep")
    write_clip(folder / "clip.mp4", 12)
    files = long_video_bench((folder / "clip.mp4").read_bytes())
    evaluate = {"tasks": ["futurebench", BENCHMARK], "offline": False, "benchmarks": str(folder / "benchmarks")}
    config = workplace.configure("small", sft={"processes": 2}, evaluate=evaluate)
    with HubServer("dataset", external_tasks(BENCHMARK)[0].repo, files) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        outcome = workplace.run(config, *TARGETS, "--set-resources", *resources)
    return Run(outcome, of_plain_videos(workplace, resources), notes)


def of_plain_videos(workplace: Workplace, resources: list[str]) -> Outcome:
    """A run from plain videos to training questions, which a scripted model annotates."""
    with Annotator(answers={**ANNOTATE_ANSWERS, **QUESTION_ANSWERS}, key=KEY) as server:
        endpoint = {"url": server.url, "model": "scripted"}
        config = workplace.configure(
            "small",
            run="plain",
            demo={"videos": {"train": 5, "test": 1, "size": 84}},
            source={
                "kind": "videos",
                "path": "results/plain/plain",
                "questions": None,
                "frame_folders": {"fps": 10, "shards": 1, "processes": 1},
            },
            shots={"shards": 1, "processes": 1, "near_duplicate_distance": None},
            annotate={"vision": endpoint, "recipe": "timed_events", "size": 84, "shards": 1},
            questions={"benchmark_fraction": 0.4, "size": 84, "shards": 1, "processes": 1},
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", KEY)
            return workplace.run(config, "results/plain/questions/manifest.json", "--set-resources", *resources)
