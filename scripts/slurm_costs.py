"""Print what this folder's jobs have cost, by rule: hours, GPU hours, CPU hours, memory, from Slurm's accounting."""

import argparse
from pathlib import Path

from nep.errors import run_entry_point
from nep.slurm.accounting import costs, read_listing, table


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", default="now-30days", help="jobs since then, in sacct's form (%(default)s)")
    print(table(costs(read_listing(parser.parse_args().start), str(Path.cwd()))))


if __name__ == "__main__":
    run_entry_point(main)
