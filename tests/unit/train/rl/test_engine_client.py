"""What an engine is told: prompts, places and values of videos, weights by the names of a checkpoint, its settings."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.recipes import short_grpo
from torch import Tensor

from nep.config.training import Lora
from nep.errors import InputError
from nep.model.adapters import add_adapters, merge_adapters
from nep.train.engine import load_model
from nep.train.rl import start_rollouts as starting
from nep.train.rl.decoding import decoding_for
from nep.train.rl.engine_client import clip_tensors, completions, described, places, process_environment
from nep.train.rl.engine_weights import engine_weights


def test_prompts_go_with_their_positions_and_a_shared_clip_goes_once(parts) -> None:
    first = parts.prompts[0]
    shared = replace(parts.prompts[1], video_keys=first.video_keys)
    text = replace(first, video_keys=(), input_ids=torch.arange(3), position_ids=torch.arange(3).expand(3, -1))
    header, tensors = described([first, shared, text], parts.visuals)
    assert header["clips"] == 1
    token = parts.visuals.clip(first.video_keys[0]).token
    assert [prompt["clips"] for prompt in header["prompts"]] == [[0], [0], []]
    for number, prompt in enumerate((first, shared, text)):
        assert torch.equal(tensors[f"prompt.{number}"], prompt.input_ids)
        assert torch.equal(tensors[f"positions.{number}"], prompt.position_ids)
    ((start, end),) = header["prompts"][0]["places"]
    assert (first.input_ids[start:end] == token).all()
    assert (first.input_ids == token).sum() == end - start == len(tensors["clip.0.video_embeds"])
    assert torch.equal(tensors["clip.0.video_embeds"], parts.cache.features(first.video_keys[0]))
    assert tuple(tensors["clip.0.video_grid_thw"].tolist()) == parts.cache.placeholder(first.video_keys[0]).grid


def test_places_of_several_clips_with_text_between_their_tokens() -> None:
    visual = torch.tensor([0, 1, 1, 0, 1, 0, 1, 1, 0]).bool()
    assert places(visual, [3, 2]) == [(1, 5), (6, 8)]
    assert places(visual, []) == []


def test_families_without_one_grid_are_refused(parts) -> None:
    clip = parts.visuals.clip(parts.prompts[0].video_keys[0])
    for other in (
        replace(clip, placeholder=replace(clip.placeholder, grid=None)),
        replace(clip, features=torch.stack([clip.features] * 2)),
    ):
        with pytest.raises(InputError, match=r"clip 'k': grpo\.rollout: 'vllm' takes .* set it to 'own'"):
            clip_tensors("k", other)


def test_completions_end_where_the_engine_ended_them() -> None:
    ends = torch.tensor([False, False, True])
    answer = {
        "tokens": torch.tensor([0, 2, 1, 1, 2, 0]),
        "log_probs": -torch.arange(6.0),
        "lengths": torch.tensor([2, 2, 1, 1]),
    }
    (first, second), (third, fourth) = completions(answer, 2, ends)
    assert [item.tokens.tolist() for item in (first, second, third, fourth)] == [[0, 2], [1, 1], [2], [0]]
    assert [item.finished for item in (first, second, third, fourth)] == [True, False, True, False]
    assert second.log_probs.tolist() == [-2, -3]
    assert second.entropies.tolist() == [2, 3]


def by_name(model, with_tower: bool) -> dict[str, Tensor]:
    return dict(engine_weights(model, with_tower))


@pytest.mark.parametrize("dora", [False, True])
def test_weights_are_those_that_would_be_published(parts, dora: bool) -> None:
    model = load_model(parts.run / "models/base", short_grpo(), torch.device("cpu"))
    add_adapters(model, Lora(rank=2, dora=dora), seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight += 0.1
    found = by_name(model, with_tower=True)
    merge_adapters(model)
    published = dict(model.named_parameters())
    assert found.keys() == published.keys()
    assert all(torch.equal(found[name], weight) for name, weight in published.items())
    plain = dict(parts.model.named_parameters())
    changed = {name for name, weight in plain.items() if not torch.equal(found[name], weight)}
    assert changed and all("language_model.layers" in name for name in changed)
    without = by_name(model, with_tower=False)
    assert without.keys() == {name for name in published if "visual" not in name}


def test_an_engine_has_room_for_a_whole_step_and_no_more_positions_than_the_model(
    engine_of, parts, paths_to, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(starting, "VllmRollout", lambda *arguments: told.append(arguments))
    monkeypatch.setattr(starting, "find_environment", lambda folder: folder)
    grpo = short_grpo(rollout="vllm", rollout_environment="engine", prompts_per_step=5, rollout_timeout_s=7)
    engine = engine_of(grpo)
    decoding = decoding_for(engine.model, parts.processor, 1.0, 6)
    starting.start_rollouts(grpo, engine, decoding, parts.visuals, paths_to(tmp_path))
    ((environment, settings, _, _, log),) = told
    assert (environment, settings.dtype, settings.within_s) == ("engine", "float32", 7)
    assert settings.max_tokens == 4096
    assert settings.sequences == 5 * 3
    assert (settings.device, settings.shared) == (None, False)
    text = engine.model.config.get_text_config()
    needed = (5 * grpo.max_prompt_tokens + 15 * grpo.max_new_tokens) * 2 * text.num_hidden_layers * text.hidden_size * 4
    assert settings.cache_bytes > needed
    assert log == tmp_path / "logs/rollouts" / f"{tmp_path.name}-0.log"
    variables = process_environment(settings)
    assert variables["CUDA_VISIBLE_DEVICES"] == "" and "VLLM_ALLOW_INSECURE_SERIALIZATION" not in variables


def test_gpus_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """By arithmetic on what torch would say: this machine has none."""
    grpo = short_grpo(rollout="vllm", processes=2)
    assert starting.engine_device(grpo, 1) == 1
    own = grpo.model_copy(update={"rollout_gpus": "own"})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [starting.engine_device(own, number) for number in range(2)] == [2, 3]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"'own' needs 4 GPUs on each node .* sees 2"):
        starting.engine_device(own, 0)
