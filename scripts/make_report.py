"""Write a run's report: `index.html` and `results.csv`."""

import argparse
import json
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.whole import Config, load_config
from nep.errors import InputError
from nep.report.collect import collect_run
from nep.report.page import write_report


def main() -> None:
    """Read the arguments, collect the run, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder, results/<run>")
    parser.add_argument("--config", required=True, help="the whole configuration as JSON")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of index.html and results.csv")
    args = parser.parse_args()
    write_report(collect_run(args.run_dir, read_config(args.config)), args.out_dir)


def read_config(text: str) -> Config:
    """The configuration from its JSON text."""
    try:
        return load_config(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(f"--config: not JSON ({error})") from None


if __name__ == "__main__":
    run_entry_point(main)
