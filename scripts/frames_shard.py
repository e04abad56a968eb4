"""Make the videos of one shard of the source's folders of images, and write what became of each."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.source import Source
from nep.download.frame_folders import listed_folders
from nep.download.frame_videos import frames_shard
from nep.files import read_json
from nep.fingerprint import code_fingerprint


def main() -> None:
    """Read the options and make the videos of one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="config block 'source' as JSON")
    parser.add_argument("--listing", type=Path, required=True, help="listing of the source")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run; videos are written below it")
    parser.add_argument("--out", type=Path, required=True, help="rows of the shard to write (JSON lines)")
    options = parser.parse_args()
    frames_shard(
        load_block(Source, options.source),
        listed_folders(read_json(options.listing)),
        processes=options.processes,
        shard=options.shard,
        shards=options.shards,
        run_dir=options.run_dir,
        out=options.out,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
