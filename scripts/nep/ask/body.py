"""A request as the JSON that the API takes, and the key of its answer."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from nep.ask.request import Frame, Request, schema_of
from nep.config.asked_endpoint import AskedEndpoint
from nep.files import sha256_of_json

SCHEMA_FOLLOWS = "Answer with one JSON object that has this JSON schema, and with nothing else:"
FAULT = "This answer cannot be used: {fault}\nGive the whole answer again, as one JSON object of the schema."


def body_of(endpoint: AskedEndpoint, request: Request, turns: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """The request's JSON; `turns` are the messages since the question."""
    body = _body(endpoint, request, lambda frame: {"type": "image_url", "image_url": {"url": frame.data_url}})
    return {**body, "messages": [*body["messages"], *turns]}


def key_of(endpoint: AskedEndpoint, request: Request) -> str:
    """SHA-256 of all that decides the answer, hexadecimal: the request's JSON (frames by their hashes), the sample."""
    body = _body(endpoint, request, lambda frame: {"jpeg_sha256": frame.sha256})
    return sha256_of_json({"body": body, "sample": request.sample})


def asked_again(text: str, fault: str) -> list[dict[str, str]]:
    """The turns that ask for an answer again, with the fault of this one."""
    return [{"role": "assistant", "content": text}, {"role": "user", "content": FAULT.format(fault=fault)}]


def _body(endpoint: AskedEndpoint, request: Request, show: Callable[[Frame], dict[str, Any]]) -> dict[str, Any]:
    system, schema = request.system, schema_of(request.answer)
    json_schema = {"name": request.answer.__name__, "schema": schema, "strict": True}
    form = {"response_format": {"type": "json_schema", "json_schema": json_schema}}
    if endpoint.structured == "validate":
        system, form = f"{system}\n\n{SCHEMA_FOLLOWS}\n{json.dumps(schema)}", {}
    body = {
        "model": endpoint.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": _content(request, show)}],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        **form,
        **endpoint.parameters,
    }
    return {name: value for name, value in body.items() if value is not None}


def _content(request: Request, show: Callable[[Frame], dict[str, Any]]) -> str | list[dict[str, Any]]:
    # Not every text model takes a list of parts.
    if all(isinstance(part, str) for part in request.content):
        return "\n".join(request.content)
    return [{"type": "text", "text": part} if isinstance(part, str) else show(part) for part in request.content]
