"""Seconds of a whole GRPO step: this project's trainer, TRL's and a naive one; same weights, prompts, lengths, reward.

    make bench-train     or, with .venv-trl made:     PYTHONPATH=scripts .venv/bin/python benchmarks/train_grpo.py

A random model that never ends a completion, so that all have the full length; prompts of text, because TRL hands images
to its scoring, but no videos. CPU, fp32, one thread each, in turn; KL to the start model, one optimiser step a rollout.
Counted are the steps after the first. The rollout is generation alone (this project's: with the rewards), the update
all the rest of the step: scoring by policy and start model, backward, optimiser. Writes
`benchmarks/results/train_grpo.json`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from measure import ROOT, WORK, write_result
from nep.errors import InputError
from nep.files import read_jsonl
from nep.train.runtime.options import RunPaths
from random_run import environment, make_model, make_run, train

TRL = ROOT / ".venv-trl/bin/python"
# Each prints the seconds of its steps: what runs it, and its script.
PEERS = {"TRL": (TRL, "trl_peer.py"), "naive": (Path(sys.executable), "naive_grpo.py")}
MODELS = {"tiny": {}, "100 M": {"hidden_size": 768, "layers": 16, "heads": 12}}
SETTINGS = {
    "tiny": {"prompts": 4, "steps": 6},
    "100 M": {"prompts": 1, "steps": 3},
}
SHARED = {"completions": 8, "new_tokens": 64, "kl": 0.01}
WORDS, TARGET = 400, 1.5
Seconds = dict[str, list[float]]


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not TRL.is_file():
        raise InputError(f"{TRL} is missing: `make bench-train` makes it")
    measured, ratios = {}, []
    for name in options.models:
        settings = {**SHARED, **SETTINGS[name]}
        measured[name] = {"settings": settings, **measure(name, settings, options.rounds)}
        ratios += compared(name, measured[name])
    for row in ratios:
        print("{clip}, {what}: {ratio:.2f} times less than {against}".format(**row))
    write_result("train_grpo", {"rounds": options.rounds, "measured": measured, "ratios": ratios})


def measure(name: str, settings: dict[str, Any], rounds: int) -> dict[str, Seconds]:
    """Seconds of the steps of all rounds, by trainer and part of the step."""
    folder = WORK / f"grpo-{name.replace(' ', '').lower()}"
    shutil.rmtree(folder, ignore_errors=True)
    make_model(folder / "model", MODELS[name])
    paths = make_run(folder, folder / "model", settings["prompts"], WORDS)
    trainers = {"nep": by_nep, **{name: partial(by_peer, name) for name in PEERS}}
    found: dict[str, Seconds] = {name: {} for name in trainers}
    for _ in range(rounds):
        for trainer, run in trainers.items():
            made = run(paths, settings)
            made["update"] = [step - rollout for step, rollout in zip(made["step"], made["rollout"], strict=True)]
            if set(made["completion_tokens"]) != {settings["new_tokens"]}:
                raise RuntimeError(f"{trainer}: completions of {made['completion_tokens']} tokens on average")
            for part, seconds in made.items():
                found[trainer].setdefault(part, []).extend(seconds[1:])
    return found


def by_nep(paths: RunPaths, settings: dict[str, Any]) -> Seconds:
    """What the trainer wrote of its own steps."""
    recipe = {
        "datasets": {"next_event_mc": None},
        "steps": settings["steps"],
        "prompts_per_step": settings["prompts"],
        "completions": settings["completions"],
        "max_prompt_tokens": 2 * WORDS,
        "max_new_tokens": settings["new_tokens"],
        "pack_tokens": 2048,
        "kl_coef": settings["kl"],
        "entropy_coef": 0.0,
        "weight_decay": 0.0,
        "rewards": {"benchmarks.grpo_reward:share_of_vowels": 1.0},
    }
    train("grpo", recipe, paths)
    metrics, timings = read_jsonl(paths.out / "metrics.jsonl"), read_jsonl(paths.out / "timings.jsonl")
    return {
        "step": [row["seconds"] for row in timings],
        "rollout": [row["rollout_seconds"] for row in timings],
        "completion_tokens": [row["completion_tokens"] for row in metrics],
        "reward": [row["reward"] for row in metrics],
    }


def by_peer(name: str, paths: RunPaths, settings: dict[str, Any]) -> Seconds:
    """What the peer's script prints."""
    python, script = PEERS[name]
    questions = paths.convert / "grpo/next_event_mc.jsonl"
    command = [python, ROOT / "benchmarks" / script, paths.model, questions, json.dumps(settings)]
    with (paths.run / f"{name}.log").open("w") as log:
        done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, stderr=log, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compared(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Ratios of the median seconds, of whole steps and of their two parts."""
    medians = {
        trainer: {part: statistics.median(found[trainer][part]) for part in ("step", "rollout", "update")}
        for trainer in ("nep", *PEERS)
    }
    return [
        {
            "what": f"GRPO {part}",
            "against": peer,
            "clip": name,
            "ratio": medians[peer][part] / seconds,
            "target": TARGET,
        }
        for peer in PEERS
        for part, seconds in medians["nep"].items()
    ]


if __name__ == "__main__":
    main()
