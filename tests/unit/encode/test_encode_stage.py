"""Shards of the cache, their index, and features against the pixel path of the model and of lmms-eval's wrapper."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from qwen_vl_utils import process_vision_info
from support.training_run import grpo_row, sft_row
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from nep.config.encode import Encode
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.data.selection import select_grpo, select_sft, select_sft_validation
from nep.encode.frames import ClipTask
from nep.encode.index import merge_encode, write_parts
from nep.encode.needed import NeededClip, needed_clips
from nep.encode.selected import Selection
from nep.encode.stage import encode_shard, in_order
from nep.errors import InputError
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.jobs.shards import shard_of
from nep.jobs.workers import run_items
from nep.layout.datasets import dataset_file
from nep.model.vision_cache import VisionCache
from nep.rows.base import read_rows, rows_as
from nep.rows.dataset import DatasetRow, GrpoRow, SftRow, read_sft

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
VISION = Vision(frames=8)
NAMES = ["bt709", "full_range", "plain", "short"]


@pytest.fixture(scope="module")
def run(clips: dict[str, Path], tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with segments, data sets that name them (and two that cannot be read), and an encoded cache."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("run")
    (root / "segments/first").mkdir(parents=True)
    for name, path in clips.items():
        shutil.copyfile(path, root / "segments/first" / name)
    (root / "segments/first/text.mp4").write_text("no video")
    names = [*NAMES, "single", "text"]
    write_json(root / "convert/sft/next_event.json", [sft_row(name, 0) for name in names[:4] + names[:1]])
    write_json(root / "convert/sft/next_event.validation.json", [])
    write_jsonl(root / "convert/grpo/next_event_mc.jsonl", [grpo_row(name, 0) for name in names[2:]])
    write_json(root / "models/base.manifest.json", {"fingerprint": "f" * 64})
    encode_all(root, tiny_checkpoint)
    return root


def datasets_of(root: Path) -> list[Path]:
    return [root / "convert/sft/next_event.json", root / "convert/grpo/next_event_mc.jsonl"]


def rows_of(root: Path) -> Iterator[tuple[Path, DatasetRow]]:
    for file in datasets_of(root):
        rows = read_rows(GrpoRow, file) if file.suffix == ".jsonl" else read_sft(file)
        yield from ((file, row) for row in rows)


def encode_all(root: Path, model: Path, encode: Encode | None = None, code: str = "0") -> None:
    shards = [root / f"encode/shards/{shard}-of-2.json" for shard in (1, 2)]
    for shard, out in enumerate(shards, start=1):
        encode_shard(
            needed=needed_clips(rows_of(root)),
            vision=VISION,
            encode=encode or Encode(batch_videos=3),
            model=model,
            model_manifest=root / "models/base.manifest.json",
            shard=shard,
            shards=2,
            run_dir=root,
            out=out,
            code=code,
        )
    merge_encode(shards, root, root / "encode/index.jsonl")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_needed_clips_are_each_named_once(run: Path, tmp_path: Path) -> None:
    needed = needed_clips(rows_of(run))
    assert [clip.key for clip in needed] == [f"{name}/first" for name in sorted([*NAMES, "single", "text"])]
    file = Path("sft/a.json")
    rows = rows_as(SftRow, [sft_row("plain", 0), {**sft_row("plain", 0), "videos": ["elsewhere.mp4"]}], "")
    with pytest.raises(InputError, match=r"sft/a\.json: plain/first is elsewhere.mp4"):
        needed_clips((file, row) for row in rows)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_what_a_training_takes_is_selected_and_nothing_else(stage: str, tmp_path: Path) -> None:
    taken, held_out = ([f"{part}-{n}" for n in range(20)] for part in ("train", "validation"))
    for name, names in (("next_event", taken), ("next_event.validation", held_out)):
        write_json(tmp_path / f"sft/{name}.json", [{**sft_row(video, 0), "id": video} for video in names])
    rows = [{**grpo_row(video, 0), "id": video, "part": video.split("-")[0]} for video in taken + held_out]
    write_jsonl(tmp_path / "grpo/next_event.jsonl", rows)
    recipe = Sft(datasets={"next_event": 5}) if stage == "sft" else Grpo(datasets={"next_event": 5})
    selection = Selection("nep-sft", stage, recipe.datasets, balance_sources=False, validation_samples=3)
    found = {row.video_id for _, row in selection.rows(tmp_path, seed=4)}
    file = {"next_event": tmp_path / dataset_file(stage, "next_event")}
    if stage == "sft":
        parts = [select_sft(file, recipe, 4)["next_event"], select_sft_validation(file, 3, 4)["next_event"]]
    else:
        parts = list(select_grpo(file, recipe, 3, 4).values())
    assert [len(part) for part in parts] == [5, 3]
    assert found == {row.video_id for part in parts for row in part}
    # A training with a seed of its own draws with that one.
    assert found == {row.video_id for _, row in replace(selection, seed=4).rows(tmp_path, seed=0)}
    assert found != {row.video_id for _, row in replace(selection, seed=5).rows(tmp_path, seed=4)}
    both = [row for _, row in replace(selection, second_parts=stage == "grpo").rows(tmp_path, seed=4)]
    shown = {clip.path for clip in needed_clips((tmp_path, row) for row in both)}
    seconds = [f"segments/second/{row.video_id}.mp4" for row in parts[0]] if stage == "grpo" else []
    assert shown == {row.videos[0] for part in parts for row in part} | set(seconds)
    with pytest.raises(InputError, match=rf"{stage}\.datasets: no data set 'other'"):
        list(Selection("", stage, {"other": None}, False, 0).rows(tmp_path, seed=4))


def test_clips_come_in_order_and_as_early_as_they_can() -> None:
    needed = [NeededClip(f"{name}/first", name, "first", "") for name in "abcd"]
    pulled = []

    def outcomes() -> Iterator[tuple[str, str]]:
        for name in "cad":
            pulled.append(name)
            yield f"{name}/first", name

    ordered = in_order(needed, {"b/first": "kept"}, outcomes())
    seen = [(clip.video_id, outcome, "".join(pulled)) for clip, outcome in ordered]
    assert seen == [("a", "a", "ca"), ("b", "kept", "ca"), ("c", "c", "ca"), ("d", "d", "cad")]


def test_index_and_quarantine(run: Path) -> None:
    rows = read_jsonl(run / "encode/index.jsonl")
    assert [entry["key"] for entry in rows] == [f"{name}/first" for name in NAMES]
    plain = next(entry for entry in rows if entry["video_id"] == "plain")
    assert {key: plain[key] for key in ("frames", "height", "width", "fps", "grid")} == {
        **{"frames": 8, "height": 84, "width": 140, "fps": 12.0, "grid": [4, 6, 10]},
    }
    manifests = [read_json(path) for path in sorted((run / "encode/shards").iterdir())]
    lost = {entry["id"]: entry["reason"] for manifest in manifests for entry in manifest["quarantined"]}
    assert lost == {"single/first": "too_few_frames", "text/first": "undecodable_segment"}


def test_cache_gives_what_the_evaluation_wrapper_computes(run: Path, tiny_checkpoint: Path) -> None:
    """The steps of lmms_eval.models.chat.qwen2_5_vl from a message to logits, against the cache."""
    cache = VisionCache(run / "encode", "f" * 64)
    bounds = {"max_pixels": VISION.max_pixels, "min_pixels": VISION.min_pixels}
    processor = AutoProcessor.from_pretrained(tiny_checkpoint, **bounds)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    for name in NAMES:
        key = f"{name}/first"
        video = {"type": "video", "video": str(run / f"segments/first/{name}.mp4"), **bounds}
        video["nframes"] = len(cache.frames(key))
        messages = [{"role": "user", "content": [video, {"type": "text", "text": "What happens next?"}]}]
        text = processor.apply_chat_template([messages], tokenize=False, add_generation_prompt=True)
        _, videos, _ = process_vision_info([messages], return_video_kwargs=True, return_video_metadata=True)
        inputs = processor(
            text=text,
            videos=[pixels for pixels, _ in videos],
            video_metadata=[metadata for _, metadata in videos],
            return_tensors="pt",
        )
        assert inputs["video_grid_thw"].tolist() == [list(cache.placeholder(key).grid)]
        assert float(inputs["second_per_grid_ts"][0]) == cache.placeholder(key).second_per_grid
        with torch.no_grad():
            expected = model(**inputs).logits
            inputs.pop("pixel_values_videos")
            features = BaseModelOutputWithPooling(pooler_output=[cache.features(key)])
            found = model(**inputs, mm_encoder_outputs={"video": features}).logits
        assert torch.allclose(found, expected, atol=2e-6, rtol=0)


def test_kept_features_do_not_depend_on_the_other_clips(run: Path, tiny_checkpoint: Path) -> None:
    """A batch of clips of unequal sizes gives each the features that it has alone (to rounding)."""
    before = {key: VisionCache(run / "encode").features(key).clone() for key in VisionCache(run / "encode")}
    encode_all(run, tiny_checkpoint, Encode(batch_videos=1))
    after = VisionCache(run / "encode")
    assert all(torch.allclose(before[key], after.features(key), atol=1e-5) for key in before)
    encode_all(run, tiny_checkpoint)


def test_equal_bytes_each_time(run: Path, tiny_checkpoint: Path) -> None:
    before = contents(run / "encode")
    assert "frames/1-of-2.safetensors" in before
    encode_all(run, tiny_checkpoint, code="another, so that nothing is taken over")
    assert contents(run / "encode") == before


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the clips that the stage gives to its workers."""
    asked: list[str] = []

    def noted(function: object, tasks: list[ClipTask], **options: object) -> object:
        asked.extend(task.key for task in tasks)
        return run_items(function, tasks, **options)

    monkeypatch.setattr("nep.encode.stage.run_items", noted)
    return asked


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, without the two clips that cannot be read."""
    shutil.copytree(run, tmp_path / "own")
    write_json(tmp_path / "own/convert/sft/next_event.json", [sft_row(name, 0) for name in NAMES])
    write_jsonl(tmp_path / "own/convert/grpo/next_event_mc.jsonl", [])
    return tmp_path / "own"


def identities(run: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the cache files, by kind and shard."""
    files = sorted((run / "encode").rglob("*.safetensors"))
    return {f"{path.parent.name}/{path.name}": (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_a_further_clip_is_the_only_one_read(own_run: Path, tiny_checkpoint: Path, reads: list[str]) -> None:
    encode_all(own_run, tiny_checkpoint)
    before, reads[:] = identities(own_run), []
    for manifest in (own_run / "encode/shards").iterdir():
        manifest.unlink()
    shutil.copyfile(own_run / "segments/first/plain.mp4", own_run / "segments/first/further.mp4")
    write_jsonl(own_run / "convert/grpo/next_event_mc.jsonl", [grpo_row("further", 0)])
    encode_all(own_run, tiny_checkpoint)
    assert reads == ["further/first"]
    grown = f"{shard_of('further/first', 2)}-of-2.safetensors"
    assert len(before) == 4
    assert {name for name, identity in identities(own_run).items() if before[name] != identity} == {
        f"frames/{grown}",
        f"features/{grown}",
    }
    after = contents(own_run / "encode")
    encode_all(own_run, tiny_checkpoint, code="another, so that nothing is taken over")
    assert contents(own_run / "encode") == after


def test_what_has_changed_is_made_again(own_run: Path, tiny_checkpoint: Path, reads: list[str]) -> None:
    encode_all(own_run, tiny_checkpoint)
    before, reads[:] = contents(own_run / "encode"), []
    encode_all(own_run, tiny_checkpoint)
    assert reads == []
    shutil.copyfile(own_run / "segments/first/short.mp4", own_run / "segments/first/plain.mp4")
    encode_all(own_run, tiny_checkpoint)
    assert reads == ["plain/first"]
    assert len(VisionCache(own_run / "encode").frames("plain/first")) == 2
    shutil.copyfile(own_run / "segments/first/bt709.mp4", own_run / "segments/first/plain.mp4")
    encode_all(own_run, tiny_checkpoint, Encode(batch_videos=3, dtype="bfloat16"))
    assert reads == ["plain/first"] * 2
    assert VisionCache(own_run / "encode").features("plain/first").dtype == torch.bfloat16
    damaged = own_run / "encode/frames" / f"{shard_of('plain/first', 2)}-of-2.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    encode_all(own_run, tiny_checkpoint)
    assert sorted(reads[2:]) == sorted(f"{name}/first" for name in NAMES if sharing(name, "plain"))
    assert contents(own_run / "encode") != before


def sharing(name: str, other: str) -> bool:
    return shard_of(f"{name}/first", 2) == shard_of(f"{other}/first", 2)


def test_a_clip_that_could_not_be_read_is_tried_again(own_run: Path, tiny_checkpoint: Path, reads: list[str]) -> None:
    write_jsonl(own_run / "convert/grpo/next_event_mc.jsonl", [grpo_row("late", 0)])
    encode_all(own_run, tiny_checkpoint)
    shutil.copyfile(own_run / "segments/first/plain.mp4", own_run / "segments/first/late.mp4")
    reads.clear()
    encode_all(own_run, tiny_checkpoint)
    assert reads == ["late/first"]
    assert "late/first" in VisionCache(own_run / "encode")


def test_missing_key_and_other_model(run: Path) -> None:
    cache = VisionCache(run / "encode")
    assert "plain/first" in cache
    assert "text/first" not in cache
    with pytest.raises(InputError, match="no clip 'text/first' in the cache"):
        cache.frames("text/first")
    with pytest.raises(InputError, match="made with the model of fingerprint fff"):
        VisionCache(run / "encode", "0" * 64).frames("plain/first")


def test_without_features(run: Path, tiny_checkpoint: Path) -> None:
    encode_all(run, tiny_checkpoint, Encode(features=False))
    cache = VisionCache(run / "encode")
    assert not cache.has_features
    assert cache.frames("plain/first").dtype == torch.uint8
    with pytest.raises(InputError, match=r"encode\.features"):
        cache.features("plain/first")
    encode_all(run, tiny_checkpoint)
    assert VisionCache(run / "encode").has_features


def test_merge_finds_a_changed_file_and_a_missing_shard(run: Path, tmp_path: Path) -> None:
    shards = sorted((run / "encode/shards").iterdir())
    with pytest.raises(InputError, match="not the complete set"):
        merge_encode(shards[:1], run, tmp_path / "index.jsonl")
    manifest = read_json(shards[0])
    manifest["frames"]["sha256"] = "0"
    write_json(tmp_path / "1-of-2.json", manifest)
    with pytest.raises(InputError, match="not the file that shard 1-of-2 wrote"):
        merge_encode([tmp_path / "1-of-2.json", shards[1]], run, tmp_path / "index.jsonl")
    assert not (tmp_path / "index.jsonl").exists()


def test_a_training_reads_its_own_part_which_other_clips_do_not_change(
    own_run: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    encode_all(own_run, tiny_checkpoint)
    index, part = own_run / "encode/index.jsonl", tmp_path / "parts/nep-sft.jsonl"
    keys = [f"{name}/first" for name in (*NAMES[:2], "text")]
    write_parts(index, {part: keys})
    before = part.read_bytes()
    assert [row["key"] for row in read_jsonl(part)] == keys[:2]
    assert list(VisionCache(own_run / "encode", index=part)) == keys[:2]
    for name in ("further", "more"):
        shutil.copyfile(own_run / "segments/first/plain.mp4", own_run / f"segments/first/{name}.mp4")
    write_jsonl(own_run / "convert/grpo/next_event_mc.jsonl", [grpo_row("further", 0), grpo_row("more", 0)])
    encode_all(own_run, tiny_checkpoint)
    write_parts(index, {part: keys})
    assert len(read_jsonl(index)) == len(NAMES) + 2 and part.read_bytes() == before
    encode_all(own_run, tiny_checkpoint, Encode(batch_videos=3, dtype="bfloat16"))
    write_parts(index, {part: keys})
    assert part.read_bytes() != before


SELECTIONS = [
    {"name": "", "stage": stage, "datasets": {name: None}, "balance_sources": False, "validation_samples": 0}
    for stage, name in (("sft", "next_event"), ("grpo", "next_event_mc"))
]


def encode_command(run: Path, model: Path, out: Path) -> list[str]:
    options = {
        "--vision": VISION.model_dump_json(),
        "--encode": Encode(batch_videos=3).model_dump_json(),
        "--model": model,
        "--model-manifest": run / "models/base.manifest.json",
        "--processes": 2,
        "--shard": 1,
        "--shards": 2,
        "--selections": json.dumps(SELECTIONS),
        "--convert-dir": run / "convert",
        "--seed": 0,
        "--run-dir": run,
        "--out": out,
    }
    words = [str(part) for item in options.items() for part in item]
    return [sys.executable, str(SCRIPTS / "encode_shard.py"), *words]


def test_killed_while_writing_then_finished_gives_equal_bytes(run: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    for part in ("segments", "convert", "models"):
        shutil.copytree(run / part, tmp_path / part)
    command = encode_command(tmp_path, tiny_checkpoint, tmp_path / "encode/shards/1-of-2.json")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (tmp_path / "encode").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert (tmp_path / "encode").exists()
    (tmp_path / "encode/frames/.1-of-2.safetensors.left").mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    expected = {name: data for name, data in contents(run / "encode").items() if "1-of-2" in name}
    assert contents(tmp_path / "encode") == expected
    assert not list((tmp_path / "encode/frames").glob(".*"))


def test_unknown_model_family(run: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps({"model_type": "no_such_family"}))
    command = encode_command(run, tmp_path / "base", tmp_path / "1-of-2.json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path / 'base'}: no processor can be loaded" in done.stderr
    assert not (tmp_path / "1-of-2.json").exists()
