"""What is asked, and how it can fail: for one video, or for the run."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from nep.errors import InputError
from nep.rows.quarantine import Reason, Rejection

# The reasons of Unanswered: the next start asks again.
UNANSWERED = frozenset({Reason.ANSWER_INVALID, Reason.ANSWER_TRUNCATED, Reason.ANSWER_REFUSED, Reason.ANSWER_FAILED})


class Answer(BaseModel):
    """Base of typed answers. Endpoints hold to a schema only where it is closed: no other fields, all required."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=BaseModel)


class Unanswered(Rejection):
    """One question got no answer that can be used: one video's problem, and the run goes on."""


class EndpointDownError(InputError):
    """The endpoint gives no answers (down, refused key, cap reached): the run ends, and keeps what was answered."""


@dataclass(frozen=True)
class Frame:
    """A JPEG image that the request shows."""

    jpeg: bytes

    @property
    def sha256(self) -> str:
        """Hash of the image's bytes, hexadecimal."""
        return hashlib.sha256(self.jpeg).hexdigest()

    @property
    def data_url(self) -> str:
        """The image as the API takes it."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


@dataclass(frozen=True)
class Request(Generic[A]):
    """One question to a model.

    Attributes:
        step: name of the step; tokens and money are counted by it. No part of the cache's key.
        system: the system message.
        content: parts of the user's message, in order.
        answer: model of the answer; its JSON schema goes to the endpoint.
        max_tokens: longest answer; a longer one is cut off and cannot be used.
        temperature: of sampling.
        sample: number of this answer among several to the same question.
        context: pydantic's validation context, such as the duration of the video. No part of the cache's key: a cached
            answer is validated again.
    """

    step: str
    system: str
    content: tuple[str | Frame, ...]
    answer: type[A]
    max_tokens: int
    temperature: float = 0.0
    sample: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)


@cache
def schema_of(answer: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of an answer. Raises TypeError for one that endpoints do not hold to (see `Answer`)."""
    schema = answer.model_json_schema()
    for name, part in {answer.__name__: schema, **schema.get("$defs", {})}.items():
        fields = part.get("properties", {})
        if part.get("type") == "object" and (
            part.get("additionalProperties") is not False or set(part.get("required", ())) != set(fields)
        ):
            raise TypeError(f"{name}: an answer's model must forbid extra fields and require all of its own")
    return schema
