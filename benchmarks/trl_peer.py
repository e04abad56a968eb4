"""GRPO by TRL, in its own environment: prints seconds of each optimiser step, and of its rollout, as JSON.

    .venv-trl/bin/python benchmarks/trl_peer.py MODEL QUESTIONS.jsonl SETTINGS

SETTINGS is a JSON object: steps, prompts, completions, new_tokens, kl. Counted is a whole step (`step`) and, in it,
what TRL takes to tokenise the prompts and to generate (`rollout`); imports and loading are not.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from grpo_reward import share_of_vowels


class Steps(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Stop it."""
        self.seconds.append(time.monotonic() - self._began)


class TimedTrainer(GRPOTrainer):
    """Keeps the seconds of each rollout."""

    def _generate(self, *args, **kwargs):
        began = time.monotonic()
        made = super()._generate(*args, **kwargs)
        self.rollouts = [*getattr(self, "rollouts", []), time.monotonic() - began]
        return made


def main() -> None:
    """Train and print."""
    model, questions, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    prompts = Dataset.from_list([{"prompt": [{"role": "user", "content": row["problem"]}]} for row in rows])
    steps = Steps()
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=settings["prompts"] * settings["completions"],
            num_generations=settings["completions"],
            steps_per_generation=1,
            max_steps=settings["steps"],
            max_completion_length=settings["new_tokens"],
            temperature=1.0,
            beta=settings["kl"],
            learning_rate=1e-6,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
        )
        trainer = TimedTrainer(model, rewards, arguments, train_dataset=prompts, callbacks=[steps])
        trainer.train()
    logged = [entry for entry in trainer.state.log_history if "completions/mean_length" in entry]
    found = {
        "step": steps.seconds,
        "rollout": trainer.rollouts,
        "completion_tokens": [entry["completions/mean_length"] for entry in logged],
        "reward": [entry["reward"] for entry in logged],
    }
    print(json.dumps(found))


def rewards(completions: list[list[dict[str, str]]], **columns: object) -> list[float]:
    """TRL's form of the reward."""
    return [share_of_vowels(messages[0]["content"]) for messages in completions]


if __name__ == "__main__":
    main()
