"""GRPO by the letter: prints seconds of each step, and of its rollout, as JSON, like `trl_peer.py`.

    PYTHONPATH=scripts .venv/bin/python benchmarks/naive_grpo.py MODEL QUESTIONS.jsonl SETTINGS

Each prompt is repeated for each of its completions: in `generate`, in the pass of the start model and in that of the
policy. One optimiser step a rollout, so that the old policy is the current one.
"""

import copy
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel

from grpo_reward import share_of_vowels
from nep.files import read_jsonl

EPSILON = 1e-4


def main() -> None:
    """Train and print."""
    folder, questions, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(folder)
    policy = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    reference = copy.deepcopy(policy).requires_grad_(False)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-6, weight_decay=0.0)
    dialogues = [[{"role": "user", "content": row["problem"]}] for row in read_jsonl(questions)]
    processor.tokenizer.padding_side = "left"
    texts = [processor.apply_chat_template(each, add_generation_prompt=True, tokenize=False) for each in dialogues]
    prompts = processor.tokenizer(texts, return_tensors="pt", padding=True)
    group = settings["completions"]
    inputs = {name: values.repeat_interleave(group, dim=0) for name, values in prompts.items()}
    found: dict[str, list[float]] = {"step": [], "rollout": [], "completion_tokens": [], "reward": []}
    for _ in range(settings["steps"]):
        began = time.monotonic()
        length = settings["new_tokens"]
        with torch.no_grad():
            sequences = policy.generate(
                **inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=length
            )
        found["rollout"].append(time.monotonic() - began)
        completions = sequences[:, -length:]
        rewards = torch.tensor([share_of_vowels(text) for text in processor.tokenizer.batch_decode(completions)])
        mask = torch.cat([inputs["attention_mask"], torch.ones_like(completions)], dim=1)
        with torch.no_grad():
            start = log_probs(reference, sequences, mask, length)
        now = log_probs(policy, sequences, mask, length)
        loss = policy_loss(now, start, advantages(rewards, group), settings["kl"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        found["step"].append(time.monotonic() - began)
        found["completion_tokens"].append(completions.shape[1])
        found["reward"].append(rewards.mean().item())
    print(json.dumps(found))


def log_probs(model: PreTrainedModel, sequences: Tensor, mask: Tensor, length: int) -> Tensor:
    """Of the last `length` tokens of each sequence: (sequences, length)."""
    logits = model(input_ids=sequences, attention_mask=mask, use_cache=False, logits_to_keep=length + 1).logits[:, :-1]
    return logits.log_softmax(-1).gather(-1, sequences[:, -length:, None])[..., 0]


def advantages(rewards: Tensor, group: int) -> Tensor:
    """Normalised within each group (DeepSeekMath, section 4.1.2): (sequences, 1)."""
    grouped = rewards.view(-1, group)
    return ((grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + EPSILON)).view(-1, 1)


def policy_loss(now: Tensor, start: Tensor, advantage: Tensor, kl: float) -> Tensor:
    """Equation 3 of DeepSeekMath, on policy."""
    difference = start - now
    return (kl * (difference.exp() - difference - 1) - (now - now.detach()).exp() * advantage).mean()


if __name__ == "__main__":
    main()
