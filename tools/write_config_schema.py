"""Write config/schema.json, the JSON schema of the configuration, from its one typed source."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config import Config
from nep.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("config/schema.json"), help="schema to write")
    arguments = parser.parse_args()
    write_json(arguments.out, Config.model_json_schema())


if __name__ == "__main__":
    run_entry_point(main)
