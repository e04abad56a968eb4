"""Print a run's result table and where its report lies."""

import argparse
from pathlib import Path

import yaml

from nep.cli import run_entry_point
from nep.errors import InputError
from nep.report.terminal import read_results, results_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("results", nargs="?", type=Path, help="a run's report/results.csv")
    place.add_argument("--config", type=Path, help="the run's configuration file")
    arguments = parser.parse_args()
    results = arguments.results or results_of(arguments.config)
    print(results_text(read_results(results)))
    print(f"\nreport: {results.with_name('index.html').resolve()}")


def results_of(config: Path) -> Path:
    """Where the run that a configuration file describes leaves its results."""
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{config}: cannot be read as YAML ({error})") from None
    if not isinstance(values, dict) or "run" not in values:
        raise InputError(f"{config}: no key 'run'")
    return Path("results") / str(values["run"]) / "report" / "results.csv"


if __name__ == "__main__":
    run_entry_point(main)
