"""The encode stage: one shard of the cache.

A shard is the unit of resumption: it is read in minutes, and features do not depend on where an earlier try stopped.
A shard that was finished before is not made again where its clips are the same; else only its new clips are read.
Its frames are held in memory until they are written (about 1.4 MB a clip of 32 frames of 16,384 pixels).
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import ProcessorMixin

from nep.config.encode import Encode
from nep.config.vision import Vision
from nep.encode.features import FeatureEncoder
from nep.encode.frames import ClipTask, read_clip
from nep.encode.kept import KeptShard
from nep.encode.needed import NeededClip, needed_clips
from nep.files import atomic_path, confined, drop_unfinished, read_json, sha256_of_file, sha256_of_json, write_json
from nep.jobs.shards import shard_name, shard_of
from nep.jobs.workers import Failure, run_items
from nep.model.clip import Clip
from nep.model.family import Placeholder, load_processor, placeholder_of, resizing_of
from nep.model.resizing import OwnSize, Resizing
from nep.model.vision_cache import METADATA_KEY
from nep.rows.clip import CacheFile, EncodedClip, EncodedShard
from nep.rows.quarantine import Quarantined, Reason

STAGE = "encode"
_DECIDE_FEATURES = {"features", "dtype", "batch_videos"}


def encode_shard(
    datasets: Sequence[Path],
    vision: Vision,
    encode: Encode,
    model: Path,
    model_manifest: Path,
    shard: int,
    shards: int,
    run_dir: Path,
    out: Path,
    code: str,
) -> None:
    """Cache the frames, and the features if `encode.features`, of one shard's clips; write its manifest to `out`.

    `code` is the fingerprint of the stage's logic: what an earlier run has made is taken over only where the logic is
    the same.
    """
    name = shard_name(shard, shards)
    for kind in ("frames", "features"):
        drop_unfinished(_cache_file(run_dir, kind, name))
    fingerprint = read_json(model_manifest)["fingerprint"]
    processor = load_processor(model)
    needed = [clip for clip in needed_clips(datasets) if shard_of(clip.key, shards) == shard]
    resizing = resizing_of(processor)
    if isinstance(resizing, OwnSize):
        print(f"{name}: the model takes frames of its own size, vision.*_pixels do not count", file=sys.stderr)
    digests = _digests(needed, run_dir)
    key = {"model": fingerprint, "encode": encode.model_dump(include=_DECIDE_FEATURES), "clips": digests}
    kept = KeptShard(run_dir / "work" / STAGE / _fingerprint(vision, resizing, code) / f"{name}.json", run_dir)
    if (manifest := kept.manifest(key)) is not None:
        write_json(out, manifest.to_json())
        return
    clips = kept.clips(digests)
    missing = [clip for clip in needed if clip.key not in clips]
    read, quarantined = _read(missing, vision, encode, resizing, run_dir, name)
    clips = dict(sorted({**clips, **read}.items()))
    metadata = {"model": fingerprint, "vision": vision.model_dump()}
    encoder = FeatureEncoder(model, encode.dtype) if encode.features else None
    usable = [clip for clip in needed if clip.key in clips]
    rows, features = _encoded(usable, clips, processor, encoder, encode.batch_videos, name)
    frames = {key: torch.from_numpy(clip.frames) for key, clip in clips.items()}
    features_file = _cache_file(run_dir, "features", name)
    if encoder is None:
        features_file.unlink(missing_ok=True)
    manifest = EncodedShard(
        shard=name,
        model=fingerprint,
        clips=rows,
        quarantined=quarantined,
        frames=_save(frames, _cache_file(run_dir, "frames", name), metadata, run_dir),
        features=encoder and _save(features, features_file, {**metadata, "dtype": encode.dtype}, run_dir),
    )
    kept.store(clips, digests, key, manifest)
    write_json(out, manifest.to_json())


def _digests(needed: Sequence[NeededClip], run_dir: Path) -> dict[str, str]:
    """SHA-256 of the clips' files by key; a file that is missing has none."""
    paths = {clip.key: confined(run_dir, clip.path) for clip in needed}
    return {key: sha256_of_file(path) for key, path in paths.items() if path.is_file()}


def _fingerprint(vision: Vision, resizing: Resizing, code: str) -> str:
    versions = {library.__name__: library.__version__ for library in (av, torch, torchvision, transformers)}
    return sha256_of_json({"vision": vision.model_dump(), **resizing.recipe, "code": code, **versions})[:16]


def _read(
    needed: Sequence[NeededClip], vision: Vision, encode: Encode, resizing: Resizing, run_dir: Path, name: str
) -> tuple[dict[str, Clip], list[Quarantined]]:
    """The clips by key, and the quarantine rows of those that cannot be read."""
    tasks = [ClipTask(clip.key, confined(run_dir, clip.path), vision, resizing) for clip in needed]
    clips: dict[str, Clip] = {}
    rows: list[Quarantined] = []
    outcomes = run_items(
        read_clip,
        tasks,
        processes=encode.processes,
        timeout_s=encode.timeout_s,
        label=f"encode {name}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        if isinstance(outcome, Clip):
            clips[task.key] = outcome
            continue
        reason = Reason.UNDECODABLE_SEGMENT if isinstance(outcome, Failure) else outcome.reason
        rows.append(Quarantined(id=task.key, stage=STAGE, reason=reason, detail=outcome.detail))
    return clips, sorted(rows, key=lambda row: row.id)


def _encoded(
    usable: Sequence[NeededClip],
    clips: dict[str, Clip],
    processor: ProcessorMixin,
    encoder: FeatureEncoder | None,
    batch_videos: int,
    name: str,
) -> tuple[list[EncodedClip], dict[str, Tensor]]:
    """Index rows of the clips, and their features by key, none without an encoder."""
    rows: list[EncodedClip] = []
    features: dict[str, Tensor] = {}
    for start in range(0, len(usable), batch_videos):
        batch = usable[start : start + batch_videos]
        made = [placeholder_of(processor, clips[clip.key]) for clip in batch]
        rows += [_index_row(clip, clips[clip.key], of, name) for clip, (of, _) in zip(batch, made, strict=True)]
        if encoder is not None:
            features |= zip([clip.key for clip in batch], encoder.features(made), strict=True)
    return rows, features


def _index_row(needed: NeededClip, clip: Clip, placeholder: Placeholder, name: str) -> EncodedClip:
    count, height, width, _ = clip.frames.shape
    return EncodedClip(
        key=needed.key,
        video_id=needed.video_id,
        view=needed.view,
        shard=name,
        frames=count,
        height=height,
        width=width,
        pts=clip.pts,
        fps=clip.source_fps,
        modality=placeholder.modality,
        placeholder=placeholder.runs,
        grid=placeholder.grid,
        second_per_grid=placeholder.second_per_grid,
    )


def _cache_file(run_dir: Path, kind: str, name: str) -> Path:
    return run_dir / STAGE / kind / f"{name}.safetensors"


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, Any], run_dir: Path) -> CacheFile:
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    return CacheFile(path=path.relative_to(run_dir).as_posix(), sha256=sha256_of_file(path))
