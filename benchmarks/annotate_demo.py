"""SFT and GRPO on annotations that a model made of the demo's plain videos, against those on the true annotations.

    PYTHONPATH=scripts:tests .venv/bin/python benchmarks/annotate_demo.py

runs the demo twice, from nothing: as `config/config.yaml` says, and with `config/recipes/annotate_demo.yaml`, where a
scripted annotator behind an HTTP API looks at the frames. Both answer the same questions. Writes
`benchmarks/results/annotate_demo.json` and prints its table; `--show` prints it again. `--processor` is that of
`demo_seeds.py`. Takes as long as two demos.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator

from demo_seeds import COLUMNS, CONFIG, KEPT, PROCESSORS, accuracy
from measure import RESULTS, ROOT, commit, machine
from nep.files import read_json, read_jsonl, write_json
from nep.report.tables import OVERALL
from nep.report.terminal import read_results

RESULT = RESULTS / "annotate_demo.json"
RECIPE = ROOT / "config/recipes/annotate_demo.yaml"
KEY = "sk-of-the-scripted-annotator"
TRUE, ANNOTATED = "true", "annotated"
# Points by which the annotated models may be below the true ones.
ALLOWED = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processor", choices=PROCESSORS, default="native", help="instructions that torch may use")
    parser.add_argument("--show", action="store_true", help="print the table of the recorded runs, and run nothing")
    arguments = parser.parse_args()
    if not arguments.show:
        write_json(RESULT, {"machine": machine(), "commit": commit(), **measure(arguments.processor)})
    print(table(read_json(RESULT)))


def measure(processor: str) -> dict[str, Any]:
    """Both runs, and how far the annotated models are from the true ones, in points."""
    runs = {TRUE: run("annotate_true", [CONFIG], {"source": "hub"}, {}, processor)}
    with Annotator(answers=ANNOTATE_ANSWERS, key=KEY) as server:
        endpoint = {"annotate": {"vision": {"url": server.url}}}
        folder = "annotate_demo"
        runs[ANNOTATED] = run(folder, [CONFIG, RECIPE], {"source": "plain"}, endpoint, processor)
        runs[ANNOTATED]["requests"] = server.requests
    annotate = ROOT / "results/annotate_demo/annotate"
    runs[ANNOTATED]["videos"] = len(read_jsonl(annotate / "events.jsonl"))
    runs[ANNOTATED]["left_out"] = len(read_jsonl(annotate / "rejected.jsonl"))
    runs[ANNOTATED]["usage"] = read_json(annotate / "usage.json")
    gap = {
        name: round(score(runs[ANNOTATED], key) - score(runs[TRUE], key), 2)
        for name, key in COLUMNS.items()
        if name in ("SFT", "GRPO")
    }
    return {"processor": processor, "runs": runs, "gap": gap, "within": min(gap.values()) >= -ALLOWED}


def run(
    name: str, configs: list[Path], folders: dict[str, str], changes: dict[str, Any], processor: str
) -> dict[str, Any]:
    """One run from nothing; raises CalledProcessError if it fails."""
    shutil.rmtree(ROOT / "results" / name, ignore_errors=True)
    paths = {**folders, "model": "tiny_model"}
    overlay = {"run": name, **{block: {"path": f"results/{name}/{folder}"} for block, folder in paths.items()}}
    config = ROOT / "results" / f"{name}.yaml"
    config.write_text(yaml.safe_dump({**overlay, **changes}), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--profile", "profiles/local", "--configfile"]
    start = time.monotonic()
    environment = {**os.environ, **PROCESSORS[processor], "OPENAI_API_KEY": KEY}
    environment.pop("NEP_STORE", None)
    subprocess.run([*command, *map(str, configs), str(config)], cwd=ROOT, env=environment, check=True)
    rows = read_results(ROOT / "results" / name / "report/results.csv")
    return {
        "seconds": round(time.monotonic() - start),
        "results": [{key: row[key] for key in KEPT} for row in rows if not row["variant"].endswith("_legacy")],
    }


def scores(measured: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """Overall scores by stage and variant."""
    return {(row["stage"], row["variant"]): row for row in measured["results"] if row["split"] == OVERALL}


def score(measured: dict[str, Any], key: tuple[str, str]) -> float:
    """Accuracy in percent of one model."""
    return float(scores(measured)[key]["accuracy"])


def table(recorded: dict[str, Any]) -> str:
    """Both runs as a Markdown table: accuracy in percent with its 95 % interval."""
    lines = [["annotations", *COLUMNS, "seconds"], ["---"] * (len(COLUMNS) + 2)]
    for name, measured in recorded["runs"].items():
        cells = [accuracy(scores(measured)[key]) for key in COLUMNS.values()]
        lines.append([name, *cells, str(measured["seconds"])])
    gap = ", ".join(f"{name} {points:+.1f}" for name, points in recorded["gap"].items())
    said = f"annotated against true: {gap} points; {'within' if recorded['within'] else 'NOT within'} {ALLOWED:g}"
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", said])


if __name__ == "__main__":
    main()
