"""A small run folder shared by the trainers' tests, and engines whose global settings are put back afterwards."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from support.training_run import make_run
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin

from nep.config.sft import Sft
from nep.config.training import Training
from nep.model.samples import Sample, SampleBuilder, video_keys
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.base import read_rows
from nep.rows.dataset import GrpoRow, read_sft
from nep.train import run_state
from nep.train.distributed import start_distributed
from nep.train.engine import Engine, load_model
from nep.train.runtime.options import RunPaths


@dataclass(frozen=True)
class Parts:
    """A model outside any engine, and what it needs to read the run's data."""

    run: Path
    model: PreTrainedModel
    processor: ProcessorMixin
    cache: VisionCache
    visuals: Visuals
    dialogues: list[Sample]
    prompts: list[Sample]


@pytest.fixture(scope="session")
def run_folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder with models, cache and data sets; tests write their outputs elsewhere."""
    return make_run(tmp_path_factory.mktemp("train") / "run", tiny_checkpoint)


@pytest.fixture(scope="session")
def parts(run_folder: Path) -> Parts:
    """The tiny model (fp32, eval) with dialogues and prompts of the run's rows."""
    folder = run_folder / "models" / "base"
    model = load_model(folder, Sft(), torch.device("cpu")).eval()
    processor = AutoProcessor.from_pretrained(folder)
    cache = VisionCache(run_folder / "encode")
    builder = SampleBuilder(processor, model, cache)
    dialogues = read_sft(run_folder / "convert" / "sft" / "next_event.json")
    questions = read_rows(GrpoRow, run_folder / "convert" / "grpo" / "next_event_mc.jsonl")
    return Parts(
        run=run_folder,
        model=model,
        processor=processor,
        cache=cache,
        visuals=Visuals(cache, processor, Sft().freeze, torch.device("cpu")),
        dialogues=[builder.dialogue(row.id, row.turns, video_keys(row)) for row in dialogues],
        prompts=[
            builder.prompt(row.id, [{"role": "user", "content": row.problem}], video_keys(row)) for row in questions
        ],
    )


@pytest.fixture
def paths_to(run_folder: Path) -> Callable[[Path], RunPaths]:
    """Paths of a stage that reads the shared run folder and writes below the given one."""
    return lambda target: RunPaths(
        convert=run_folder / "convert",
        encode=run_folder / "encode",
        index=run_folder / "encode/index.jsonl",
        model=run_folder / "models" / "base",
        model_manifest=run_folder / "models" / "base.manifest.json",
        run=target,
        out=target / "out",
    )


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Put back what a trainer sets for its whole process: environment, determinism and threads."""
    environment, threads = dict(os.environ), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def last_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoints that there are at the end of a training stay."""
    monkeypatch.setattr(run_state, "drop_checkpoints", lambda folder: None)


@pytest.fixture
def engine_of(run_folder: Path, torch_settings: None) -> Callable[[Training], Engine]:
    """Makes an engine of one process on the tiny model."""
    return lambda training: Engine(run_folder / "models" / "base", training, start_distributed(threads=1), seed=0)
