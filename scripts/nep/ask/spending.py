"""Tokens and money, by step; what earlier starts of the same shard have spent counts too."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nep.ask.connection import Reply
from nep.ask.lines import OwnFile, whole_rows
from nep.ask.request import EndpointDownError, Frame, Request
from nep.config.asked_endpoint import AskedEndpoint
from nep.files import read_json, sha256_of_json, to_json_line

MILLION = 1_000_000
# Until an answer's usage says better.
CHARACTERS_A_TOKEN, TOKENS_A_FRAME = 4, 1000
RATIO_MEMORY = 0.8


@dataclass
class Usage:
    """What a step has used.

    Attributes:
        requests: answers that the endpoint gave and charged, usable or not; those of earlier starts of the shard too.
        cached: questions that a kept answer answered, in this start.
        retries: requests of this start that failed and were sent again.
        reasks: answers of this start that had a wrong form and were asked for again.
        prompt_tokens, completion_tokens, money: of `requests`.
    """

    requests: int = 0
    cached: int = 0
    retries: int = 0
    reasks: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """The sums of both."""
        mine, others = asdict(self), asdict(other)
        return Usage(**{name: mine[name] + others[name] for name in mine})


class Spending:
    """What one of `share` shards has spent on an endpoint, and what it may spend: its part of `max_cost`."""

    def __init__(self, endpoint: AskedEndpoint, folder: Path, share: int, part: int) -> None:
        self._endpoint = endpoint
        self.cap = None if endpoint.max_cost is None else endpoint.max_cost / share
        self.usage: dict[str, Usage] = defaultdict(Usage)
        self._reserved = 0.0
        self._under_way = 0
        self._settled = asyncio.Event()
        self._ratios: dict[str, float] = {}
        place = folder / sha256_of_json([endpoint.url, endpoint.model])[:16]
        own = f"{part}-of-{share}"
        for row in _rows(place.glob(f"{own}/*.jsonl")):
            self._count(row)
        # What was spent in another number of shards is shared by these.
        others = [file for file in place.glob("*/*.jsonl") if not file.parent.name.endswith(f"-of-{share}")]
        self._before = sum(row["money"] for row in _rows(others)) / share
        self._file = OwnFile(place / own)

    @property
    def money(self) -> float:
        """What this shard has spent, in all steps and starts."""
        return self._before + sum(usage.money for usage in self.usage.values())

    @property
    def was_answered(self) -> bool:
        """Whether the endpoint has given any answer, in this start or an earlier one."""
        return any(usage.requests or usage.cached for usage in self.usage.values())

    def tokens(self, request: Request) -> float:
        """The tokens that prompt and answer may have; the prompt's by what earlier answers of the step took."""
        return self._prompt_tokens(request) + request.max_tokens

    @asynccontextmanager
    async def reserved(self, request: Request) -> AsyncIterator[None]:
        """Put by what an answer may cost while it is under way; wait where only the cost of others under way, which may
        turn out lower, stands against it. Raises EndpointDownError where it could go beyond the cap."""
        money = self._price(self._prompt_tokens(request), request.max_tokens)
        while self.cap is not None and self.money + self._reserved + money > self.cap:
            if not self._under_way:
                raise EndpointDownError(
                    f"{self._endpoint.model}: {self.money:.4f} of {self.cap:.4f}, this shard's part of max_cost, is "
                    f"spent, and the next answer may cost {money:.4f}. Every answer so far is kept: raise max_cost and "
                    "start again"
                )
            await self._settled.wait()
        self._reserved += money
        self._under_way += 1
        try:
            yield
        finally:
            self._reserved -= money
            self._under_way -= 1
            self._settled.set()
            self._settled = asyncio.Event()

    def pay(self, request: Request, reply: Reply) -> None:
        """Count a reply, and note it for later starts; where the endpoint counts no tokens, by its characters."""
        prompt = reply.prompt_tokens or round(self._prompt_tokens(request))
        completion = reply.completion_tokens or len(reply.text) // CHARACTERS_A_TOKEN
        found = prompt / _guessed_tokens(request)
        self._ratios[request.step] = RATIO_MEMORY * self._ratios.get(request.step, found) + (1 - RATIO_MEMORY) * found
        row = {
            "step": request.step,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "money": self._price(prompt, completion),
        }
        self._file.append(to_json_line(row).encode())
        self._count(row)

    def close(self) -> None:
        """Close the notes."""
        self._file.close()

    def _count(self, row: dict[str, Any]) -> None:
        tokens = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "money")}
        self.usage[row["step"]] += Usage(requests=1, **tokens)

    def _prompt_tokens(self, request: Request) -> float:
        return _guessed_tokens(request) * self._ratios.get(request.step, 1.0)

    def _price(self, prompt: float, completion: float) -> float:
        return (prompt * self._endpoint.price_in + completion * self._endpoint.price_out) / MILLION


def sum_of_usage(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """What each step has used in all shards, of the JSON file that each of them wrote."""
    total: dict[str, Usage] = {}
    for file in files:
        for step, count in read_json(file).items():
            total[step] = total.get(step, Usage()) + Usage(**count)
    return {step: asdict(count) for step, count in sorted(total.items())}


def _rows(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for file in sorted(files):
        yield from whole_rows(file)


def _guessed_tokens(request: Request) -> float:
    parts = (request.system, *request.content)
    return 1 + sum(TOKENS_A_FRAME if isinstance(part, Frame) else len(part) / CHARACTERS_A_TOKEN for part in parts)
