"""Print what a run would do, why, at what cost, and whether this place holds what it needs; start none of it."""

import argparse
import json
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.whole import Config
from nep.errors import InputError
from nep.plan.dry_run import dry_run
from nep.plan.run_plan import plan_run
from nep.plan.table import plan_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", required=True, help="the words behind `snakemake` that ask for the plan, as JSON")
    parser.add_argument("--targets", nargs="+", required=True, help="what to plan")
    parser.add_argument("--config", required=True, help="the run's whole configuration, as JSON")
    parser.add_argument("--run-dir", type=Path, required=True)
    options = parser.parse_args()
    dry = dry_run(json.loads(options.command), set(options.targets))
    plan = plan_run(dry, load_block(Config, options.config), options.run_dir)
    print(plan_text(plan), flush=True)
    if problems := [check for check in plan.checks if check.state == "problem"]:
        raise InputError(f"this run would fail, by {len(problems)} of the checks above")


if __name__ == "__main__":
    run_entry_point(main, is_job=False)
