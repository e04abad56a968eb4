"""What was run, and where its configuration differs from the default."""

from pathlib import Path

import yaml
from support.html_page import Page
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import collect_run
from nep.report.overview import REQUIRED, config_changes, run_description
from nep.report.page import render_page


def changes(**values) -> dict[str, tuple[str, str]]:
    config = load_config({**SyntheticRun().config, **values})
    return {change.key: (change.value, change.default) for change in config_changes(config)}


def test_only_keys_that_differ_are_listed() -> None:
    found = changes(vision={"frames": 16}, split={"crf": 18}, seed=4)
    assert found["vision.frames"] == ("16", "32")
    assert found["seed"] == ("4", "0")
    assert found["run"] == ("synthetic", REQUIRED)
    assert found["source.path"] == ("data", "null")
    assert not any(key.startswith("split") for key in found)


def test_an_experiment_stands_beside_the_runs_own_blocks() -> None:
    found = changes(
        sft={"lr": 1e-3},
        experiments={"a": {"sft": {"epochs": 1, "lora": {"rank": 4}}}, "b": {"sft": {"lr": 1e-3}}},
    )
    assert found["sft.lr"] == ("0.001", "1.0e-05")
    assert found["experiments.a.sft.epochs"] == ("1", "3")
    assert found["experiments.a.sft.lora.rank"] == ("4", "16")
    assert "experiments.a.sft.lr" not in found
    assert found["experiments.b.sft"] == ("as sft", REQUIRED)


def test_how_a_stage_is_run_is_no_change() -> None:
    assert changes(sft={"processes": 8, "checkpoint_minutes": 7}) == changes()


def test_a_reference_is_a_change_and_how_fast_it_is_asked_is_not() -> None:
    reference = {"url": "http://h/v1", "model": "m", "key_from": "KEY", "concurrent": 3}
    value, default = changes(references={"large": reference})["references"]
    assert default == "{}"
    assert yaml.safe_load(value) == {"large": {"url": "http://h/v1", "model": "m", "key_from": "KEY", "timeout_s": 120}}


def test_the_description_names_data_model_and_time(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=1)
    config = load_config(
        {
            **synthetic.config,
            "source": {"kind": "hub", "repo": "who/what", "revision": "abc"},
            "experiments": {"next_event": {"sft": {"datasets": {"next_event": 5000, "mix": None}}, "grpo": {}}},
        }
    )
    root = synthetic.write(tmp_path)
    described = dict(run_description(collect_run(root, config)))
    assert described["Source"] == "who/what @ abc"
    assert described["Base model"] == "model (folder)"
    assert described["Experiments"] == "next_event (SFT on 5,000 next_event + mix, then GRPO on next_event_mc)"
    assert described["On"] == "not recorded"
    assert described["When"].endswith("to 2023-11-14 22:13 UTC, first job to last")
    for path in (root / "benchmarks").rglob("*.tsv"):
        path.unlink()
    assert dict(run_description(collect_run(root, config)))["When"] == "not recorded"


def test_the_machine_is_named_and_without_a_gpu_no_time_of_one(tmp_path: Path) -> None:
    texts = {}
    for name, gpus in (("cpu", ()), ("gpu", ("NVIDIA H100",) * 8)):
        synthetic = SyntheticRun(videos=1, gpus=gpus)
        texts[name] = Page(
            render_page(collect_run(synthetic.write(tmp_path / name), load_config(synthetic.config)))
        ).text
    machine = "Fast CPU, 8 cores, 64 GiB"
    assert f"On {machine}; no GPU; Linux x86_64, Python 3.11.2" in texts["cpu"]
    assert f"On {machine}; 8 × NVIDIA H100; Linux x86_64" in texts["gpu"]
    assert ("GPU time" in texts["cpu"], "GPU time" in texts["gpu"]) == (False, True)
