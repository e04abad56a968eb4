"""The drawing of the workflow: its reduction, its source, and that docs/dag.svg shows the rules of today."""

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from nep.workflow.rule_graph import parse_rulegraph, rules_of, to_dot, without_implied

ROOT = Path(__file__).resolve().parents[3]
RULEGRAPH = """digraph snakemake_dag {
    node[shape=box, style=rounded, fontname=sans, fontsize=10, penwidth=2];
\t0[label = "all", color = "0.00 0.6 0.85", style="rounded"];
\t1[label = "train_sft", color = "0.38 0.6 0.85", style="rounded"];
\t1 -> 0
}
"""


def closure(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """All pairs that a path connects, by Warshall's algorithm."""
    paths = set(edges)
    nodes = sorted({node for edge in edges for node in edge})
    for middle in nodes:
        paths |= {(a, b) for a in nodes for b in nodes if (a, middle) in paths and (middle, b) in paths}
    return paths


def test_edges_are_read_from_snakemakes_graph() -> None:
    assert parse_rulegraph(RULEGRAPH) == {("train_sft", "all")}


@given(st.sets(st.sampled_from(list(combinations("abcdefg", 2)))))
def test_the_reduction_is_the_smallest_graph_with_the_same_paths(edges: set[tuple[str, str]]) -> None:
    reduced = without_implied(edges)
    assert reduced <= edges and closure(reduced) == closure(edges)
    assert all(closure(reduced - {edge}) != closure(edges) for edge in reduced)


def test_a_stage_without_drawn_rules_has_no_box() -> None:
    dot = to_dot({("a", "b")}, {"first": ["a", "b"], "second": ["c"]})
    assert 'label="first"' in dot and "a -> b;" in dot and "second" not in dot


def test_the_drawing_shows_every_rule() -> None:
    svg = ElementTree.parse(ROOT / "docs" / "dag.svg").getroot()
    texts = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    # Exports and the plan are no part of a whole run; the demo has no reference, no further benchmark and no images.
    files = sorted(file for file in (ROOT / "rules").glob("*.smk") if file.stem not in ("export", "plan"))
    rules = {rule for file in files for rule in rules_of(file.read_text(encoding="utf-8"))}
    rules -= {"evaluate_reference", "fetch_benchmark", "frames_shard"}
    stages = {file.stem for file in files} - {"common", "start"}
    assert texts == rules | stages, "draw it anew: make dag"
