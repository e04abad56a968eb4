"""From a run's results to repositories: prepare, check, show, send, note."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from huggingface_hub import HfApi, is_offline_mode

from nep.errors import InputError
from nep.publish.benchmark import benchmark_bundle, has_questions
from nep.publish.bundle import Bundle
from nep.publish.card import configuration
from nep.publish.dataset import data_bundle
from nep.publish.hub import Difference, check_repository, check_token, compare, create_repository, send
from nep.publish.licence import Licence
from nep.publish.model import chosen_model, model_bundle, trained_models
from nep.publish.records import published_repo, write_record
from nep.publish.space import FOLDER as SPACE
from nep.publish.space import space_bundle
from nep.publish.traces import refuse_traces

What = Literal["data", "benchmark", "model", "space", "all"]
BENCHMARK_SUFFIX = "-benchmark"


@dataclass(frozen=True)
class Order:
    """What is asked for: `model` names one of several trained models."""

    what: What
    repo: str
    licence: Licence
    model: str | None = None
    with_videos: bool = False
    public: bool = False


def publish(run: Path, order: Order, api: HfApi, show: Callable[[str], None]) -> list[Path]:
    """Publish what is ordered, one repository after another; the records of it.

    Every file, repository and right is looked at before anything is sent. Raises InputError.
    """
    bundles = make_bundles(run, order)
    user = check_token(api, bundles[0])
    there = {bundle.label: check_repository(api, bundle, user, order.public) for bundle in bundles}
    records = []
    for bundle in bundles:
        if not there[bundle.label]:
            create_repository(api, bundle, user, order.public)
        difference = compare(api, bundle)
        show(described(bundle, order, difference))
        commit = send(api, bundle, difference, f"Publish {bundle.what} of the run {run.name}")
        records.append(write_record(run, bundle, commit, order.licence.identifier))
        show(f"{bundle.label}: published at {commit} ({records[-1]})")
        if bundle.block:
            show(configuration(bundle.configuration(commit)))
    return records


def show_plan(run: Path, order: Order, api: HfApi, show: Callable[[str], None]) -> None:
    """Say what `publish` would send, and send nothing. Offline, nothing is known of what the hub has."""
    for bundle in make_bundles(run, order):
        show(described(bundle, order, None if is_offline_mode() else compare(api, bundle)))


def make_bundles(run: Path, order: Order) -> list[Bundle]:
    """The repositories that are ordered, checked for traces of this machine. Raises InputError."""
    if not run.is_dir():
        raise InputError(f"{run}: no such run")
    if order.repo.count("/") != 1 or not all(order.repo.split("/")):
        raise InputError(f"--to {order.repo!r}: a repository is OWNER/NAME")
    wanted = wanted_parts(run) if order.what == "all" else [order.what]
    data = order.repo if "data" in wanted else published_repo(run, "data")
    bundles = [make_bundle(run, order, what, data) for what in wanted]
    for bundle in bundles:
        for name, file in bundle.files.items():
            refuse_traces(name, file)
    return bundles


def wanted_parts(run: Path) -> list[What]:
    """What `all` is of this run."""
    there = {
        "data": (run / "convert/manifest.json").is_file(),
        "benchmark": has_questions(run),
        "model": bool(trained_models(run)),
        "space": (run / SPACE).is_dir(),
    }
    found = [what for what in get_args(What) if there.get(what)]
    if not found:
        raise InputError(f"{run}: neither data sets nor a trained model; there is nothing to publish yet")
    return found


def make_bundle(run: Path, order: Order, what: What, data: str | None) -> Bundle:
    """Prepare one repository below `work/publish` of the run; `data` is the one of its data sets, where published."""
    staging = run / "work/publish" / what
    staging.mkdir(parents=True, exist_ok=True)
    if what == "model":
        return model_bundle(run, chosen_model(run, order.model), order.repo, order.licence, data, staging)
    if what == "space":
        return space_bundle(run, order.repo, order.licence, staging)
    if what == "data":
        return data_bundle(run, order.repo, order.licence, order.with_videos, staging)
    # The hub keeps data sets and benchmarks under one roof.
    repo = order.repo + (BENCHMARK_SUFFIX if order.what == "all" else "")
    return benchmark_bundle(run, repo, order.licence, order.with_videos, staging)


def described(bundle: Bundle, order: Order, difference: Difference | None) -> str:
    """The files of a repository with sizes and what becomes of them, as text."""
    states = dict.fromkeys(bundle.files, "")
    if difference:
        marks = {"new": difference.new, "changed": difference.changed, "there": difference.same}
        states = {name: mark for mark, names in marks.items() for name in names}
    rows = [f"  {states[name]:8}{size(file.stat().st_size):>10}  {name}" for name, file in sorted(bundle.files.items())]
    stale = [f"  {'deleted':8}{'':>10}  {name}" for name in (difference.stale if difference else [])]
    sent = "" if difference is None else f"; {size(sum_of(bundle, difference.to_send))} to send"
    seen = "public" if order.public else "private"
    head = f"{bundle.label} ({seen}, {order.licence.identifier}): {len(bundle.files)} files, {size(bundle.size)}{sent}"
    unknown = ["  offline: what the hub has is not known"] if difference is None else []
    return "\n".join([head, *unknown, *rows, *stale])


def sum_of(bundle: Bundle, names: list[str]) -> int:
    """Bytes of these files."""
    return sum(bundle.files[name].stat().st_size for name in names)


def size(number: int) -> str:
    """Bytes in the largest decimal unit below them, as the hub shows them."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.1f} {unit}" if unit != "B" else f"{number} B"
        number /= 1000
    return f"{number:.1f} GB"
