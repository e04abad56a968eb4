"""lmms-eval's own command, with its model's answers kept as they come: SETTINGS.json, then lmms-eval's arguments."""

import sys
from pathlib import Path

from lmms_eval.__main__ import cli_evaluate

from nep.config.encode import Encode
from nep.config.vision import Vision
from nep.evaluate.agreement import Check
from nep.evaluate.read_once import read_clips_once
from nep.evaluate.recording import register
from nep.files import read_json


def main() -> None:
    settings = read_json(Path(sys.argv.pop(1)))
    check = settings["check"]
    if check is not None:
        blocks = {"vision": Vision(**check["vision"]), "encode": Encode(**check["encode"])}
        check = Check(task=check["task"], doc=check["doc"], out=Path(check["out"]), **blocks)
    read_clips_once()
    batching = {"chunk": settings["chunk"], "frames": settings["frames"]}
    register(settings["model"], Path(settings["ledger"]), **batching, exact=settings["exact"], check=check)
    cli_evaluate()


if __name__ == "__main__":
    main()
