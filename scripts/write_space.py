"""Write a run's page as a folder that can be put up by itself, as a Docker Space: models, examples, page, library."""

import argparse
from pathlib import Path

from nep.app.space import write_space
from nep.cli import run_entry_point
from nep.layout.runs import SPACE, results_of

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="demo", metavar="NAME", help="run below results/ (default: demo)")
    parser.add_argument("--out", type=Path, help="folder to write; without it, `space` below the run's")
    parser.add_argument(
        "--examples", type=int, default=12, help="so many questions of the run's benchmark, with videos"
    )
    parser.add_argument("--models", nargs="*", default=[], help="such as nep/grpo; without it, all that are finished")
    options = parser.parse_args()
    run = results_of(options.run)
    out = options.out or run / SPACE
    write_space(run, REPOSITORY, out, options.examples, tuple(options.models))
    print(f"page: {out}")


if __name__ == "__main__":
    run_entry_point(main, is_job=False)
