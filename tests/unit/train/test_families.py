"""Every model family goes the whole way: encode, SFT, GRPO, lmms-eval; tokens, positions and pixels are its own."""

import itertools
import shutil
from pathlib import Path

import av
import pytest
import torch
from lmms_eval.api.instance import Instance
from support.families import FAMILIES, save_family
from support.training_run import grpo_row, sft_row
from torchvision.transforms.v2 import functional as transforms
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.video_utils import VideoMetadata

from nep.config.encode import Encode
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.encode.features import FeatureEncoder
from nep.encode.frames import decode_clip
from nep.encode.index import merge_encode
from nep.encode.needed import needed_clips
from nep.encode.stage import encode_shard
from nep.errors import InputError
from nep.evaluate.agreement import Check, compare_logits
from nep.evaluate.family_model import FamilyModel
from nep.files import read_json, read_jsonl, write_json, write_jsonl
from nep.model.attention import can_pack
from nep.model.family import load_processor, placeholder_of, resizing_of, vision_features
from nep.model.log_probs import policy_logits
from nep.model.packing import pack_row, tree_of
from nep.model.param_groups import part_of
from nep.model.resizing import OwnSize
from nep.model.samples import SampleBuilder, content_parts, video_keys
from nep.model.scoring import Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.base import read_rows
from nep.rows.dataset import GrpoRow, read_sft
from nep.train.engine import load_model
from nep.train.rl.decoding import decoding_for
from nep.train.rl.grpo import train_grpo
from nep.train.rl.rollout import Rollout
from nep.train.runtime.options import RunPaths
from nep.train.sft import train_sft
from nep.video.tools import run_ffmpeg

