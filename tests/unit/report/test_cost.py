"""Cost by stage, the stages as a graph, and both against Snakemake's own graph of the rules."""

from pathlib import Path

import pytest
from support.synthetic_run import SyntheticRun

import draw_workflow
from nep.config.whole import load_config
from nep.errors import InputError
from nep.layout.stages import STAGE_EDGES, STAGE_RULES, stage_of
from nep.report.collect import Run, collect_run, read_jobs
from nep.report.cost import StageCost, folder_bytes, stage_costs, stage_graph
from nep.workflow.rule_graph import without_implied

EXTENDED = "s\tmax_rss\tcpu_time\tresources\n10.0\t5\t8\t{resources}\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    synthetic = SyntheticRun(videos=1)
    return collect_run(synthetic.write(tmp_path), load_config(synthetic.config))


def test_the_stages_are_those_of_the_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(draw_workflow.ROOT)
    # A plan is no part of what a run did.
    assert {stage: tuple(rules) for stage, rules in draw_workflow.stages().items() if stage != "plan"} == STAGE_RULES
    rules = draw_workflow.rulegraph(tmp_path)
    stages = {(stage_of(source), stage_of(target)) for source, target in rules}
    between = {(source, target) for source, target in stages if source != target}
    assert without_implied(between) == set(STAGE_EDGES)


def test_a_stage_sums_its_rules_and_its_files(run: Run) -> None:
    stages = {stage.stage: stage for stage in stage_costs(run)}
    assert (stages["split"].cost.jobs, stages["split"].cost.seconds) == (4, 4 * 38.0)
    assert stages["split"].disk_bytes == folder_bytes(run.root / "split") + folder_bytes(run.root / "segments")
    assert stages["sft"].disk_bytes == folder_bytes(run.root / "next_event" / "sft") > 0
    assert "demo" not in stages


def test_links_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert folder_bytes(tmp_path) == 5
    assert folder_bytes(tmp_path / "absent") == 0


def test_gpus_are_read_from_extended_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "train_sft.tsv"
    path.write_text(EXTENDED.format(resources="{'_cores': 1, 'gpu': 8, 'tmpdir': '/tmp'}"))
    assert [job.gpus for job in read_jobs(tmp_path)] == [8]
    path.write_text(EXTENDED.format(resources="{'_cores': 1}"))
    assert [job.gpus for job in read_jobs(tmp_path)] == [0]
    path.write_text("s\tmax_rss\tcpu_time\n10.0\t5\t8\n")
    assert [job.gpus for job in read_jobs(tmp_path)] == [None]
    path.write_text(EXTENDED.format(resources="many"))
    with pytest.raises(InputError, match="column 'resources' holds 'many', expected a dictionary"):
        read_jobs(tmp_path)


def test_every_stage_stands_right_of_what_it_reads() -> None:
    graph = stage_graph([StageCost(stage, None, 1) for stage in STAGE_RULES])
    places = {node.stage.stage: (node.x, node.y) for node in graph.nodes}
    assert set(places) == set(STAGE_RULES) - {"export"}
    assert all(places[source][0] < places[target][0] for source, target in STAGE_EDGES)
    assert places["hash"][0] == places["split"][0]
    assert len(set(places.values())) == len(places)
    assert len(graph.arrows) == len(STAGE_EDGES)


def test_a_stage_that_the_run_lacks_is_passed_over() -> None:
    graph = stage_graph([StageCost(stage, None, 1) for stage in ("convert", "encode", "grpo", "evaluate")])
    assert len(graph.arrows) == 3
    assert stage_graph([]).nodes == []
