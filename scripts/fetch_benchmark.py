"""Fetch one of lmms-eval's own benchmarks to where lmms-eval looks for it offline."""

import argparse
import os
from pathlib import Path

from nep.cli import run_entry_point
from nep.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="benchmark, as in evaluate.tasks")
    parser.add_argument("--benchmarks", type=Path, required=True, help="folder of all benchmarks, lmms-eval's HF_HOME")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    # The hub's client reads it when it is imported.
    os.environ["HF_HOME"] = str(arguments.benchmarks.resolve())
    from nep.download.benchmark import fetch_benchmark

    write_json(arguments.out, fetch_benchmark(arguments.name, arguments.benchmarks.resolve()))


if __name__ == "__main__":
    run_entry_point(main)
