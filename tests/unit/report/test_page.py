"""The page as a whole: well-formed, self-contained, safe, and without sections that have nothing to show."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.html_page import Page, runs_one_known_script
from support.synthetic_run import SyntheticRun, write_benchmark, write_lines

from nep.config.whole import load_config
from nep.errors import InputError
from nep.report.collect import Job, collect_run, read_jobs
from nep.report.comparison import comparisons, gain_marks
from nep.report.cost import rule_costs, total_cost
from nep.report.page import format_count, render_page
from nep.report.rendering import format_duration, format_memory

ROOT = Path(__file__).parents[3]


def render(synthetic: SyntheticRun, root: Path) -> str:
    return render_page(collect_run(synthetic.write(root), load_config(synthetic.config)))


def test_page_is_well_formed_self_contained_and_small(tmp_path: Path) -> None:
    html = render(SyntheticRun(videos=6, size=224), tmp_path)
    page = Page(html)
    # One page beside it: the data card.
    assert page.references.count("data.html") == 1
    inside = [reference for reference in page.references if reference != "data.html"]
    assert all(reference.startswith(("#", "data:image/jpeg;base64,")) for reference in inside)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= page.ids
    assert {"link", "iframe", "object"}.isdisjoint(page.tags)
    assert runs_one_known_script(html)
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert page.tags.count("img") == 6 * 10
    assert len(html) < 3_000_000


def test_page_shows_what_the_run_holds(tmp_path: Path) -> None:
    page = Page(render(SyntheticRun(videos=6), tmp_path))
    assert {"results", "control", "learning", "examples", "parsing", "quarantine", "cost", "configuration"} <= page.ids
    shown = (
        "split outside video records 3",
        "demo-clip-901 encode too few frames 1 frame",
        "1.24 M",
        "train grpo grpo 1",
        "hold_out_evaluation_videos: true",
        "on 24 questions where chance is 25 %",
        "FutureBench · With reasoning · Frames shuffled",
    )
    assert [text for text in shown if text not in page.text] == []


def test_what_the_configuration_says_of_a_variant_stands_beside_its_figures(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=6)
    run = collect_run(synthetic.write(tmp_path), load_config(synthetic.config))
    report = run.config.report.model_copy(update={"notes": {"reason": "Too small for <b>more</b>."}})
    config = run.config.model_copy(update={"report": report})
    html = render_page(replace(run, config=config))
    assert "answers inside &lt;answer&gt;. Too small for &lt;b&gt;more&lt;/b&gt;.</p>" in html
    assert "Too small" not in render_page(run)


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "</pre><img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "{{ 7 * 7 }}{% raw %}",
        "</style><link rel=stylesheet href=//evil>",
    ],
)
def test_text_of_models_and_data_injects_no_markup(tmp_path: Path, attack: str) -> None:
    calm = SyntheticRun(videos=2).write(tmp_path / "calm")
    root = SyntheticRun(videos=2, completion=attack).write(tmp_path / "run")
    questions = [json.loads(line) for line in (root / "convert/futurebench.jsonl").read_text().splitlines()]
    for question in questions:
        question |= {"question": attack, "record": {"source": attack, "caption_part2": attack}}
        question["options"] = dict.fromkeys(question["options"], attack)
    write_lines(root / "convert" / "futurebench.jsonl", questions)
    rejected = [{"id": attack, "stage": attack, "reason": "bad_record", "detail": attack}] * 3
    write_lines(root / "records" / "rejected.jsonl", rejected)
    config = load_config({**SyntheticRun().config, "report": {"title": attack, "examples": 6}})
    plain = load_config({**SyntheticRun().config, "report": {"title": "Title", "examples": 6}})

    page, harmless = Page(render_page(collect_run(root, config))), Page(render_page(collect_run(calm, plain)))
    assert attack in "".join(page.texts)
    assert page.handlers == []
    assert set(page.tags) == set(harmless.tags)
    assert page.tags.count("img") == harmless.tags.count("img")


def test_a_gain_that_is_no_chance_is_marked(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=20)
    run = collect_run(synthetic.write(tmp_path), load_config(synthetic.config))
    compared = comparisons(run)
    counts = {(row.before.stage, row.after.stage, row.variant): row for row in compared}
    marks = gain_marks(compared)
    for stage, before in (("sft", "base"), ("grpo", "sft")):
        for variant in ("direct", "reason"):
            row = counts[before, stage, variant]
            expected = "**" if row.adjusted < 0.05 else "*" if row.counts.p_value < 0.05 else ""
            assert marks["futurebench", variant, ("next_event", stage)] == expected
    assert marks["futurebench", "reason", ("next_event", "sft")] == "**"
    # Once in the table over all benchmarks, once in the benchmark's own.
    assert render_page(run).count("<abbr") == 2 * sum(map(bool, marks.values()))


def test_characters_that_html_cannot_hold_are_replaced(tmp_path: Path) -> None:
    html = render(SyntheticRun(videos=2, completion="a\x00b\ud800c\x1bd"), tmp_path)
    assert "a\ufffdb\ufffdc\ufffdd" in html
    html.encode("utf-8")


def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=2, experiments={"nep": ("sft",)}, controls=())
    root = synthetic.write(tmp_path)
    for path in (root / "benchmarks").rglob("*.tsv"):
        path.unlink()
    for path in (root / "segments").rglob("*.mp4"):
        path.unlink()
    (root / "models" / "base.manifest.json").unlink()
    page = Page(render_page(collect_run(root, load_config(synthetic.config))))
    assert "control" not in page.ids
    assert "not recorded" in page.text
    assert {"results", "learning", "examples"} <= page.ids
    assert "→ GRPO" not in page.text
    assert "img" not in page.tags
    assert "The frames of this video are not on the page" in page.text
    without = load_config({**synthetic.config, "report": {"examples": 0}})
    assert "examples" not in Page(render_page(collect_run(root, without))).ids


def test_an_experiment_with_grpo_alone_is_compared_with_the_base(tmp_path: Path) -> None:
    page = Page(render(SyntheticRun(videos=6, experiments={"rl": ("grpo",)}), tmp_path))
    assert "GRPO right where Base was wrong" in page.text
    assert "before training and" in page.text
    assert "SFT loss" not in page.text


def test_a_run_without_quarantine_says_so(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=2)
    root = synthetic.write(tmp_path)
    write_lines(root / "records" / "rejected.jsonl", [])
    kept = [json.loads(line) for line in (root / "split/manifest.jsonl").read_text().splitlines()]
    write_lines(root / "split" / "manifest.jsonl", [row for row in kept if row["status"] == "ok"])
    (root / "encode" / "shards" / "1-of-1.json").unlink()
    page = Page(render_page(collect_run(root, load_config(synthetic.config))))
    assert "All 2 videos were cut, and no record was set aside." in page.text


@pytest.mark.parametrize(
    "name",
    [
        "evaluate/base/scores.json",
        "evaluate/next_event-grpo/samples.jsonl",
        "next_event/sft/metrics.jsonl",
        "next_event/grpo/validation.jsonl",
        "records/rejected.jsonl",
        "split/manifest.jsonl",
        "convert/futurebench.jsonl",
    ],
)
def test_a_missing_required_file_is_named(tmp_path: Path, name: str) -> None:
    synthetic = SyntheticRun(videos=1)
    root = synthetic.write(tmp_path)
    (root / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        collect_run(root, load_config(synthetic.config))


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=1)
    root = synthetic.write(tmp_path)
    scores = root / "evaluate" / "base" / "scores.json"
    scores.write_text('{"scores": [{"task": "futurebench"}]}')
    with pytest.raises(InputError, match=r"scores\.json, row 1: no key 'variant'"):
        collect_run(root, load_config(synthetic.config))
    scores.write_text("[]")
    with pytest.raises(InputError, match="expected an object with a list 'scores'"):
        collect_run(root, load_config(synthetic.config))


def test_jobs_are_summed_by_rule_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    write_benchmark(tmp_path / "zeta" / "1.tsv", 10.0, 100, ended=100)
    write_benchmark(tmp_path / "zeta" / "deep" / "2.tsv", 30.0, 300, ended=300)
    write_benchmark(tmp_path / "alpha.tsv", 5.0, 50, ended=200)
    costs = rule_costs(read_jobs(tmp_path))
    assert [(cost.rule, cost.jobs, cost.seconds, cost.peak_mb) for cost in costs] == [
        ("zeta", 2, 40.0, 300.0),
        ("alpha", 1, 5.0, 50.0),
    ]
    total = total_cost(costs)
    assert (total.jobs, total.seconds, total.peak_mb) == (3, 45.0, 300.0)
    assert total.cpu_seconds == pytest.approx(40.5)


def test_jobs_too_short_to_be_measured_and_bad_files(tmp_path: Path) -> None:
    (tmp_path / "short.tsv").write_text("s\tmax_rss\tcpu_time\n0.02\t-\tNA\n")
    assert [(job.seconds, job.peak_mb, job.cpu_seconds) for job in read_jobs(tmp_path)] == [(0.02, None, None)]
    assert total_cost(rule_costs([Job("r", 1.0, None, None, 0.0)])).peak_mb is None
    (tmp_path / "short.tsv").write_text("s\tmax_rss\nlong\t1\n")
    with pytest.raises(InputError, match=r"short\.tsv: column 's' holds 'long'"):
        read_jobs(tmp_path)


def test_figures_are_written_for_people() -> None:
    assert [format_duration(s) for s in (8.44, 59.97, 185, 7800)] == ["8.4 s", "1 min 00 s", "3 min 05 s", "2 h 10 min"]
    assert [format_memory(mb) for mb in (180.2, 2750)] == ["180 MB", "2.7 GB"]
    assert [format_count(n) for n in (640, 1_240_000, 3_750_000_000)] == ["640", "1.24 M", "3.75 B"]


def test_entry_point_writes_both_files_and_the_same_csv_again(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=2)
    root = synthetic.write(tmp_path / "run")

    def make(config: str, out: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, "scripts/make_report.py", "--run-dir", root, "--config", config, "--out-dir", out]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    for out in ("a", "b"):
        assert make(json.dumps(synthetic.config), tmp_path / out).stderr == ""
    assert (tmp_path / "a/results.csv").read_bytes() == (tmp_path / "b/results.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "cards",
        "index.html",
        "results.csv",
        "results.parquet",
        "results.tex",
    ]
    failed = make("{", tmp_path / "c")
    assert (failed.returncode, failed.stderr.startswith("error: --config: not JSON")) == (2, True)
    assert not (tmp_path / "c").exists()


def test_the_report_does_not_import_torch() -> None:
    code = "import sys; import nep.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0
