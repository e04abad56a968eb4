"""CPU seconds of a GRPO update: the shared prompt and packed rows, and every completion as a sequence of its own.

    PYTHONPATH=scripts .venv/bin/python benchmarks/train_update.py

A random Qwen2.5-VL language model of about 100 million parameters, fp32, one thread; a group of 8 completions of R
tokens behind a prompt of 410, forward and backward of the policy loss. nep: one row, scored as the trainer does. naive:
a batch of eight whole sequences, logits only where completion tokens are predicted. In turn, each in a fresh process;
log-probs and gradients are compared first. At best the ratio is that of the tokens, G(P+R)/(P+GR). Writes
`benchmarks/results/train_update.json`.
"""

import argparse
from functools import cache, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from measure import interleaved, median_cpu, write_result
from nep.model.log_probs import token_log_probs
from nep.model.packing import pack_row
from nep.model.samples import Sample
from nep.model.scoring import Scorer
from nep.train.rl.groups import Group

PROMPT, COMPLETIONS = 410, 8
LENGTHS = (32, 128)
TARGET = 0.7
TOLERANCE = 1e-5
HIDDEN, LAYERS, VOCABULARY = 768, 14, 8000


class NoVisuals:
    """A prompt of text: what stands in it costs the language model the same."""

    def inputs(self, keys: list[str]) -> dict[str, Tensor]:
        """No model inputs."""
        return {}


def main() -> None:
    """Compare, measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    seconds, ratios, errors = {}, [], {}
    for length in LENGTHS:
        errors[f"R={length}"] = relative_error(model(), group(length))
        if errors[f"R={length}"] > TOLERANCE:
            raise RuntimeError(f"R={length}: the gradients differ by {errors[f'R={length}']:.1e}")
        ways = {name: partial(repeated, name, length) for name in WAYS}
        costs = interleaved(ways, rounds, warm_up)
        seconds[f"R={length}"] = {name: median_cpu(each) for name, each in costs.items()}
        ratio = seconds[f"R={length}"]["naive"] / seconds[f"R={length}"]["nep"]
        tokens = token_ratio(length)
        ratios.append(
            {
                "what": "GRPO update",
                "against": "naive",
                "clip": f"R={length}",
                "ratio": ratio,
                "target": TARGET * tokens,
            }
        )
        print(
            f"R={length}: {ratio:.2f} times less than naive; the tokens' ratio is {tokens:.2f}, target {TARGET} of it"
        )
    parameters = sum(weight.numel() for weight in model().parameters())
    setting = {"parameters": parameters, "prompt": PROMPT, "completions": COMPLETIONS, "rounds": rounds}
    write_result("train_update", {**setting, "gradient_error": errors, "cpu_s": seconds, "ratios": ratios})


@cache
def model() -> Qwen2_5_VLForConditionalGeneration:
    """The policy; its vision tower is as good as absent."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": 4 * HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "max_position_embeddings": 4096,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
        },
        tie_word_embeddings=True,
    )
    config._attn_implementation = "sdpa"
    made = Qwen2_5_VLForConditionalGeneration(config).float()
    made.model.visual.requires_grad_(False)
    return made


def group(length: int, vocabulary: int = VOCABULARY) -> Group:
    """Random tokens and advantages."""
    noise = torch.Generator().manual_seed(length)
    prompt = torch.randint(0, vocabulary, (PROMPT,), generator=noise)
    sample = Sample("prompt", prompt, torch.arange(PROMPT).expand(3, -1), PROMPT, (), 0)
    completions = [torch.randint(0, vocabulary, (length,), generator=noise) for _ in range(COMPLETIONS)]
    return Group(sample, completions, torch.randn(COMPLETIONS, generator=noise))


def token_ratio(length: int) -> float:
    """The tokens of whole sequences against those of a shared prompt and completions."""
    return COMPLETIONS * (PROMPT + length) / (PROMPT + COMPLETIONS * length)


def by_nep(policy: PreTrainedModel, made: Group) -> None:
    """One packed row."""
    row = pack_row([made.tree()], NoVisuals(), packs=True, device=policy.device)
    log_probs = Scorer(policy)(row.inputs, row.rows, row.targets)[0]
    _backward(log_probs, made)


def by_naive(policy: PreTrainedModel, made: Group) -> None:
    """A batch of whole sequences."""
    length = len(made.completions[0])
    tokens = torch.stack([torch.cat([made.prompt.input_ids, completion]) for completion in made.completions])
    tokens = tokens.to(policy.device)
    logits = policy(input_ids=tokens, use_cache=False, logits_to_keep=length + 1).logits[:, :-1]
    log_probs = token_log_probs(logits.flatten(0, 1).float(), tokens[:, PROMPT:].flatten())
    _backward(log_probs, made)


WAYS = {"nep": by_nep, "naive": by_naive}


def relative_error(policy: PreTrainedModel, made: Group) -> float:
    """Norm of the difference of both ways' gradients, relative to the norm of the naive ones."""
    found = []
    for way in WAYS.values():
        policy.zero_grad(set_to_none=True)
        way(policy, made)
        found.append([weight.grad for weight in policy.parameters() if weight.grad is not None])
    difference = sum((ours - naive).float().square().sum() for ours, naive in zip(*found, strict=True))
    return float((difference / sum(naive.float().square().sum() for naive in found[1])).sqrt())


def repeated(name: str, length: int) -> None:
    """The measured call."""
    WAYS[name](model(), group(length))


def warm_up() -> None:
    """Imports, weights and a short first call of both ways."""
    for way in WAYS.values():
        way(model(), group(1))


def _backward(log_probs: Tensor, made: Group) -> None:
    advantages = made.advantages.repeat_interleave(len(made.completions[0])).to(log_probs.device)
    (-log_probs * advantages).mean().backward()


if __name__ == "__main__":
    main()
