"""From a run's results to repositories: prepare, check, show, send, note."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, is_offline_mode

from nep.errors import InputError
from nep.layout.models import trained_in
from nep.layout.runs import SPACE
from nep.publish.benchmark import benchmark_bundle, has_questions
from nep.publish.bundle import Bundle, Kind, Target
from nep.publish.card import configuration
from nep.publish.dataset import data_bundle
from nep.publish.hub import Difference, check_repository, check_token, compare, create_repository, send
from nep.publish.licence import Licence
from nep.publish.model import chosen_model, model_bundle
from nep.publish.records import published_repo, write_record
from nep.publish.space import space_bundle
from nep.publish.traces import refuse_traces

Part = Literal["data", "benchmark", "model", "space"]
What = Literal["data", "benchmark", "model", "space", "all"]
# In the order in which they are published: a model's card names the data set.
KINDS: dict[Part, Kind] = {"data": "dataset", "benchmark": "dataset", "model": "model", "space": "space"}
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
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

    Token and rights are looked at first, then every file, and only then anything is sent. Raises InputError.
    """
    targets = ordered(run, order)
    user = check_token(api, next(iter(targets.values())))
    there = {what: check_repository(api, target, user, order.public) for what, target in targets.items()}
    records = []
    for what, bundle in make_bundles(run, order, targets).items():
        if not there[what]:
            create_repository(api, bundle, user, order.public)
        difference = compare(api, bundle)
        show(described(bundle, order, difference))
        commit = send(api, bundle, difference, f"Publish {bundle.what} of the run {run.name}")
        records.append(write_record(run, bundle, commit, order.licence.identifier))
        show(f"{bundle.target.label}: published at {commit} ({records[-1]})")
        if bundle.block:
            show(configuration(bundle.configuration(commit)))
    return records


def show_plan(run: Path, order: Order, api: HfApi, show: Callable[[str], None]) -> None:
    """Say what `publish` would send, and send nothing. Offline, nothing is known of what the hub has."""
    for bundle in make_bundles(run, order, ordered(run, order)).values():
        show(described(bundle, order, None if is_offline_mode() else compare(api, bundle)))


def ordered(run: Path, order: Order) -> dict[Part, Target]:
    """The repositories that are ordered, by what goes into them. Raises InputError."""
    if not run.is_dir():
        raise InputError(f"{run}: no such run")
    if not REPOSITORY.fullmatch(order.repo):
        raise InputError(f"--to {order.repo!r}: a repository is OWNER/NAME, of letters, digits and . _ -")
    parts = parts_there(run) if order.what == "all" else [order.what]
    # The hub keeps data sets and benchmarks under one roof.
    suffix = {"benchmark": BENCHMARK_SUFFIX} if order.what == "all" else {}
    return {part: Target(KINDS[part], order.repo + suffix.get(part, "")) for part in parts}


def parts_there(run: Path) -> list[Part]:
    """What the run has to publish. Raises InputError where that is nothing."""
    there = {
        "data": (run / "convert/manifest.json").is_file(),
        "benchmark": has_questions(run),
        "model": bool(trained_in(run)),
        "space": (run / SPACE).is_dir(),
    }
    if not any(there.values()):
        raise InputError(f"{run}: neither data sets nor a trained model; there is nothing to publish yet")
    return [part for part in KINDS if there[part]]


def make_bundles(run: Path, order: Order, targets: Mapping[Part, Target]) -> dict[Part, Bundle]:
    """Prepare what goes into the repositories, below `work/publish` of the run, and look for traces of this machine.

    Raises InputError where a file is not complete, or names this machine.
    """
    data = targets["data"].repo if "data" in targets else published_repo(run, "data")
    bundles = {part: _make_bundle(run, order, part, target, data) for part, target in targets.items()}
    for bundle in bundles.values():
        for name, file in bundle.files.items():
            refuse_traces(name, file)
    return bundles


def _make_bundle(run: Path, order: Order, part: Part, target: Target, data: str | None) -> Bundle:
    staging = run / "work/publish" / part
    staging.mkdir(parents=True, exist_ok=True)
    if part == "model":
        return model_bundle(run, chosen_model(run, order.model), target, order.licence, data, staging)
    if part == "space":
        return space_bundle(run, target, order.licence, staging)
    make = data_bundle if part == "data" else benchmark_bundle
    return make(run, target, order.licence, order.with_videos, staging)


def described(bundle: Bundle, order: Order, difference: Difference | None) -> str:
    """The files of a repository with sizes and what becomes of them, as text."""
    seen = "public" if order.public else "private"
    whole = f"{len(bundle.files)} files, {size(bundle.size(bundle.files))}"
    head = f"{bundle.target.label} ({seen}, {order.licence.identifier}): {whole}"
    if difference is None:
        rows = [_line("", bundle, name) for name in sorted(bundle.files)]
        return "\n".join([f"{head}; offline: what the hub has of it is not known", *rows])
    marks = {"new": difference.new, "changed": difference.changed, "there": difference.same}
    rows = [_line(mark, bundle, name) for mark, names in marks.items() for name in names]
    stale = [f"  {'deleted':8}{'':>10}  {name}" for name in difference.stale]
    return "\n".join([f"{head}; {size(bundle.size(difference.to_send))} to send", *rows, *stale])


def _line(mark: str, bundle: Bundle, name: str) -> str:
    return f"  {mark:8}{size(bundle.size([name])):>10}  {name}"


def size(number: int) -> str:
    """Bytes in the largest decimal unit below them, as the hub shows them."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.1f} {unit}" if unit != "B" else f"{number} B"
        number /= 1000
    return f"{number:.1f} GB"
