"""`snakemake --list-rules` is a page that can be read."""

import subprocess
import sys

from support.entry_points import ROOT

from nep.workflow.rule_graph import rules_of


def test_every_rule_is_listed_with_a_sentence() -> None:
    command = [sys.executable, "-m", "snakemake", "--list-rules"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    listed = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    assert listed.keys() == {rule for file in files for rule in rules_of(file.read_text(encoding="utf-8"))}
    for rule, sentence in listed.items():
        assert sentence.startswith("(") and sentence.endswith(".)") and len(sentence) > 15, f"{rule} {sentence}"
    assert len(set(listed.values())) == len(listed), "no two say the same"
