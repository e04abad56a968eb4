"""Write config/schema.json and docs/configuration.md from the one typed source of the configuration."""

import argparse
from pathlib import Path

from config_reference import reference_page
from nep.cli import run_entry_point
from nep.config.whole import Config
from nep.files import write_json, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schema", type=Path, default=Path("config/schema.json"), help="JSON schema to write")
    parser.add_argument("--page", type=Path, default=Path("docs/configuration.md"), help="reference page to write")
    arguments = parser.parse_args()
    schema = Config.model_json_schema()
    write_json(arguments.schema, schema)
    write_text(arguments.page, reference_page(schema))


if __name__ == "__main__":
    run_entry_point(main)
