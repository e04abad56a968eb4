"""What training needs by the config of its start model alone: FLOPs, memory, visual tokens. No weights are read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.vision import Vision
from nep.files import read_json
from nep.model.packing import Branch, Tree
from nep.train.engine import deepspeed_config
from nep.train.runtime.flops import forward_flops, training_flops, weights_read
from nep.train.runtime.preflight import Line, ModelSize, memory_lines, meta_model, size_of

# Tokens of a question or an instruction, and of an answer of SFT, assumed before any text is at hand.
PROMPT_TOKENS, ANSWER_TOKENS = 300, 100


@dataclass(frozen=True)
class TrainingCost:
    """One training, of samples: in GRPO a question with all its completions at their full length.

    Attributes:
        size: of the model. read: its weights that a decoded token reads. zero: DeepSpeed's stage.
        prompt, tokens: of a sample, before its answers and in all.
        flops: of a sample's update, what is computed again and the reference model included. forward: of one pass.
        memory: of each process.
    """

    size: ModelSize
    read: int
    zero: int
    prompt: int
    tokens: int
    flops: float
    forward: float
    memory: list[Line]


@dataclass(frozen=True)
class VisualShape:
    """What the encode stage caches of a full clip: visual tokens, of `hidden` numbers each."""

    tokens: int
    hidden: int


def visual_shape(folder: Path, vision: Vision) -> VisualShape | None:
    """The shape for a model that merges patches as Qwen-VL does; None for others."""
    config = read_json(folder / "config.json")
    tower = config.get("vision_config", {})
    sizes = [tower.get(key) for key in ("patch_size", "spatial_merge_size", "temporal_patch_size")]
    hidden = tower.get("out_hidden_size") or config.get("text_config", config).get("hidden_size")
    if not all(isinstance(size, int) for size in (*sizes, hidden)):
        return None
    patch, merge, frames = sizes
    return VisualShape(vision.frames // frames * (vision.max_pixels // (patch * merge) ** 2), hidden)


def training_cost(folder: Path, training: Sft | Grpo, visual: VisualShape | None, on_gpu: bool) -> TrainingCost:
    """The cost of a training from the checkpoint in `folder`; prompts are as long as their clip and an assumed text.

    Raises InputError if `folder` is not a vision-language checkpoint, or the DeepSpeed file does not fit.
    """
    model = meta_model(folder, training)
    prompt = PROMPT_TOKENS + (visual.tokens if visual else 0)
    is_grpo = isinstance(training, Grpo)
    answers = [training.max_new_tokens] * training.completions if is_grpo else [ANSWER_TOKENS]
    tree = _tree(prompt, answers)
    forward = forward_flops(model, [tree])
    again = training.gradient_checkpointing + (is_grpo and training.kl_coef > 0)
    deepspeed, size = deepspeed_config(training), size_of(model)
    return TrainingCost(
        size=size,
        read=weights_read(model),
        zero=deepspeed["zero_optimization"]["stage"],
        prompt=prompt,
        tokens=len(tree),
        flops=training_flops(model, [tree]) + again * forward,
        forward=forward,
        memory=memory_lines(size, training, deepspeed, training.nodes * training.processes, on_gpu),
    )


def _tree(prompt: int, answers: list[int]) -> Tree:
    """A tree of these lengths; the tokens themselves do not count."""
    branches = tuple(Branch(torch.zeros(answer), torch.zeros(1, answer)) for answer in answers)
    return Tree(torch.zeros(prompt), torch.zeros(1, prompt), (), branches)
