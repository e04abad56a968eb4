"""Evaluate one model, a checkpoint or one behind an API, through lmms-eval: all tasks, one process, one load."""

import argparse
from functools import partial
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.encode import Encode
from nep.config.endpoint import Endpoint
from nep.config.evaluate import Evaluate
from nep.config.vision import Vision
from nep.evaluate.backends import backend_for, endpoint_backend
from nep.evaluate.run import Job, evaluate_model, model_fingerprint
from nep.files import sha256_of_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model-dir", type=Path, help="checkpoint folder")
    model.add_argument("--endpoint", help="config block of a reference as JSON")
    parser.add_argument("--model-name", required=True, help="base, <experiment>-sft, <experiment>-grpo or a reference")
    parser.add_argument("--model-manifest", type=Path, help="JSON file with the checkpoint's fingerprint")
    parser.add_argument("--questions", type=Path, nargs="?", help="RUN/convert/futurebench.jsonl")
    parser.add_argument("--seedbench", type=Path, nargs="?", help="RUN/convert/seedbench_r1.jsonl")
    parser.add_argument("--controls-dir", type=Path, required=True, help="RUN/evaluate/controls")
    parser.add_argument("--prompts", type=Path, required=True, help="config/prompts.yaml")
    parser.add_argument("--vision", required=True, help="config block as JSON")
    parser.add_argument("--encode", required=True, help="config block as JSON")
    parser.add_argument("--evaluate", required=True, help="config block as JSON")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the questions")
    parser.add_argument("--vllm-environment", help="folder of vLLM's environment")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--out-dir", type=Path, required=True, help="RUN/evaluate/<model name>")
    options = parser.parse_args()
    vision = load_block(Vision, options.vision)
    how = {"processes": options.processes, "vllm_environment": options.vllm_environment}
    evaluate = load_block(Evaluate, options.evaluate, **{name: value for name, value in how.items() if value})
    if options.endpoint:
        endpoint = load_block(Endpoint, options.endpoint)
        fingerprint = sha256_of_json(endpoint.result_settings())
        backend = partial(endpoint_backend, endpoint, vision)
    else:
        fingerprint = model_fingerprint(options.model_manifest)
        backend = partial(backend_for, options.model_dir, vision, evaluate)
    evaluate_model(
        Job(
            name=options.model_name,
            fingerprint=fingerprint,
            backend=backend,
            questions=options.questions,
            seedbench=options.seedbench,
            controls_dir=options.controls_dir,
            prompts=options.prompts,
            vision=vision,
            encode=load_block(Encode, options.encode),
            evaluate=evaluate,
            seed=options.seed,
            run_dir=options.run_dir,
            out_dir=options.out_dir,
        )
    )


if __name__ == "__main__":
    run_entry_point(main)