VISION = Vision(frames=4, min_pixels=784, max_pixels=6272)
CLIPS = {"video-0": ("96x64", 8), "video-1": ("64x96", 6)}
FAMILY_NAMES = list(FAMILIES)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family_clips")
    for name, (size, rate) in CLIPS.items():
        picture = f"testsrc2=size={size}:rate={rate}:duration=2"
        run_ffmpeg(["-v", "error", "-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", str(folder / f"{name}.mp4")])
    return folder


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def run(request: pytest.FixtureRequest, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a random model of a family, its data sets and its vision cache."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp(request.param)
    save_family(request.param, root / "models/base")
    shutil.copytree(clips, root / "segments/first")
    write_json(root / "models/base.manifest.json", {"fingerprint": "f" * 64})
    write_json(root / "convert/sft/next_event.json", [sft_row(name, index) for index, name in enumerate(CLIPS)])
    write_json(root / "convert/sft/next_event.validation.json", [])
    write_jsonl(root / "convert/grpo/next_event_mc.jsonl", [grpo_row(name, 0) for name in CLIPS])
    manifest = root / "encode/shards/1-of-1.json"
    encode_shard(
        needed=needed_clips((root, row) for row in read_sft(root / "convert/sft/next_event.json")),
        vision=VISION,
        encode=Encode(processes=1, batch_videos=2),
        model=root / "models/base",
        model_manifest=root / "models/base.manifest.json",
        shard=1,
        shards=1,
        run_dir=root,
        out=manifest,
        code="0",
    )
    merge_encode([manifest], root, root / "encode/index.jsonl")
    return root


def test_the_tower_alone_makes_the_features_of_the_whole_model(run: Path) -> None:
    processor, encoder = load_processor(run / "models/base"), FeatureEncoder(run / "models/base", "float32")
    whole = AutoModelForImageTextToText.from_pretrained(run / "models/base", dtype=torch.float32).eval()
    paths = [run / "segments/first" / f"{name}.mp4" for name in CLIPS]
    made = [placeholder_of(processor, decode_clip(path, VISION, resizing_of(processor))) for path in paths]
    with torch.no_grad():
        expected = vision_features(whole, [inputs for _, inputs in made], made[0][0].modality)
    assert all(map(torch.equal, encoder.features(made), expected))
    tensors = dict(itertools.chain(encoder.model.named_parameters(), encoder.model.named_buffers()))
    language_model = {id(parameter): name for name, parameter in whole.named_parameters()}
    text = {language_model[id(parameter)] for parameter in whole.get_decoder().parameters()} | {"lm_head.weight"}
    assert tensors and not text & tensors.keys() and not any(tensor.is_meta for tensor in tensors.values())
    assert dict(whole.named_parameters()).keys() - text <= tensors.keys()


def family_inputs(run: Path, name: str, resize: bool) -> tuple[torch.Tensor, VideoMetadata]:
    """The sampled frames of a clip, (T, 3, H, W), from a plain decode of all of it, and their metadata."""
    path = run / "segments/first" / f"{name}.mp4"
    with av.open(str(path)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        rate = float(container.streams.video[0].average_rate)
    places = torch.linspace(0, len(frames) - 1, VISION.frames).round().long().tolist()
    chosen = torch.stack([frames[place] for place in places]).permute(0, 3, 1, 2)
    if resize:
        height, width = VisionCache(run / "encode").frames(f"{name}/first").shape[1:3]
        chosen = transforms.resize(chosen.float(), [height, width], transforms.InterpolationMode.BICUBIC)
        chosen = chosen.clamp(0, 255).round().to(torch.uint8)
    metadata = VideoMetadata(total_num_frames=len(frames), fps=rate, duration=len(frames) / rate, frames_indices=places)
    return chosen, metadata


def by_the_processor(run: Path, name: str, messages: list[dict[str, str]], generate: bool) -> dict[str, torch.Tensor]:
    """What the family's own processor makes of a conversation about a clip."""
    processor = AutoProcessor.from_pretrained(run / "models/base")
    own_size = isinstance(resizing_of(processor), OwnSize)
    frames, metadata = family_inputs(run, name, resize=not own_size)
    structured = [{"role": turn["role"], "content": content_parts(turn["content"])} for turn in messages]
    text = processor.apply_chat_template(structured, tokenize=False, add_generation_prompt=generate)
    return processor(
        text=[text],
        videos=[frames],
        video_metadata=[metadata],
        do_resize=own_size,
        do_sample_frames=False,
        return_tensors="pt",
    )


def test_tokens_positions_pixels_and_loss_are_those_of_the_family(run: Path) -> None:
    processor = load_processor(run / "models/base")
    model = load_model(run / "models/base", Sft(), torch.device("cpu")).eval()
    cache = VisionCache(run / "encode")
    builder = SampleBuilder(processor, model, cache)
    for row in read_sft(run / "convert/sft/next_event.json"):
        sample = builder.dialogue(row.id, row.turns, video_keys(row))
        own = by_the_processor(run, row.video_id, row.turns, generate=False)
        assert sample.input_ids.tolist() == own["input_ids"][0, : len(sample)].tolist()

        clip = decode_clip(run / row.videos[0], VISION, resizing_of(processor))
        _, inputs = placeholder_of(processor, clip)
        for name, tensor in inputs.items():
            torch.testing.assert_close(tensor.reshape(own[name].shape), own[name], rtol=0, atol=1e-5)

        logits = model(**own).logits[0, sample.prompt_length - 1 : len(sample) - 1]
        labels = own["input_ids"][0, sample.prompt_length : len(sample)]
        expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        weights = [weight for name, weight in model.named_parameters() if part_of(name) == "language_model"]
        wanted = torch.autograd.grad(expected.sum(), weights, allow_unused=True)
        for freeze in (Sft().freeze, []):
            visuals = Visuals(cache, processor, freeze, torch.device("cpu"))
            packed = pack_row([tree_of([sample])], visuals, can_pack(model.config), torch.device("cpu"))
            scores = -Scorer(model)(packed.inputs, packed.rows, packed.targets)[0]
            torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
            found = torch.autograd.grad(scores.sum(), weights, allow_unused=True)
            for one, other in zip(found, wanted, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        model.set_attn_implementation("sdpa")


def test_greedy_completions_are_those_of_generate(run: Path) -> None:
    processor = load_processor(run / "models/base")
    model = load_model(run / "models/base", Grpo(), torch.device("cpu")).eval()
    cache = VisionCache(run / "encode")
    builder = SampleBuilder(processor, model, cache)
    rows = read_rows(GrpoRow, run / "convert/grpo/next_event_mc.jsonl")
    turns = [[{"role": "user", "content": row.problem}] for row in rows]
    prompts = [builder.prompt(row.id, turn, video_keys(row)) for row, turn in zip(rows, turns, strict=True)]
    decoding = decoding_for(model, processor, temperature=1.0, limit=6)
    visuals = Visuals(cache, processor, Grpo().freeze, torch.device("cpu"))
    rollout = Rollout(decoding, captured=False)
    found = rollout(model, prompts, visuals, draws=None)
    draws = torch.rand(len(prompts), 3, decoding.limit, dtype=torch.float64)
    sampled = rollout(model, prompts, visuals, draws)
    banned = decoding.banned.nonzero()[:, 0].tolist()
    for row, turn, prompt, (completion,), group in zip(rows, turns, prompts, found, sampled, strict=True):
        own = by_the_processor(run, row.video_id, turn, generate=True)
        made = model.generate(**own, do_sample=False, max_new_tokens=decoding.limit, suppress_tokens=banned)
        assert completion.tokens.tolist() == made[0, len(prompt) :].tolist()
        for item in group:
            logits = policy_logits(plain_logits(model, visuals, prompt, item.tokens), decoding.banned, 1.0)
            probable = logits.log_softmax(-1).gather(-1, item.tokens[:, None])[:, 0]
            torch.testing.assert_close(item.log_probs, probable, rtol=0, atol=1e-4)


def plain_logits(model, visuals: Visuals, prompt, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of each completion token from one plain forward pass without cache."""
    start = int(prompt.position_ids.max()) + 1
    steps = torch.arange(start, start + len(tokens) - 1).expand(len(prompt.position_ids), -1)
    positions = torch.cat([prompt.position_ids, steps], dim=1)
    with torch.no_grad():
        logits = model(
            input_ids=torch.cat([prompt.input_ids, tokens[:-1]])[None],
            position_ids=positions if len(positions) == 1 else positions[:, None],
            use_cache=False,
            **visuals.inputs(prompt.video_keys),
        ).logits[0, len(prompt) - 1 :]
    return logits


def test_lmms_eval_gets_the_familys_own_completions(run: Path, tmp_path: Path) -> None:
    wrapper = FamilyModel(str(run / "models/base"), **VISION.model_dump(), device="cpu", batch_size=2, dtype="float32")
    wrapper.task_dict = {"task": {"test": list(CLIPS)}}
    settings = {"max_new_tokens": 6}

    def messages(name: str) -> list[dict]:
        video = {"type": "video", "url": str(run / f"segments/first/{name}.mp4")}
        return [{"role": "user", "content": [video, {"type": "text", "text": "Next?"}]}]

    requests = [
        Instance(
            request_type="generate_until",
            arguments=("", messages, settings, doc, "task", "test"),
            idx=0,
            metadata={"task": "task", "doc_id": doc, "repeats": 1},
        )
        for doc in range(len(CLIPS))
    ]
    found = [text for request in requests for text in wrapper.generate_until([request])]
    for name, text in zip(CLIPS, found, strict=True):
        own = by_the_processor(run, name, [{"role": "user", "content": "<video>Next?"}], generate=True)
        made = wrapper.model.generate(**own, do_sample=False, max_new_tokens=6)[:, own["input_ids"].shape[1] :]
        assert text == wrapper.processor.batch_decode(made, skip_special_tokens=True)[0]

    check = Check("task", 1, VISION, Encode(), tmp_path / "check.json")
    compared = compare_logits(wrapper, wrapper.generate_until, requests, check)
    assert compared["same_tokens"] and compared["same_choice"]
    assert compared["largest_difference"] <= 1e-3 * compared["largest_logit"]


def test_sft_then_grpo_and_the_published_model_generates(run: Path, tmp_path: Path, torch_settings: None) -> None:
    stages = [
        ("sft", run / "models/base", train_sft, Sft(epochs=3, batch_size=2, lr=1e-3, threads=1)),
        (
            "grpo",
            tmp_path / "sft/model",
            train_grpo,
            Grpo(steps=2, prompts_per_step=2, completions=2, max_new_tokens=5, lr=1e-3, threads=1),
        ),
    ]
    for name, model, train, settings in stages:
        paths = RunPaths(
            convert=run / "convert",
            encode=run / "encode",
            index=run / "encode/index.jsonl",
            model=model,
            model_manifest=run / "models/base.manifest.json",
            run=tmp_path,
            out=tmp_path / name,
        )
        train(settings, 0, "next_event", paths)
        rows = read_jsonl(tmp_path / name / "metrics.jsonl")
        assert len(rows) == (3 if name == "sft" else 2)
        assert all(torch.isfinite(torch.tensor(row["loss"])) and row["grad_norm"] > 0 for row in rows)
    trained = AutoModelForImageTextToText.from_pretrained(tmp_path / "grpo/model").eval()
    own = by_the_processor(run, "video-0", [{"role": "user", "content": "<video>Next?"}], generate=True)
    assert trained.generate(**own, do_sample=False, max_new_tokens=3).shape[1] > own["input_ids"].shape[1]


def test_a_family_without_video_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    folder = save_family("Qwen2.5-VL", tmp_path / "base")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config["text_config"], "model_type": "qwen2"})
    with pytest.raises(InputError, match="'qwen2' is not supported: transformers has no AutoModelForImageTextToText"):
        load_processor(folder)
