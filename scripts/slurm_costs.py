"""Print what the jobs of a run have cost, by rule: hours, GPU hours, CPU hours, memory, from Slurm's accounting."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.slurm.costs import run_costs, table


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder of the run, results/<run>")
    print(table(run_costs(parser.parse_args().run_dir)))


if __name__ == "__main__":
    run_entry_point(main)
