"""Write questions about the annotated videos of one shard by the models that the configuration names."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.own_benchmark import OwnBenchmark
from nep.fingerprint import code_fingerprint
from nep.own_benchmark.stage import Shard, write_shard


def main() -> None:
    """Read the options and write the questions of one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=Path, required=True, help="events.jsonl")
    parser.add_argument("--videos", type=Path, required=True, help="folder below which the videos lie")
    parser.add_argument("--questions", required=True, help="config block 'questions' as JSON, with both endpoints")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="rows of the shard to write (JSON lines)")
    parser.add_argument("--usage", type=Path, required=True, help="tokens and money by step to write (JSON)")
    options = parser.parse_args()
    write_shard(
        options.events,
        videos=options.videos,
        how=load_block(OwnBenchmark, options.questions, processes=options.processes),
        seed=options.seed,
        shard=Shard(options.shard, options.shards, options.run_dir),
        out=options.out,
        usage=options.usage,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
