"""Write all data sets of a run as a folder that Hugging Face `datasets` loads."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.export.hf import export_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    export_run(options.run_dir, options.out_dir)


if __name__ == "__main__":
    run_entry_point(main)
