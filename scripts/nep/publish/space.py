"""The run's page as a Space: the folder as it was made, with the licence in its card."""

from pathlib import Path

from nep.errors import InputError
from nep.files import write_text
from nep.layout.runs import SPACE
from nep.publish.bundle import Bundle, Target
from nep.publish.card import read_card, write_card
from nep.publish.licence import Licence

CARD = "README.md"


def space_bundle(run: Path, target: Target, licence: Licence, staging: Path) -> Bundle:
    """The folder `space` of the run. Raises InputError where it is missing, or its card names no `sdk`."""
    folder = run / SPACE
    source = folder / CARD
    if not source.is_file():
        raise InputError(f"{source}: missing; the run has no page to put up as a Space")
    header, text = read_card(source.read_text(encoding="utf-8"), str(source))
    if "sdk" not in header:
        raise InputError(f"{source}: the header names no 'sdk', which a Space needs")
    write_text(staging / CARD, write_card({**header, **licence.header}, text))
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    return Bundle("space", target, {**files, CARD: staging / CARD}, ("*.safetensors",))


def sdk_of(bundle: Bundle) -> str:
    """The `sdk` of a Space's card."""
    header, _ = read_card(bundle.files[CARD].read_text(encoding="utf-8"), CARD)
    return header["sdk"]
