"""Why a job runs, in words: Snakemake's reasons, with the keys of the configuration that have changed."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "forced",
    "missing output",
    "incomplete output",
    "changed params",
    "changed code",
    "changed environment",
    "changed inputs",
    "updated input",
    "runs after",
]
SHOWN = 4
# The param that holds the fingerprint of a script and of what it imports.
CODE = "code"


@dataclass(frozen=True)
class Reason:
    """One reason of a job: `detail` says what changed. Where that is the recipe, `before` and `now` are the two."""

    kind: Kind
    detail: str = ""
    before: Mapping[str, Any] = field(default_factory=dict, compare=False)
    now: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def reasons_of(reason: Any, params: Any, makers: Mapping[str, str]) -> Iterator[Reason]:
    """The reasons in a `snakemake.jobs.Reason`. `params` are the job's; `makers` gives the rule that makes an input.

    That inputs will be made anew is said only of jobs that would not run otherwise.
    """
    found = list(_own_reasons(reason, params))
    made = sorted({makers[file] for file in reason.updated_input_run if file in makers})
    if not found and made:
        found.append(Reason("runs after", ", ".join(made)))
    yield from found


def _own_reasons(reason: Any, params: Any) -> Iterator[Reason]:
    if reason.forced:
        yield Reason("forced")
    if reason.missing_output:
        yield Reason("missing output")
    if reason.incomplete_output:
        yield Reason("incomplete output", _some(sorted(map(str, reason.incomplete_output))))
    if reason.params_changed:
        yield from _changed_params(reason.params_changed, params)
    if reason.code_changed:
        yield Reason("changed code", "of the rule")
    if reason.software_stack_changed:
        yield Reason("changed environment")
    if reason.input_changed:
        yield Reason("changed inputs", "other files than before")
    if updated := sorted(map(str, reason.updated_input - reason.updated_input_run)):
        yield Reason("updated input", _some(updated))


def _changed_params(change: Any, params: Any) -> Iterator[Reason]:
    """Snakemake compares params as sets of values: which old one a new one has replaced is told by its form."""
    names = {repr(value): name for name, value in params.items()}
    new = {names.get(text, ""): _decoded(text) for text in sorted(change.only_new)}
    old = [_decoded(text) for text in sorted(change.only_old)]
    if CODE in new:
        yield Reason("changed code", "of its script or a module that this imports")
        new.pop(CODE)
        old = [value for value in old if not _is_fingerprint(value)]
    details: list[str] = []
    before: Mapping[str, Any] = {}
    now: Mapping[str, Any] = {}
    for name, value in new.items():
        former = _former(value, old)
        if isinstance(value, dict) and isinstance(former, dict):
            prefix = "" if name == "recipe" else f"{name}."
            details += _differences(former, value, prefix)
            if name == "recipe":
                before, now = former, value
        else:
            details.append(f"{name or 'a value'}: {_shown(former)} → {_shown(value)}")
    if details or (old and not new):
        yield Reason("changed params", _some(details), before, now)


def _decoded(text: str) -> Any:
    """A param from its `repr`, and from JSON where it is a configuration block."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if not isinstance(value, str):
        return value
    try:
        block = json.loads(value)
    except json.JSONDecodeError:
        return value
    return block if isinstance(block, dict) else value


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 16 and set(value) <= set("0123456789abcdef")


def _former(value: Any, old: list[Any]) -> Any:
    """The old value of the same form: the block with the most keys in common, else the only one of its type."""
    alike = [item for item in old if type(item) is type(value)]
    if isinstance(value, dict):
        return max(alike, key=lambda item: len(item.keys() & value.keys()), default=None)
    return alike[0] if len(alike) == 1 else None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    """`key: old → new` for each leaf that differs."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            lines += _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            lines.append(f"{prefix}{key}: {_shown(one)} → {_shown(other)}")
    return lines


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
