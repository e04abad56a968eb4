"""Time stamps of annotations: the forms in which models wrote them, and the split time that they give."""

import re
from decimal import Decimal
from typing import Any

from nep.rows.quarantine import Reason, Rejection

START_KEYS = ("start", "start_time")
END_KEYS = ("end", "end_time")
SCENE = re.compile(r"scene\s*(\d{1,6})\b", re.IGNORECASE)
CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:\.\d*)?)")
SECONDS = re.compile(r"\d{1,9}(?:\.\d*)?|\.\d+")
SECONDS_A_MINUTE = 60
MAX_SECONDS = 1e9


def parse_seconds(value: Any) -> float:
    """Seconds from a number, `"12.5"`, `"MM:SS.ff"` or `"HH:MM:SS(.ff)"`.

    Raises Rejection (bad_split_time) for anything else; numbers that are negative or not finite are among it.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS:
        return float(value)
    if isinstance(value, str):
        text = value.strip()
        if SECONDS.fullmatch(text):
            return float(text)
        if (clock := CLOCK.fullmatch(text)) and (seconds := _clock_seconds(*clock.groups())) is not None:
            return seconds
    raise Rejection(Reason.BAD_SPLIT_TIME, f"{value!r} is not seconds, MM:SS.ff or HH:MM:SS.ff")


def parse_scene_number(value: Any) -> int | None:
    """K of `"Scene K"` (or of the bare number), 1-based; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 1 else None
    found = SCENE.search(value) if isinstance(value, str) else None
    return int(found.group(1)) if found and int(found.group(1)) >= 1 else None


def parse_split_time(scenes_timestep: Any) -> float:
    """Split time in seconds: the start of the last item, else the end of item [0] (a start of zero is no split).

    Raises Rejection: missing_split_time when there is no time stamp, bad_split_time when it cannot be read or is zero.
    """
    items = _single_scenes(scenes_timestep)
    if not items:
        raise Rejection(Reason.MISSING_SPLIT_TIME, f"video_split.scenes_timestep is {scenes_timestep!r}")
    stamps = [stamp for stamp in (_span(items[-1])[0], _span(items[0])[1]) if not _is_absent(stamp)]
    if not stamps:
        raise Rejection(Reason.MISSING_SPLIT_TIME, "neither the last scene has a start nor the first one an end")
    times = [parse_seconds(stamp) for stamp in stamps]
    positive = [time for time in times if time > 0]
    if not positive:
        raise Rejection(Reason.BAD_SPLIT_TIME, f"the split time must be above 0, found {stamps[0]!r}")
    return positive[0]


def parse_split_scene(scenes_timestep: Any) -> int | None:
    """The last scene of the first part (1-based): what the first key of item [0] names; None where it names none.

    Raises Rejection (bad_record) for a table's `split_scene` that is no number.
    """
    items = _single_scenes(scenes_timestep)
    item = items[0] if items else None
    if not isinstance(item, dict):
        return None
    if "split_scene" in item:
        raise Rejection(Reason.BAD_RECORD, f"split_scene must be a whole number from 1, found {item['split_scene']!r}")
    return parse_scene_number(next(iter(item))) or parse_scene_number(item.get("scene"))


def _clock_seconds(hours: str | None, minutes: str, seconds: str) -> float | None:
    if float(seconds) >= SECONDS_A_MINUTE or (hours is not None and int(minutes) >= SECONDS_A_MINUTE):
        return None
    whole = int(hours or 0) * SECONDS_A_MINUTE**2 + int(minutes) * SECONDS_A_MINUTE
    # Added as decimals: a clock time must not differ from the same time written in seconds.
    return float(whole + Decimal(seconds))


def _single_scenes(scenes_timestep: Any) -> list[Any]:
    """One item a scene: a dict of several scenes counts as that many items."""
    items = scenes_timestep if isinstance(scenes_timestep, list) else [scenes_timestep]
    return [part for item in items for part in _scenes_of_item(item) if not _is_absent(part)]


def _scenes_of_item(item: Any) -> list[Any]:
    if isinstance(item, dict) and len(item) > 1 and all(SCENE.search(str(key)) for key in item):
        return [{key: value} for key, value in item.items()]
    return [item]


def _span(item: Any) -> tuple[Any, Any]:
    """(start, end) of an item: `[start, end]`, a flat dict, or either of them below a scene's name."""
    if isinstance(item, list):
        if len(item) != 2:
            raise Rejection(Reason.BAD_SPLIT_TIME, f"{item!r} is not [start, end]")
        return item[0], item[1]
    if not isinstance(item, dict):
        raise Rejection(Reason.BAD_SPLIT_TIME, f"{item!r} is not a scene with start and end")
    if any(key in item for key in (*START_KEYS, *END_KEYS)):
        return _first_of(item, START_KEYS), _first_of(item, END_KEYS)
    named = next((value for key, value in item.items() if SCENE.search(str(key))), None)
    return (None, None) if _is_absent(named) else _span(named)


def _first_of(item: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((item[key] for key in keys if not _is_absent(item.get(key))), None)


def _is_absent(value: Any) -> bool:
    return value is None or value == {} or value == [] or (isinstance(value, str) and not value.strip())
