"""Stages by name on the command line of Snakemake, which knows rules and files.

To Snakemake `--forcerun sft` names the target `sft`, which does nothing itself, and `results/<run>/<experiment>/sft` a
folder that no rule makes.
"""

import os
from collections.abc import Mapping, Sequence

FORCE = ("--forcerun", "-R")


def spelled_out(command: Sequence[str], rules: Mapping[str, Sequence[str]], files: Mapping[str, str]) -> list[str]:
    """The command line with the rules of each stage that it forces, and with the file that stands for each folder."""
    words: list[str] = []
    forced = False
    for word in _split(command):
        forced = word in FORCE or (forced and not word.startswith("-"))
        words += rules[word] if forced and word in rules else [files.get(os.path.normpath(word), word)]
    return words


def _split(command: Sequence[str]) -> list[str]:
    """`--forcerun=NAME` as two words."""
    return [part for word in command for part in (word.split("=", 1) if word.startswith("--forcerun=") else [word])]
