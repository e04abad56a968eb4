"""Fetch the base model from a folder or the hub."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.model import Model
from nep.download.model import fetch_model
from nep.files import write_json
from nep.model_manifest import model_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="config block 'model' as JSON")
    parser.add_argument("--out-dir", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest of the checkpoint to write")
    arguments = parser.parse_args()
    fetch_model(load_block(Model, arguments.model), arguments.out_dir)
    write_json(arguments.manifest, model_manifest(arguments.out_dir))


if __name__ == "__main__":
    run_entry_point(main)
