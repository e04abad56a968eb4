"""Make the tiny base model: build it, give it its short pre-training, save it as an ordinary checkpoint."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.tiny_model import TinyModel
from nep.config.vision import Vision
from nep.data.prompts import load_prompts
from nep.demo.tiny_base import make_tiny_base


def main() -> None:
    """Read the options and make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", required=True, help="config block 'demo.model' as JSON")
    parser.add_argument("--vision", required=True, help="config block 'vision' as JSON")
    parser.add_argument("--prompts", type=Path, required=True, help="config/prompts.yaml")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out-dir", type=Path, required=True, help="checkpoint folder to write")
    options = parser.parse_args()
    make_tiny_base(
        tiny=load_block(TinyModel, options.tiny),
        vision=load_block(Vision, options.vision),
        prompts=load_prompts(options.prompts),
        seed=options.seed,
        folder=options.out_dir,
    )


if __name__ == "__main__":
    run_entry_point(main)
