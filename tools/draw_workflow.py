"""Draw the workflow's rules, docs/dag.svg, with Graphviz."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nep.cli import run_entry_point
from nep.errors import InputError
from nep.files import write_text
from nep.workflow.rule_graph import parse_rulegraph, rules_of, to_dot, without_implied

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/dag.svg"), help="SVG file to write")
    options = parser.parse_args()
    if not shutil.which("dot"):
        raise InputError("no program 'dot' found: install Graphviz (Debian, Ubuntu: apt-get install graphviz)")
    with tempfile.TemporaryDirectory() as folder:
        edges = parse_rulegraph(rulegraph(Path(folder)))
    dot = to_dot(without_implied({edge for edge in edges if "all" not in edge}), stages())
    svg = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True).stdout
    write_text(options.out, svg)


def stages() -> dict[str, list[str]]:
    """The rules of each rule file, in the order in which the Snakefile includes them."""
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    files = [ROOT / line.split('"')[1] for line in lines if line.startswith("include:")]
    return {file.stem: rules for file in files if (rules := rules_of(file.read_text(encoding="utf-8")))}


def rulegraph(folder: Path) -> str:
    """Snakemake's graph of the demo's rules, made in an empty folder in which the source is listed already.

    Before that, Snakemake does not know which jobs follow the checkpoint, and leaves them out.
    """
    for name in ("Snakefile", "rules", "envs", "config", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    hub = folder / "results" / "demo" / "hub"
    hub.mkdir(parents=True)
    names = ["video_data_part0.tar.gz", "video_data_part1.tar.gz", "next_event_prediction.json", "futurebench.json"]
    for name in names:
        (hub / name).touch()
    listing = folder / "results" / "demo" / "download" / "archives.json"
    listing.parent.mkdir()
    listing.write_text(json.dumps({"archives": [{"name": names[0]}]}), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--rerun-triggers", "mtime", "--rulegraph", "dot"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"snakemake --rulegraph failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    run_entry_point(main)
