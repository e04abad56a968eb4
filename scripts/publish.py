"""Publish what a run has made (model, data set, benchmark, page) on the Hugging Face hub, each in one commit.

Private unless --public. The token is that of HF_TOKEN or of `hf auth login`. After a lost connection or a kill, the
same command sends only what is missing.
"""

import argparse
from typing import get_args

from huggingface_hub import HfApi

from nep.cli import run_entry_point
from nep.layout.runs import results_of
from nep.publish.licence import read_licence
from nep.publish.stage import Order, What, publish, show_plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--what", required=True, choices=get_args(What), help="what of it; all: all that there is")
    parser.add_argument(
        "--to", required=True, metavar="OWNER/NAME", help="repository (all: the benchmark's ends in -benchmark)"
    )
    parser.add_argument(
        "--license", required=True, help="identifier of the hub's list, as apache-2.0; see --license-name"
    )
    parser.add_argument("--license-name", help="name of a licence that the hub's list has as 'other'")
    parser.add_argument("--license-link", help="where its text is: https://…")
    parser.add_argument("--model", metavar="EXPERIMENT-STAGE", help="which model; needed with several experiments")
    parser.add_argument(
        "--with-videos", action="store_true", help="send the videos, too; without them no run can start from the data"
    )
    parser.add_argument("--public", action="store_true", help="make new repositories public")
    parser.add_argument("--dry-run", action="store_true", help="list files, sizes and what the hub has; send nothing")
    options = parser.parse_args()
    licence = read_licence(options.license, options.license_name, options.license_link)
    order = Order(options.what, options.to, licence, options.model, options.with_videos, options.public)
    run = results_of(options.run)
    if options.dry_run:
        show_plan(run, order, HfApi(), print)
    else:
        publish(run, order, HfApi(), print)


if __name__ == "__main__":
    run_entry_point(main, is_job=False)
