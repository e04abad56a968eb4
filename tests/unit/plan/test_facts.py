"""What is known of a run before it runs, and what is not; what training costs by the model's config."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from support.hub_server import HubFile, HubServer

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.config.whole import Config, load_config
from nep.plan.facts import read_facts, size_of
from nep.plan.training import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    TrainingCost,
    VisualShape,
    training_cost,
    visual_shape,
)

QWEN = {"vision_config": {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 3584}}


def config(**blocks: Any) -> Config:
    source = {"kind": "folder", "path": "nowhere"}
    values = {"run": "r", "source": source, "model": source, "experiments": {"nep": {"sft": {}}}}
    return load_config({**values, **blocks})


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_nothing_is_known_of_a_source_that_is_not_there(tmp_path: Path) -> None:
    facts = read_facts(tmp_path / "r", config(), tmp_path)
    known = (facts.videos, facts.video_bytes, facts.archive_bytes, facts.model, facts.model_bytes, facts.questions)
    assert known == (None,) * 6


def test_what_earlier_stages_have_counted_counts(tmp_path: Path) -> None:
    write(tmp_path / "download/videos.json", {"count": 7, "bytes": 700})
    write(tmp_path / "download/archives.json", {"archives": [{"size": 300}, {"size": 100}]})
    write(tmp_path / "convert/manifest.json", {"files": {"futurebench.jsonl": {"rows": 5}, "other": {}}})
    write(tmp_path / "models/base/config.json", {})
    facts = read_facts(tmp_path, config(), tmp_path)
    assert (facts.videos, facts.video_bytes, facts.archive_bytes, facts.questions) == (7, 700, 400, 5)
    assert (facts.model, facts.model_bytes) == (tmp_path / "models/base", 2)


def test_a_local_folder_says_how_much_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "hub/next_event_prediction.json", [{}, {}, {}])
    (tmp_path / "hub/video_data_part0.tar.gz").write_bytes(b"x" * 50)
    folder = {"kind": "folder", "path": str(tmp_path / "hub")}
    facts = read_facts(tmp_path / "r", config(source=folder), tmp_path)
    assert (facts.videos, facts.archive_bytes, facts.video_bytes) == (3, 50, 50)


def test_a_table_counts_its_rows(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("video_path,split_time\na.mp4,1\nb.mp4,2\n", encoding="utf-8")
    table = {"kind": "table", "path": str(tmp_path), "annotations": "clips.csv"}
    assert read_facts(tmp_path / "r", config(source=table), tmp_path).videos == 2


def test_plain_videos_and_folders_of_images_are_counted(tmp_path: Path) -> None:
    for name in ("a.mp4", "b/1.jpg", "b/2.jpg", "c/1.png", "c/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    videos = {"kind": "videos", "path": str(tmp_path), "frame_folders": {"fps": 2}}
    annotate = {"vision": {"url": "http://localhost/v1", "model": "large"}}
    assert read_facts(tmp_path / "r", config(source=videos, annotate=annotate), tmp_path).videos == 3


def test_the_demo_counts_the_videos_that_it_will_make(tmp_path: Path) -> None:
    assert read_facts(tmp_path, config(demo={"videos": {"train": 20, "test": 4}}), tmp_path).videos == 24


def test_a_hub_says_sizes_and_gives_the_models_config_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"config.json": HubFile(b"{}"), "model.safetensors": HubFile(b"x" * 98, lfs=True), "x.bin": HubFile(b"x")}
    with HubServer("model", "me/model", files) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        named = config(model={"kind": "hub", "repo": "me/model", "revision": "main"})
        facts = read_facts(tmp_path / "r", named, tmp_path)
        assert hub.ranges_of("model.safetensors") == []
    assert (facts.model, facts.model_bytes) == (tmp_path, 100)


def test_the_archives_of_a_hub_are_counted_before_they_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "video_data_part0.tar.gz": HubFile(b"x" * 40, lfs=True),
        "video_data_part1.tar.gz": HubFile(b"x" * 20, lfs=True),
        "next_event_prediction.json": HubFile(b"[]"),
        "futurebench.json": HubFile(b"[]"),
    }
    with HubServer("dataset", "me/data", files) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        source = {"kind": "hub", "repo": "me/data", "revision": "main"}
        facts = read_facts(tmp_path / "r", config(source=source), tmp_path)
        assert hub.ranges_of(".tar.gz") == []
    assert (facts.videos, facts.archive_bytes) == (None, 60)


def test_a_stage_is_as_large_as_its_files(tmp_path: Path) -> None:
    for name, size in (("nep/sft/model/a", 10), ("work/sft/nep/f/step-1/b", 20), ("nep/grpo/c", 40)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "nep/sft/linked").hardlink_to(tmp_path / "nep/sft/model/a")
    assert size_of(tmp_path, "sft", "nep") == 30
    assert size_of(tmp_path, "split", None) == 0


def test_visual_tokens_of_a_clip_at_the_whole_budget(tmp_path: Path) -> None:
    write(tmp_path / "config.json", QWEN)
    assert visual_shape(tmp_path, Vision(frames=32, max_pixels=16384)) == VisualShape(tokens=16 * 20, hidden=3584)
    write(tmp_path / "config.json", {"vision_config": {"patch_size": 14}})
    assert visual_shape(tmp_path, Vision()) is None


def test_a_trainings_flops_are_those_of_its_tokens(tiny_checkpoint: Path) -> None:
    """Six products for each trained weight and token, of the head only for labelled tokens; attention besides."""
    plain = training_cost(tiny_checkpoint, Sft(), None, on_gpu=True)
    seen = training_cost(tiny_checkpoint, Sft(), VisualShape(1000, 64), on_gpu=True)
    layers = (seen.flops - plain.flops) / 1000
    assert plain.flops > 6 * plain.size.trainable * ANSWER_TOKENS * 0.1
    assert layers > plain.flops / (PROMPT_TOKENS + ANSWER_TOKENS) * 0.5
    grpo = Grpo(completions=4, max_new_tokens=ANSWER_TOKENS, kl_coef=0)
    group = training_cost(tiny_checkpoint, grpo, None, on_gpu=True)
    assert plain.flops < group.flops < 4 * plain.flops, "the prompt is shared"


def test_a_pass_more_for_what_is_computed_again_and_for_the_reference_model(tiny_checkpoint: Path) -> None:
    def cost(training: Sft | Grpo) -> TrainingCost:
        return training_cost(tiny_checkpoint, training, None, on_gpu=True)

    plain, alone, both = cost(Sft()), cost(Grpo(kl_coef=0)), cost(Grpo(gradient_checkpointing=True))
    assert cost(Sft(gradient_checkpointing=True)).flops == pytest.approx(plain.flops + plain.forward)
    assert both.flops == pytest.approx(alone.flops + 2 * alone.forward)
    assert plain.forward == pytest.approx(plain.flops / 3), "a backward pass is two"
    assert both.prompt == PROMPT_TOKENS and both.tokens == PROMPT_TOKENS + 8 * 2047
    assert 0 < both.read < both.size.parameters


def test_the_memory_of_a_training_is_that_of_its_device(tiny_checkpoint: Path) -> None:
    grpo, names = Grpo(), {"weights", "gradients", "optimizer states", "reference model"}
    for on_gpu in (True, False):
        lines = training_cost(tiny_checkpoint, grpo, None, on_gpu).memory
        assert {line.name for line in lines} >= names
        assert ("device" in {line.place for line in lines}) == on_gpu


def test_clips_are_those_of_the_rows_that_trainings_take(tmp_path: Path) -> None:
    def clips(grpo: int | None, **more: Any) -> int | None:
        one = {"sft": {"datasets": {"next_event": 50}}, "grpo": {"datasets": {"next_event_mc": grpo}}}
        validation = {"validation_samples": 10}
        blocks = {"experiments": {"nep": one, **more}, "sft": validation, "grpo": validation}
        write(tmp_path / "hub/next_event_prediction.json", [{}] * 100)
        folder = {"kind": "folder", "path": str(tmp_path / "hub")}
        return read_facts(tmp_path / "r", config(source=folder, **blocks), tmp_path).clips

    assert clips(20) == 50 + 10 + 20 + 10
    assert clips(20, other={"sft": {"datasets": {"next_event": 50}, "lr": 1e-6}}) == clips(20), "the same rows"
    assert clips(90) == 100, "no more than there are"
    assert clips(None) == 100, "all, before it is known how many are taken"
