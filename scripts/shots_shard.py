"""Look through the plain videos of one shard: length, shots, signature."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.shots import Shots
from nep.fingerprint import code_fingerprint
from nep.shots.stage import shots_shard


def main() -> None:
    """Read the options and look through one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=Path, required=True, help="list of objects that name the videos")
    parser.add_argument("--videos", type=Path, required=True, help="folder below which the videos lie")
    parser.add_argument("--shots", required=True, help="config block 'shots' as JSON")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="rows of the shard to write (JSON lines)")
    options = parser.parse_args()
    shots_shard(
        options.annotations,
        videos=options.videos,
        shots=load_block(Shots, options.shots, processes=options.processes),
        shard=options.shard,
        shards=options.shards,
        run_dir=options.run_dir,
        out=options.out,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
