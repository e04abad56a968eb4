"""The encode stage: one shard of the cache.

A shard is the unit of resumption: it is read in minutes, and features do not depend on where an earlier try stopped.
A shard that was finished before is not made again where its clips are the same; else only its new clips are read.
Its frames are held in memory until they are written (about 1.4 MB a clip of 32 frames of 16,384 pixels).
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from nep.encode.frames import ClipTask, Unreadable, read_clip
from nep.encode.kept import KeptShard
from nep.encode.needed import NeededClip
from nep.files import atomic_path, confined, drop_unfinished, read_json, sha256_of_file, sha256_of_json, write_json
from nep.jobs.ahead import one_ahead
from nep.jobs.shards import shard_name, shard_of
from nep.jobs.workers import Failure, run_items
from nep.model.clip import Clip
from nep.model.family import Placeholder, load_processor, placeholder_of, resizing_of
from nep.model.resizing import OwnSize, Resizing
from nep.rows.clip import METADATA_KEY, CacheFile, EncodedClip, EncodedShard
from nep.rows.quarantine import Quarantined, Reason

STAGE = "encode"
_DECIDE_FEATURES = {"features", "dtype", "batch_videos"}


def encode_shard(
    needed: Sequence[NeededClip],
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
    """Cache the frames, and the features if `encode.features`, of one shard's clips of those that are needed (sorted);
    write its manifest to `out`.

    Clips are read by worker processes, and prepared for the vision tower in a thread, while the tower works on those
    before them. `code` is the fingerprint of the stage's logic: what an earlier run has made is taken over only where
    the logic is the same.
    """
    name = shard_name(shard, shards)
    for kind in ("frames", "features"):
        drop_unfinished(_cache_file(run_dir, kind, name))
    fingerprint = read_json(model_manifest)["fingerprint"]
    processor = load_processor(model)
    needed = [clip for clip in needed if shard_of(clip.key, shards) == shard]
    resizing = resizing_of(processor)
    if isinstance(resizing, OwnSize):
        print(f"{name}: the model takes frames of its own size, vision.*_pixels do not count", file=sys.stderr)
    digests = _digests(needed, run_dir)
    key = {"model": fingerprint, "encode": encode.model_dump(include=_DECIDE_FEATURES), "clips": digests}
    kept = KeptShard(run_dir / "work" / STAGE / _fingerprint(vision, resizing, code) / f"{name}.json", run_dir)
    if (manifest := kept.manifest(key)) is not None:
        write_json(out, manifest.to_json())
        return
    # First: where it cannot be loaded, no clip is read in vain.
    encoder = FeatureEncoder(model, encode.dtype) if encode.features else None
    clips = kept.clips(digests)
    missing = [clip for clip in needed if clip.key not in clips]
    quarantined: list[Quarantined] = []
    outcomes = in_order(needed, clips, _read(missing, vision, encode, resizing, run_dir, name))
    usable = _usable(outcomes, clips, quarantined)
    rows, features = _encoded(usable, processor, encoder, encode.batch_videos, name)
    clips = dict(sorted(clips.items()))
    metadata = {"model": fingerprint, "vision": vision.model_dump()}
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
    missing: Sequence[NeededClip], vision: Vision, encode: Encode, resizing: Resizing, run_dir: Path, name: str
) -> Iterator[tuple[str, Clip | Unreadable]]:
    """What is read of the clips, by key, as it comes."""
    outcomes = run_items(
        read_clip,
        [ClipTask(clip.key, confined(run_dir, clip.path), vision, resizing) for clip in missing],
        processes=encode.processes,
        timeout_s=encode.timeout_s,
        label=f"encode {name}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        failed = isinstance(outcome, Failure)
        yield task.key, Unreadable(Reason.UNDECODABLE_SEGMENT, outcome.detail) if failed else outcome


def in_order(
    needed: Sequence[NeededClip], kept: Mapping[str, Clip], outcomes: Iterator[tuple[str, Clip | Unreadable]]
) -> Iterator[tuple[NeededClip, Clip | Unreadable]]:
    """Each needed clip as soon as it and those before it are kept or read: the order, and with it the batches of the
    tower, never depends on which was read first."""
    early: dict[str, Clip | Unreadable] = dict(kept)
    for clip in needed:
        while clip.key not in early:
            early.update([next(outcomes)])
        yield clip, early.pop(clip.key)
    # Its end stops the workers.
    early.update(outcomes)


def _usable(
    outcomes: Iterable[tuple[NeededClip, Clip | Unreadable]], clips: dict[str, Clip], quarantined: list[Quarantined]
) -> Iterator[tuple[NeededClip, Clip]]:
    """The clips that could be read, which are added to `clips`; rows of the others to `quarantined`."""
    for needed, outcome in outcomes:
        if isinstance(outcome, Clip):
            clips[needed.key] = outcome
            yield needed, outcome
        else:
            quarantined.append(Quarantined(id=needed.key, stage=STAGE, reason=outcome.reason, detail=outcome.detail))


def _encoded(
    usable: Iterator[tuple[NeededClip, Clip]],
    processor: ProcessorMixin,
    encoder: FeatureEncoder | None,
    batch_videos: int,
    name: str,
) -> tuple[list[EncodedClip], dict[str, Tensor]]:
    """Index rows of the clips, and their features by key, none without an encoder."""
    rows: list[EncodedClip] = []
    features: dict[str, Tensor] = {}
    dtype = encoder and encoder.dtype
    for batch in one_ahead(_prepared(usable, processor, batch_videos)):
        rows += [_index_row(needed, clip, placeholder, dtype, name) for needed, clip, (placeholder, _) in batch]
        if encoder is not None:
            made = encoder.features([prepared for _, _, prepared in batch])
            features |= zip([needed.key for needed, _, _ in batch], made, strict=True)
    return rows, features


def _prepared(
    usable: Iterator[tuple[NeededClip, Clip]], processor: ProcessorMixin, batch_videos: int
) -> Iterator[list[tuple[NeededClip, Clip, tuple[Placeholder, dict[str, Tensor]]]]]:
    """Batches of clips with what the tower takes of them."""
    while batch := list(itertools.islice(usable, batch_videos)):
        yield [(needed, clip, placeholder_of(processor, clip)) for needed, clip in batch]


def _index_row(needed: NeededClip, clip: Clip, placeholder: Placeholder, dtype: str | None, name: str) -> EncodedClip:
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
        # What a training's clips are told apart by. The last bits of features depend on the clips beside them in a
        # batch: other clips that are selected, for another training, change none of these.
        sha256=hashlib.sha256(clip.frames.tobytes()).hexdigest(),
        features=dtype,
    )


def _cache_file(run_dir: Path, kind: str, name: str) -> Path:
    return run_dir / STAGE / kind / f"{name}.safetensors"


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, Any], run_dir: Path) -> CacheFile:
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    return CacheFile(path=path.relative_to(run_dir).as_posix(), sha256=sha256_of_file(path))
