"""The drawing of the workflow: Snakemake's rule graph without edges that others imply, a box for each stage."""

import re
from collections.abc import Mapping, Sequence

NODE = re.compile(r'^\s*(\d+)\[label = "(\w+)"', re.MULTILINE)
EDGE = re.compile(r"^\s*(\d+) -> (\d+)", re.MULTILINE)
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):$", re.MULTILINE)

# Opaque and light, so that the drawing is read alike on light and dark pages.
PAGE = "#ffffff"
INK = "#1f2937"
LINE = "#6b7280"
STAGES = ("#f1f5f9", "#e0f2fe", "#dcfce7", "#fef9c3", "#ffedd5", "#fce7f3", "#ede9fe", "#cffafe")
FONT = "Helvetica,Arial,DejaVu Sans,sans-serif"

Edge = tuple[str, str]


def rules_of(text: str) -> list[str]:
    """Names of the rules and checkpoints of a rule file, in its order."""
    return RULE.findall(text)


def parse_rulegraph(dot: str) -> set[Edge]:
    """Edges between rules (from the one that makes a file to the one that reads it) of `snakemake --rulegraph`."""
    names = dict(NODE.findall(dot))
    return {(names[source], names[target]) for source, target in EDGE.findall(dot)}


def without_implied(edges: set[Edge]) -> set[Edge]:
    """The transitive reduction of an acyclic graph: only edges without a longer path between the same two rules."""
    successors: dict[str, set[str]] = {}
    for source, target in edges:
        successors.setdefault(source, set()).add(target)

    def reaches(start: str, goal: str) -> bool:
        return goal in successors.get(start, ()) or any(reaches(step, goal) for step in successors.get(start, ()))

    return {
        (source, target)
        for source, target in edges
        if not any(reaches(other, target) for other in successors[source] - {target})
    }


def to_dot(edges: set[Edge], stages: Mapping[str, Sequence[str]]) -> str:
    """Graphviz source of the drawing. `stages` maps a stage's title to its rules; rules of no edge are left out."""
    drawn = {rule for edge in edges for rule in edge}
    lines = [
        "digraph workflow {",
        f'  graph [rankdir=TB, bgcolor="{PAGE}", pad=0.25, nodesep=0.3, ranksep=0.2, fontname="{FONT}"];',
        f'  node [shape=box, style="rounded,filled", fillcolor="{PAGE}", color="{LINE}", fontcolor="{INK}",',
        f'        fontname="{FONT}", fontsize=12, height=0.34, margin="0.14,0.04"];',
        f'  edge [color="{LINE}", arrowsize=0.7];',
    ]
    for index, (stage, rules) in enumerate(stages.items()):
        inside = " ".join(f"{rule};" for rule in rules if rule in drawn)
        if inside:
            lines += [
                f"  subgraph cluster_{index} {{",
                f'    style="rounded,filled"; color="{STAGES[index % len(STAGES)]}"; margin=14;',
                f'    label="{stage}"; labelloc=t; labeljust=r; fontsize=10; fontcolor="{LINE}";',
                f"    {inside}",
                "  }",
            ]
    lines += [f"  {source} -> {target};" for source, target in sorted(edges)]
    return "\n".join([*lines, "}", ""])
