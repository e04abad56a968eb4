import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.rows import cut

from nep.config.convert import Convert
from nep.config.demo_videos import DemoVideos
from nep.config.experiment import Experiment
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.data.convert import convert_run
from nep.data.prompts import load_prompts
from nep.demo.hub_layout import write_demo_hub
from nep.export.experiment import ExperimentExport
from nep.files import write_json
from nep.records.parse import parse_files, write_parsed
from nep.rows.base import write_rows

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "config/prompts.yaml"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its data sets, made by the stages' own functions; only the cut itself is left out."""
    run = tmp_path_factory.mktemp("run")
    hub = run / "hub"
    write_demo_hub(DemoVideos(train=16, test=2, archives=1, size=56, fps=4, processes=1), load_prompts(PROMPTS), 1, hub)
    for archive in hub.glob("*.tar.gz"):
        with tarfile.open(archive) as members:
            members.extractall(run / "download/videos", filter="data")
    parsed = parse_files(hub / "next_event_prediction.json", hub / "futurebench.json", run / "download/videos")
    write_parsed(parsed, run / "records")
    write_rows(run / "split/manifest.jsonl", [cut(record.id) for record in parsed.records])
    config = Convert(prompts=str(PROMPTS), validation_fraction=0.3, hops=[1, 2])
    sources = (run / "records/records.jsonl", run / "records/questions.jsonl", run / "split/manifest.jsonl")
    convert_run(*sources, config, 5, run / "convert")
    write_json(run / "models/base/config.json", {"model_type": "qwen2_5_vl"})
    return run


@pytest.fixture(scope="session")
def make_job(run: Path) -> Callable[..., ExperimentExport]:
    """An export of an experiment with SFT and GRPO; changes of its recipes are given as `sft` and `grpo`."""

    def make(consumer: str, sft: Any = (), grpo: Any = (), **changes: Any) -> ExperimentExport:
        deepspeed = str(ROOT / "config/deepspeed/zero3.json")
        experiment = Experiment(
            sft=Sft(**{"datasets": {"next_event": 8, "distill": None}, "deepspeed": deepspeed, **dict(sft)}),
            grpo=Grpo(**{"datasets": {"next_event_mc": 9}, "deepspeed": deepspeed, **dict(grpo)}),
        )
        job = ExperimentExport(consumer, "nep", experiment, Vision(), PROMPTS, 5, "nep/sft/model", run)
        return replace(job, **changes)

    return make
