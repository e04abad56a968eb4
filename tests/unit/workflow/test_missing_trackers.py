"""Trackers that a user asks for and has not installed."""

import pytest
import yaml
from support.entry_points import ROOT

from nep.config.sft import Sft
from nep.config.whole import load_config
from nep.errors import InputError
from nep.workflow import trackers
from nep.workflow.trackers import check_tracker, check_trackers


def test_a_tracker_that_is_not_installed_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for name in ("tensorboard", "wandb", "trackio"):
        with pytest.raises(InputError, match=rf"sft\.tracker: '{name}' needs the package {name}, .*pip install {name}"):
            check_tracker("sft", Sft(tracker=name))
    check_tracker("sft", Sft())


def test_all_experiments_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    values["experiments"]["nep"]["grpo"]["tracker"] = "trackio"
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^experiments\.nep\.grpo\.tracker: 'trackio'"):
        check_trackers(load_config(values))
    values["experiments"]["nep"]["grpo"]["tracker"] = "none"
    check_trackers(load_config(values))


def test_those_of_the_requirements_are_there() -> None:
    for name in ("tensorboard", "wandb"):
        check_tracker("sft", Sft(tracker=name))
