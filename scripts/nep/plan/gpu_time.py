"""Seconds on GPUs by arithmetic, by the clock of one job. Each constant says what it assumes; no run here has confirmed
them. Not counted: loading, checkpoints, publishing, prefills."""

import math

from nep.config.evaluate import Evaluate
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.plan.training import TrainingCost
from nep.train.schedule import is_due

# Measured on an H200: FLOP/s of large bf16 products, bytes/s of a copy.
PEAK_FLOPS, BANDWIDTH = 790e12, 4.3e12
# Assumed of a training step: what it reaches of the peak, as norms, activations and attention are no large products.
TRAINING_SHARE = 0.4
# Assumed of a captured decode step: what it reaches of the bandwidth; two thirds are the goal of train_gpu.py.
DECODE_SHARE = 0.67
# Assumed of a decode step beside that: sampling, and one look at the device.
DECODE_S = 0.3e-3
# Assumed of a GPU in a collective, bytes/s: NVLink within a node, a card of 400 Gb/s for each GPU between nodes.
NVLINK, NETWORK = 300e9, 40e9
# Assumed of transformers' `generate`, which evaluation uses: a token, whose kernels take longer to launch than to run.
GENERATE_S = 0.03
# Measured on one core: reading a clip's frames (60 s of 720p, benchmarks/results/data_read.json).
READ_S = 1.3
ITEM_BYTES = {"fp32": 4, "bf16": 2, "float32": 4, "bfloat16": 2}


def sft_seconds(sft: Sft, cost: TrainingCost, samples: int, held_out: int) -> float:
    """All steps of SFT, and the loss of `held_out` samples at each validation."""
    steps = math.ceil(samples / sft.batch_size) * (sft.epochs + sft.text_only_epochs)
    validation = _each(sft, held_out) * cost.forward / (PEAK_FLOPS * TRAINING_SHARE)
    return steps * update_seconds(sft, cost) + _validations(sft, steps) * validation


def grpo_seconds(grpo: Grpo, cost: TrainingCost, samples: int, held_out: int) -> float:
    """All steps of GRPO, the choice among `samples` questions where there is one, and the validations on `held_out`
    questions, with answers of full length."""
    steps = grpo.steps * grpo_step_seconds(grpo, cost) + choosing_seconds(grpo, cost, samples)
    return steps + _validations(grpo, grpo.steps) * _asking(grpo, cost, held_out)


def grpo_step_seconds(grpo: Grpo, cost: TrainingCost) -> float:
    """A rollout, and the update on answers that all are as long as they may be."""
    return _rollout_seconds(grpo, cost) + update_seconds(grpo, cost)


def choosing_seconds(grpo: Grpo, cost: TrainingCost, samples: int) -> float:
    """What is sampled of all `samples` questions to choose among them, as many answers at once as in a step."""
    answers = 2 * grpo.visual_gain.samples if grpo.visual_gain else 0
    if grpo.difficulty:
        answers += grpo.difficulty.samples * len(range(0, grpo.steps, grpo.difficulty.refresh_every or grpo.steps))
    return samples * answers / (grpo.prompts_per_step * grpo.completions) * _rollout_seconds(grpo, cost)


def _rollout_seconds(grpo: Grpo, cost: TrainingCost) -> float:
    """A rollout whose longest answer is as long as it may be."""
    prompts = _each(grpo, grpo.prompts_per_step)
    return grpo.max_new_tokens * token_seconds(grpo, cost, prompts, grpo.completions)


def update_seconds(training: Sft | Grpo, cost: TrainingCost) -> float:
    """A step's products on the process with the most samples, and the collectives, none of it at the same time."""
    samples = _each(training, training.batch_size if isinstance(training, Sft) else training.prompts_per_step)
    products = samples * cost.flops / (PEAK_FLOPS * TRAINING_SHARE)
    return products + _collectives(training, cost, rows=math.ceil(samples * cost.tokens / training.pack_tokens))


def token_seconds(grpo: Grpo, cost: TrainingCost, prompts: int, completions: int) -> float:
    """A decoded token of `completions` of each of `prompts`, halfway to their full length: weights and cache are read
    once, each prompt's once for all its completions."""
    places = prompts * (cost.prompt + completions * grpo.max_new_tokens / 2)
    numbers = cost.read + places * cost.size.layers * cost.size.key_value
    return numbers * ITEM_BYTES[grpo.precision] / (BANDWIDTH * DECODE_SHARE) + DECODE_S


def evaluation_seconds(evaluate: Evaluate, questions: int) -> float:
    """One model: answers of full length, batch after batch, and each question's clip read before."""
    each = math.ceil(questions / evaluate.processes)
    tokens = sum(evaluate.max_new_tokens[variant] for variant in evaluate.variants)
    answers = math.ceil(each / evaluate.batch_size) * tokens * (1 + len(evaluate.controls)) * GENERATE_S
    return answers + each * len(evaluate.variants) * (1 + len(evaluate.video_controls)) * READ_S


def _asking(grpo: Grpo, cost: TrainingCost, held_out: int) -> float:
    """A validation of GRPO: batches of `prompts_per_step` on each process, with the video and without."""
    batches = math.ceil(_each(grpo, held_out) / grpo.prompts_per_step)
    return batches * 2 * grpo.max_new_tokens * token_seconds(grpo, cost, grpo.prompts_per_step, completions=1)


def _validations(training: Sft | Grpo, steps: int) -> int:
    return sum(is_due(step, training.validate_every, steps) for step in range(steps + 1))


def _collectives(training: Sft | Grpo, cost: TrainingCost, rows: int) -> float:
    """Gradients of each row to their owners; the new weights to all, or with ZeRO-3 all weights, twice a row."""
    processes = training.nodes * training.processes
    weights = 2 * rows * cost.size.parameters if cost.zero == 3 else cost.size.trainable
    sent = (rows * cost.size.trainable + weights) * ITEM_BYTES[training.precision] * (processes - 1) / processes
    return sent / (NVLINK if training.nodes == 1 else NETWORK)


def _each(training: Sft | Grpo, samples: int) -> int:
    """Of `samples` over all processes, those of the process with the most."""
    return math.ceil(samples / (training.nodes * training.processes))
