"""Samples a second of SFT: this project's trainer and LLaMA-Factory's, on the same rows, clips and budget.

    make bench-train     or, with .venv-interop made:     PYTHONPATH=scripts .venv/bin/python benchmarks/train_sft.py

A small run of the workflow makes videos, a random model and the data set; its export for LLaMA-Factory holds the same
rows and recipe. CPU, fp32, one thread each, one after the other; the tiny model and two of about 100 million weights.
Counted is training alone: from the first to the last step in `timings.jsonl`, and LLaMA-Factory's `train_runtime`, both
without imports, tokenising and saving. Writes `benchmarks/results/train_sft.json`.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from measure import ROOT, WORK, write_result
from nep.errors import InputError
from nep.files import read_json, read_jsonl

PEER = ROOT / ".venv-interop/bin/llamafactory-cli"
LARGE, TOWERED = "100 M", "100 M, 18 % tower"
# The second gives its vision tower the share of Qwen2.5-VL-3B's; in the first all but 0.2 M is language model.
MODELS = {
    "tiny": {},
    LARGE: {"hidden_size": 768, "layers": 16, "heads": 12},
    TOWERED: {"hidden_size": 768, "layers": 13, "heads": 12, "vision_hidden_size": 320, "vision_layers": 15},
}
TARGETS = {"tiny": 3, LARGE: 1.5, TOWERED: 1.5}
RATES, EPOCHS = {"tiny": 1e-3, LARGE: 1e-4, TOWERED: 1e-4}, {"tiny": 6, LARGE: 2, TOWERED: 2}
SAMPLES, BATCH = 64, 16
# Of a size that both trainers keep: LLaMA-Factory rounds sides to the nearest multiple of 28, this project down.
VISION = {"sampling": "uniform", "frames": 8, "max_pixels": 112 * 112}
Measured = dict[str, Any]


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    names = parser.parse_args().models
    if not PEER.is_file():
        raise InputError(f"{PEER} is missing: `make bench-train` makes it")
    measured, ratios = {}, []
    for name in names:
        run = prepare(name)
        measured[name] = {"nep": by_nep(run), "LLaMA-Factory": by_llamafactory(run, name)}
        check_tokens(measured[name], SAMPLES * EPOCHS[name])
        ratio = measured[name]["nep"]["samples_per_s"] / measured[name]["LLaMA-Factory"]["samples_per_s"]
        row = {"what": "SFT", "against": "LLaMA-Factory", "clip": name, "ratio": ratio, "target": TARGETS[name]}
        ratios.append(row)
        print("{clip}: {ratio:.2f} times LLaMA-Factory's samples a second (target {target})".format(**row))
    write_result("train_sft", {"samples": SAMPLES, "batch": BATCH, "measured": measured, "ratios": ratios})


def prepare(name: str) -> Path:
    """Run the workflow up to the trained model and the export; the run's folder."""
    run = "bench-sft-" + re.sub(r"\W+", "", name).lower()
    shutil.rmtree(ROOT / "results" / run, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    sft = {"datasets": {"next_event": SAMPLES}, "lr": RATES[name], "epochs": EPOCHS[name], "batch_size": BATCH}
    # One process has nobody to share states with; LLaMA-Factory runs without DeepSpeed on a CPU.
    sft["deepspeed"] = "config/deepspeed/zero0.json"
    config = {
        "run": run,
        "demo": {
            "videos": {"train": 80, "test": 2, "archives": 1, "processes": 1},
            "model": {**MODELS[name], "pretrain_steps": 0, "threads": 1},
        },
        "source": {"kind": "folder", "path": f"results/{run}/hub"},
        "model": {"kind": "folder", "path": f"results/{run}/tiny_model"},
        "vision": VISION,
        "experiments": {"nep": {"sft": {**sft, "threads": 1, "validation_samples": 0}}},
    }
    path = WORK / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    snakemake = [Path(sys.executable).with_name("snakemake"), "sft", "export_llamafactory", "--cores", "1"]
    with (WORK / f"{run}.log").open("w") as log:
        command = [*snakemake, "--profile", "profiles/local", "--configfile", path]
        subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log)
    return ROOT / "results" / run


def by_nep(run: Path) -> Measured:
    """What the trainer wrote of its own steps."""
    timings, metrics = read_jsonl(run / "nep/sft/timings.jsonl"), read_jsonl(run / "nep/sft/metrics.jsonl")
    samples = sum(row["samples_per_second"] * row["seconds"] for row in timings)
    tokens = sum((row["visual_tokens_per_second"] + row["text_tokens_per_second"]) * row["seconds"] for row in timings)
    return {
        "samples_per_s": samples / sum(row["seconds"] for row in timings),
        "tokens": round(tokens),
        "data_wait": sum(row["data_wait_seconds"] for row in timings) / sum(row["seconds"] for row in timings),
        "mfu": statistics.median(row["mfu"] for row in timings),
        "losses": [row["loss"] for row in metrics],
    }


def by_llamafactory(run: Path, name: str) -> Measured:
    """Its training on the export, with what a CPU needs instead of the recipe's own."""
    values = yaml.safe_load((run / "export/llamafactory/nep/train.yaml").read_text(encoding="utf-8"))
    del values["deepspeed"]
    values |= {"use_cpu": True, "preprocessing_num_workers": 1, "save_strategy": "no"}
    values |= {"include_num_input_tokens_seen": "all"}
    config = WORK / f"{run.name}.llamafactory.yaml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(WORK / "hf")}
    with (WORK / f"{run.name}.llamafactory.log").open("w") as log:
        subprocess.run([PEER, "train", config], cwd=run, env=environment, check=True, stdout=log, stderr=log)
    state = read_json(run / values["output_dir"] / "trainer_state.json")
    results = read_json(run / values["output_dir"] / "train_results.json")
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    if state["global_step"] * BATCH != SAMPLES * EPOCHS[name]:
        raise RuntimeError(f"LLaMA-Factory took {state['global_step']} steps")
    return {
        "samples_per_s": SAMPLES * EPOCHS[name] / results["train_runtime"],
        "tokens": state["num_input_tokens_seen"],
        "losses": losses,
    }


def check_tokens(found: Measured, samples: int) -> None:
    """Raise RuntimeError if they are not the same tokens; LLaMA-Factory adds a line's end, and pads to eights."""
    tokens = {trainer: measured["tokens"] for trainer, measured in found.items()}
    if not 0 <= tokens["LLaMA-Factory"] - tokens["nep"] <= 8 * samples:
        raise RuntimeError(f"not the same tokens for {samples} samples: {tokens}")


if __name__ == "__main__":
    main()
