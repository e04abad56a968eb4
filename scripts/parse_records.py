"""Parse the annotations and questions of a data set into typed, id-stamped rows; what cannot be used is rejected."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.records.parse import parse_files, write_parsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=Path, required=True, help="next_event_prediction.json")
    parser.add_argument("--questions", type=Path, help="futurebench.json; leave out where there are no questions")
    parser.add_argument("--seedbench", type=Path, nargs="*", default=[], help="seedbench_r1_<level>.json of each level")
    parser.add_argument("--videos", type=Path, required=True, help="folder that video paths are looked up in")
    parser.add_argument("--out-dir", type=Path, required=True)
    options = parser.parse_args()
    levels = {file.stem.rpartition("_")[2]: file for file in options.seedbench}
    parsed = parse_files(options.annotations, options.questions, options.videos, levels)
    write_parsed(parsed, options.out_dir)
    print(f"{len(parsed.records)} records, {len(parsed.questions)} questions, {len(parsed.rejected)} rejected")
    for identity, marks in parsed.altered.items():
        print(f"{identity}: taken out of its texts: {', '.join(f'{mark!a} ({n})' for mark, n in marks.items())}")


if __name__ == "__main__":
    run_entry_point(main)
