"""How far one job or stage is: by a training's logs, by a ledger of videos, or by the progress bar in a job's log."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAIL_BYTES = 1 << 16
# The rate is that of the newest steps, or of the last minutes.
RECENT_STEPS, RECENT_S = 20, 300
# As tqdm writes it: `sft:  38%|███▊      | 3/8 [00:00<00:00, 23.27step/s, loss=5.4675]`.
BAR = re.compile(
    r"(?P<label>[^\r\n|]*?)(?:: +)?\d+%\|[^|\r\n]*\| (?P<done>\d+)/(?P<total>\d+) "
    r"\[[\d:]+<[\d:?]+, +(?:(?P<rate>[\d.]+)(?P<unit>[a-z]+)/s|(?P<pace>[\d.]+)s/(?P<slow_unit>[a-z]+)|\?[a-z]+/s)"
    r"(?=[,\]])"
)
ANY_UNIT = "it"
SHOWN = {
    "sft": ("loss", "lr", "grad_norm"),
    "grpo": ("reward", "accuracy", "kl", "entropy", "completion_tokens"),
}
STEP = "step"


@dataclass(frozen=True)
class Progress:
    """`done` of `total` (None: not known) units; `rate` is units a second, None before the first; `notes` say more."""

    done: int
    total: int | None
    unit: str
    rate: float | None
    notes: tuple[str, ...] = ()

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at the present rate; None where that cannot be said."""
        if self.total is None or not self.rate:
            return None
        return (self.total - self.done) / self.rate


def bar_progress(text: str, label: str = "") -> Progress | None:
    """The last progress bar (whose label ends in `label`) in a log, its unit "" where tqdm gave none; None without."""
    bars = [bar for bar in BAR.finditer(text) if bar["label"].endswith(label)]
    if not bars:
        return None
    last = bars[-1]
    unit = last["unit"] or last["slow_unit"] or ANY_UNIT
    rate = float(last["rate"]) if last["rate"] else 1 / float(last["pace"]) if last["pace"] else None
    return Progress(int(last["done"]), int(last["total"]), "" if unit == ANY_UNIT else unit, rate)


def ledger_progress(written: Sequence[float], total: int, since: float, now: float) -> Progress:
    """Videos of which a ledger has an entry `written` at these times; those after `since` tell the rate."""
    began = max(since, now - RECENT_S)
    recent = sum(moment >= began for moment in written)
    return Progress(len(written), total, "video", recent / (now - began) if recent and now > began else None)


def training_progress(
    stage: str,
    metrics: Sequence[Mapping[str, Any]],
    timings: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
    total: int | None,
) -> Progress | None:
    """Steps by the newest rows of a training's logs, with the last figures; None before the first step."""
    if not metrics:
        return None
    last = metrics[-1]
    recent = [row["seconds"] for row in timings[-RECENT_STEPS:]]
    rate = len(recent) / sum(recent) if recent else None
    notes = [", ".join(_figure(name, last[name]) for name in SHOWN[stage] if last.get(name) is not None)]
    if validation:
        figures = [_figure(name, value) for name, value in validation[-1].items() if name != STEP and value is not None]
        notes.append(f"validation at {STEP} {validation[-1][STEP]}: {', '.join(figures) or 'nothing held out'}")
    return Progress(last[STEP], total, STEP, rate, tuple(filter(None, notes)))


def tail(path: Path) -> str:
    """The end of a text file; empty where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return stream.read().decode("utf-8", errors="replace")


def last_rows(path: Path) -> list[dict[str, Any]]:
    """The newest rows of a JSONL file that grows: whole lines from its end, none where it is absent."""
    text = tail(path)
    lines = text.splitlines(keepends=True)
    whole = lines[1:] if path.is_file() and path.stat().st_size > TAIL_BYTES else lines
    return [json.loads(line) for line in whole if line.endswith("\n")]


def _figure(name: str, value: float) -> str:
    return f"{name} {value:.4g}"
