"""The folder that can be put up: what is in it, and what its requirements hold. `tests/browser` starts it."""

from pathlib import Path

import pytest
import yaml
from support.app_run import write_app_run
from support.entry_points import ROOT
from support.environments import distributions_of, third_party_imports

from environment_pins import pins
from nep.app.examples import VIDEOS, examples_of
from nep.app.space import write_space
from nep.errors import InputError
from nep.predict.run_models import models_of_run


@pytest.fixture(scope="module")
def run(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_app_run(tmp_path_factory.mktemp("runs") / "mine", tiny_checkpoint)


def test_it_holds_a_run_that_predicts_as_the_whole_one(run: Path, tmp_path: Path) -> None:
    write_space(run, ROOT, tmp_path / "space", 2, ("nep/grpo",))
    written = tmp_path / "space" / "results" / "mine"
    whole, small = models_of_run(run), models_of_run(written)
    assert [model.path for model in small.models] == ["nep/grpo"]
    assert (small.vision, small.max_new_tokens) == (whole.vision, whole.max_new_tokens)
    weights = small.models[0].folder / "model.safetensors"
    assert weights.read_bytes() == (whole.named("nep/grpo").folder / "model.safetensors").read_bytes()
    examples = examples_of(run, 2)
    assert examples_of(written, 9) == examples
    assert {file.name for file in (written / VIDEOS).iterdir()} == {Path(example.video).name for example in examples}


def test_its_readme_says_how_it_is_served(run: Path, tmp_path: Path) -> None:
    write_space(run, ROOT, tmp_path / "space", 0)
    _, header, _ = (tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---\n")
    values = yaml.safe_load(header)
    command = (tmp_path / "space" / "Dockerfile").read_text(encoding="utf-8").splitlines()[-1]
    assert values["sdk"] == "docker"
    assert f'"--port", "{values["app_port"]}"' in command and '"--run", "mine"' in command and '"--public"' in command


def test_its_requirements_hold_what_it_imports_at_our_versions() -> None:
    of_all, of_space = (
        pins((ROOT / "requirements" / name).read_text(encoding="utf-8")) for name in ("main.txt", "space.txt")
    )
    assert of_space.items() <= of_all.items()
    # What is not even installed here is imported for those alone who have it.
    installed = set().union(*map(distributions_of, third_party_imports("serve_app.py")))
    assert {"torch", "av", "jinja2"} < installed
    assert not installed - of_space.keys(), "add them to requirements/space.in"


def test_it_is_written_anew_and_over_nothing_else(run: Path, tmp_path: Path) -> None:
    write_space(run, ROOT, tmp_path / "space", 2)
    write_space(run, ROOT, tmp_path / "space", 1)
    assert len(examples_of(tmp_path / "space" / "results" / "mine", 9)) == 1
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match=r"thesis: exists and is no folder of a page"):
        write_space(run, ROOT, tmp_path / "thesis", 1)
