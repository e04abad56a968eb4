"""Can the demo's model answer without reasoning? One training on the same questions, with and without the thought.

    PYTHONPATH=scripts .venv/bin/python benchmarks/demo_direct.py --run results/demo

takes base model, data sets and vision cache of a finished demo, trains twice on its questions about one event (answers
with reasoning, letters alone), with the same samples, steps and settings, and asks both models the held-out questions
that they were not trained on, greedily. Writes `benchmarks/results/demo_direct.json`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor

from measure import ROOT, WORK, write_result
from nep.config.grpo import Grpo
from nep.data.prompts import Variant, load_prompts
from nep.model.samples import SampleBuilder, video_keys
from nep.model.scoring import Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.rows.base import read_rows
from nep.rows.dataset import GrpoRow
from nep.stats.answers import parse_answer
from nep.train.engine import load_model
from nep.train.rl.decoding import decoding_for
from nep.train.rl.rollout import Rollout

PROMPTS = ROOT / "config/prompts.yaml"
LIMITS: dict[Variant, int] = {"reason": 48, "direct": 4}
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished demo")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    rows = [accuracy(arguments.run, variant, train(arguments.run, variant, arguments.epochs)) for variant in LIMITS]
    print(write_result("demo_direct", {"epochs": arguments.epochs, "rows": rows}))
    for row in rows:
        print(row)


def train(run: Path, variant: Variant, epochs: int) -> Path:
    """SFT of the base on the questions about one event, answered as `variant` asks; the checkpoint's folder."""
    recipe = {
        "datasets": {f"mc_{variant}_hop1": None},
        "lr": 1e-3,
        "epochs": epochs,
        "batch_size": BATCH,
        "threads": 1,
        "validation_samples": 0,
    }
    out = WORK / "demo_direct" / variant
    options = {
        "recipe": json.dumps(recipe),
        "seed": 0,
        "checkpoint-minutes": 60,
        "keep-checkpoints": 1,
        "tracker": "none",
        "experiment": variant,
        "convert-dir": run / "convert",
        "encode-dir": run / "encode",
        "index": run / "encode/index.jsonl",
        "model": run / "models/base",
        "model-manifest": run / "models/base.manifest.json",
        "run-dir": WORK / "demo_direct/run",
        "out-dir": out,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, str(ROOT / "scripts/train_sft.py"), *words], check=True, cwd=ROOT)
    return out / "model"


@torch.no_grad()
def accuracy(run: Path, variant: Variant, folder: Path) -> dict[str, Any]:
    """Percent of the held-out questions about one event that a checkpoint answers rightly."""
    torch.set_num_threads(1)
    grpo = Grpo(max_new_tokens=LIMITS[variant])
    model = load_model(folder, grpo, torch.device("cpu")).eval()
    # Rollouts need the attention that scoring puts in.
    Scorer(model)
    processor, cache = AutoProcessor.from_pretrained(folder), VisionCache(run / "encode")
    visuals, builder = (
        Visuals(cache, processor, grpo.freeze, torch.device("cpu")),
        SampleBuilder(processor, model, cache),
    )
    rollout = Rollout(decoding_for(model, processor, 1.0, LIMITS[variant]), captured=False)
    wordings = load_prompts(PROMPTS).instructions
    found = read_rows(GrpoRow, run / "convert/grpo/next_event_mc.jsonl")
    held_out = [row for row in found if row.part == "validation" and row.kind == "hop1"]
    right = 0
    for start in range(0, len(held_out), BATCH):
        rows = held_out[start : start + BATCH]
        asked = [row.problem.replace(wordings.reason, getattr(wordings, variant)) for row in rows]
        prompts = [
            builder.prompt(row.id, [{"role": "user", "content": text}], video_keys(row))
            for row, text in zip(rows, asked, strict=True)
        ]
        for (completion,), row in zip(rollout(model, prompts, visuals, None), rows, strict=True):
            text = processor.tokenizer.decode(completion.tokens, skip_special_tokens=True)
            right += parse_answer(text) == row.answer
    return {"answers": variant, "questions": len(held_out), "accuracy": round(100 * right / len(held_out), 1)}


if __name__ == "__main__":
    main()
