"""What a request of lmms-eval holds, and which requests may be answered in one batch."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmms_eval.api.instance import Instance

from nep.evaluate.ledger import Key


def key_of(request: Instance) -> Key:
    """Task and number of the document that a request is about."""
    return request.args[4], request.args[3]


def settings_of(request: Instance) -> dict[str, Any]:
    """Settings for generation: a chat model's request has them after its messages, another one's before its visuals."""
    return next(argument for argument in request.args[1:3] if isinstance(argument, dict))


def messages_of(request: Instance, task_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Messages of a chat model's request about a document of `task_dict` (task → split → documents)."""
    _, messages, _, doc, task, split = request.args
    return messages(task_dict[task][split][doc])


def first_video(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Path of the first video that messages show; None without one."""
    parts = (part for message in messages for part in message["content"])
    return next((part["url"] for part in parts if part["type"] == "video"), None)


def batches(
    requests: Sequence[Instance], size: int, frames_of: Callable[[Instance], int | None]
) -> Iterator[list[Instance]]:
    """Requests of the same settings for generation and the same `frames_of`, `size` at a time, in their order."""
    groups: dict[tuple[str, int | None], list[Instance]] = {}
    for request in requests:
        settings = json.dumps(settings_of(request), sort_keys=True, default=str)
        groups.setdefault((settings, frames_of(request)), []).append(request)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]
