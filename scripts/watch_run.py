"""Show how a run stands, by its files: also one on a cluster, or of another user. Nothing of it is touched.

With a command behind `--`, start it and show its run in the place of what it prints.
"""

import argparse
import sys
from pathlib import Path

from nep.cli import run_entry_point
from nep.errors import InputError
from nep.watch.live import follow, look, run_and_follow
from nep.watch.view import view


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="name of the run; without it, the one that was started last in this folder")
    parser.add_argument("--once", action="store_true", help="print the state once and end")
    parser.add_argument("command", nargs="*", help="a call of Snakemake, behind --")
    options = parser.parse_args()
    if options.command:
        sys.exit(run_and_follow(options.command, sys.stdout))
    if not options.once:
        follow(Path(), options.run, sys.stdout)
        return
    snapshot = look(Path(), options.run)
    if snapshot is None:
        raise InputError("no run was started in this folder (.snakemake/log has no log of one)")
    print("\n".join(view(snapshot)))


if __name__ == "__main__":
    run_entry_point(main)
