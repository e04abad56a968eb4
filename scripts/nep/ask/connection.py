"""One request to an OpenAI-compatible API, and what its response means."""

import asyncio
import math
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar

import openai
from openai.types import Batch
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from nep.ask.request import EndpointDownError
from nep.config.asked_endpoint import AskedEndpoint

LONGEST_DETAIL = 500
# Another question changes nothing: a refused key, no credit, no such address or model.
FOR_GOOD = (401, 402, 403, 404, 405)
NO_CREDIT = "insufficient_quota"
# What another try may change: timeouts, conflicts, "too early", throttling; 5xx too.
PASSING = (408, 409, 425, 429)
TIMED_OUT, THROTTLED = 408, 429
OVERLOADED = (TIMED_OUT, THROTTLED, 503, 504, 529)
FILTERED = "content_filter"

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What the endpoint answered: the text, why it ended, what a refusal says, and the tokens that it counted."""

    text: str
    finish: str
    refusal: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def of(cls, completion: Any) -> Self:
        """The reply of openai's client. Raises FailedError where the response was something else."""
        try:
            choice, usage = completion.choices[0], completion.usage
            return cls(
                text=choice.message.content or "",
                finish=choice.finish_reason or "",
                refusal=getattr(choice.message, "refusal", None) or "",
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
            )
        except (AttributeError, TypeError, IndexError):
            # The client does not check what it was sent.
            raise FailedError(f"no completion: {_shortened(str(completion))}") from None

    @classmethod
    def of_json(cls, body: Any) -> Self:
        """The reply in a response's JSON. Raises as `of`."""
        try:
            return cls.of(ChatCompletion.model_validate(body))
        except ValidationError as error:
            raise FailedError(f"no completion: {error}") from None


class FailedError(Exception):
    """A request that may be answered when it is sent again.

    Attributes:
        status: of the response; None: there was none.
        wait_s: seconds for which the endpoint wants no request; None: it does not say.
    """

    def __init__(self, detail: str, status: int | None = None, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self._status = status
        self.wait_s = wait_s

    @property
    def throttled(self) -> bool:
        """Whether it is no fault of this request."""
        return self._status == THROTTLED

    @property
    def overload(self) -> bool:
        """Whether fewer requests at once may help."""
        return self._status in OVERLOADED


class NotTakenError(Exception):
    """The endpoint will not take this request, now or later."""


@dataclass(frozen=True)
class Place:
    """Where an endpoint answers, the key that it asks for, and the server's process where this job has started it."""

    url: str
    key: str = field(repr=False)
    process: asyncio.subprocess.Process | None = None


class Connection:
    """The endpoint at its place."""

    def __init__(self, endpoint: AskedEndpoint, place: Place) -> None:
        self._endpoint = endpoint
        self._place = place
        # Retries are the asker's: it shares what it learns from a failure among all requests.
        self._client = openai.AsyncOpenAI(
            base_url=place.url,
            api_key=place.key,
            max_retries=0,
            timeout=endpoint.timeout_s,
            # No proxy of the environment's stands before a server of this job.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=place.process is None),
        )

    async def send(self, body: dict[str, Any]) -> Reply:
        """Send one request. Raises FailedError, NotTakenError or, where no request would do, EndpointDownError."""
        rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
        completions = self._client.chat.completions
        return Reply.of(
            await self._call(completions.create(model=body["model"], messages=body["messages"], extra_body=rest))
        )

    async def start_batch(self, lines: bytes) -> str:
        """Upload requests and have them worked through; the batch's name. Raises as `send`."""
        file = await self._call(self._client.files.create(file=("requests.jsonl", lines), purpose="batch"))
        batch = self._client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        return (await self._call(batch)).id

    async def batch(self, name: str) -> Batch:
        """How a batch stands. Raises as `send`."""
        return await self._call(self._client.batches.retrieve(name))

    async def content(self, file: str) -> bytes:
        """A file of the provider's. Raises as `send`."""
        return (await self._call(self._client.files.content(file))).content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except openai.APIStatusError as error:
            raise self._meaning(error) from None
        except openai.APITimeoutError:
            raise FailedError(f"no answer in {self._endpoint.timeout_s} s", TIMED_OUT) from None
        except openai.APIConnectionError as error:
            if self._place.process is not None and self._place.process.returncode is not None:
                status = self._place.process.returncode
                raise EndpointDownError(f"{self._endpoint.model}: its server ended with status {status}") from None
            raise FailedError(self._told(f"no connection: {error.__cause__ or error}")) from None
        except (openai.APIError, ValueError) as error:
            raise FailedError(self._told(f"no completion: {error}")) from None

    def _meaning(self, error: openai.APIStatusError) -> Exception:
        status, detail = error.status_code, self._told(f"status {error.status_code}: {error.message}")
        if error.code == FILTERED:
            return NotTakenError(FILTERED)
        if status in FOR_GOOD or error.code == NO_CREDIT:
            return EndpointDownError(
                f"{self._place.url} refuses every request ({detail}); check 'url', 'model' "
                f"and the key in {self._endpoint.key_from}. Every answer so far is kept"
            )
        if status in PASSING or status >= 500:
            return FailedError(detail, status, wait_of(error.response.headers))
        return NotTakenError(detail)

    def _told(self, detail: str) -> str:
        # Some endpoints repeat the key that they refuse.
        return _shortened(detail.replace(self._place.key, f"[{self._endpoint.key_from}]"))


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response's Retry-After asks for: a number, or a date (RFC 9110, 10.2.3); None without one."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < math.inf else None
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"
