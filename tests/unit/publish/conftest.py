import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from support.finished_run import write_finished_run
from support.writable_hub import READER, WRITER, Account, WritableHub

from nep.publish.licence import Licence
from nep.publish.stage import Order, What, publish


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("finished") / "lamps")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The finished run in a folder that the test may change."""
    return shutil.copytree(finished, tmp_path / "lamps")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """A hub whose client uses no xet, and does not wait between tries."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with WritableHub({WRITER: Account("ada"), READER: Account("ada", role="read")}) as server:
        yield server


@pytest.fixture
def api(hub: WritableHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=WRITER)


@pytest.fixture
def order() -> Callable[..., Order]:
    def make(what: What = "model", **changes) -> Order:
        return Order(**{"what": what, "repo": "ada/lamps", "licence": Licence("cc-by-4.0"), **changes})

    return make


@pytest.fixture
def shown() -> list[str]:
    """What was shown to the user."""
    return []


@pytest.fixture
def published(run: Path, api: HfApi, shown: list[str]) -> Callable[[Order], list[Path]]:
    """Publishes what is ordered of the run."""
    return lambda ordered: publish(run, ordered, api, shown.append)
