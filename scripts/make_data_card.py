"""Write the data card of a run: `data.html`."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.report.data_card import write_data_card


def main() -> None:
    """Read the arguments, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder, results/<run>")
    parser.add_argument("--name", required=True, help="name of the run")
    parser.add_argument("--out", type=Path, required=True, help="page to write")
    options = parser.parse_args()
    write_data_card(options.run_dir, options.name, options.out)


if __name__ == "__main__":
    run_entry_point(main)
