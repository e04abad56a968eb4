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
from nep.workflow.rule_graph import Edge, parse_rulegraph, rules_of, to_dot, without_implied

ROOT = Path(__file__).resolve().parents[1]
# The demo with its own annotations, and from its plain videos, with its own questions and with written ones: together
# they have all stages.
DEMO = ["config/config.yaml"]
PLAIN_DEMO = [*DEMO, "config/recipes/annotate_demo.yaml"]
WRITTEN_DEMO = [*PLAIN_DEMO, "config/recipes/questions_demo.yaml"]
PLAIN_RUNS = ("annotate_demo", "questions_demo")


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/dag.svg"), help="SVG file to write")
    options = parser.parse_args()
    if not shutil.which("dot"):
        raise InputError("no program 'dot' found: install Graphviz (Debian, Ubuntu: apt-get install graphviz)")
    with tempfile.TemporaryDirectory() as folder:
        edges = rulegraph(Path(folder))
    dot = to_dot(without_implied(edges), stages())
    svg = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True).stdout
    write_text(options.out, svg)


def stages() -> dict[str, list[str]]:
    """The rules of each rule file, in the order in which the Snakefile includes them."""
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    files = [ROOT / line.split('"')[1] for line in lines if line.startswith("include:")]
    return {file.stem: rules for file in files if (rules := rules_of(file.read_text(encoding="utf-8")))}


def rulegraph(folder: Path) -> set[Edge]:
    """Edges between the rules of both demos, made in an empty folder in which their sources are listed already.

    Before that, Snakemake does not know which jobs follow the checkpoint, and leaves them out.
    """
    for name in ("Snakefile", "rules", "envs", "config", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    names = ["video_data_part0.tar.gz", "video_data_part1.tar.gz", "next_event_prediction.json", "futurebench.json"]
    for name in names:
        _touch(folder / "results/demo/hub" / name)
    _list(folder / "results/demo", [{"name": names[0]}])
    for run in PLAIN_RUNS:
        _touch(folder / "results" / run / "plain/futurebench.json")
        (folder / "results" / run / "plain/video_dataset").mkdir()
        _list(folder / "results" / run, [])
    return {edge for configs in (DEMO, PLAIN_DEMO, WRITTEN_DEMO) for edge in _edges(folder, configs)}


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _list(run: Path, archives: list[dict[str, str]]) -> None:
    listing = run / "download/archives.json"
    listing.parent.mkdir()
    listing.write_text(json.dumps({"archives": archives}), encoding="utf-8")


def _edges(folder: Path, configs: list[str]) -> set[Edge]:
    command = [sys.executable, "-m", "snakemake", "--rerun-triggers", "mtime", "--rulegraph", "dot"]
    command += ["--configfile", *configs]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"snakemake --rulegraph failed:\n{done.stderr}")
    return {edge for edge in parse_rulegraph(done.stdout) if "all" not in edge}


if __name__ == "__main__":
    run_entry_point(main)
