"""A model that makes data: it is asked about videos, by an API or by a server that the job starts."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nep.config.base import Block
from nep.config.endpoint import Endpoint


class Serve(Block):
    """A `vllm serve` that each job starts for itself on its node and stops when it has ended."""

    weights: str = Field(min_length=1, description="Folder of the model, or its name on the hub.")
    options: dict[str, str | int | float | bool] = Field(
        {},
        description=(
            "Options of `vllm serve`, without the dashes: `tensor-parallel-size: 4`, `max-model-len: 32768`; `true` "
            "stands for an option without a value."
        ),
    )
    ready_within_s: int = Field(1800, ge=1, description="Seconds in which the server must have loaded the model.")


class AskedEndpoint(Endpoint):
    """A model behind an OpenAI-compatible API that makes data.

    Limits and the cap are those of one stage: its jobs share them, each takes one part.
    """

    url: str | None = Field(None, pattern=r"^https?://\S+$", description="Address of the API; null with `serve`.")
    model: str = Field(
        min_length=1,
        description="Name that the API knows the model by. Kept answers go by it: give other weights another name.",
    )
    serve: Serve | None = Field(None, description="Start the model instead of asking a `url`; it takes no key.")
    structured: Literal["json_schema", "validate"] = Field(
        "json_schema",
        description=(
            "How an answer gets its form. `json_schema`: the endpoint holds to a schema. `validate`: the schema stands "
            "in the prompt. Both ways the answer is checked, and asked for again with the fault that was found."
        ),
    )
    parameters: dict[str, Any] = Field(
        {},
        description=(
            "Added to each request's JSON, such as `reasoning_effort: low`; null takes a parameter out, such as "
            "`temperature: null` for models that refuse it."
        ),
    )
    max_reasks: int = Field(2, ge=0, description="Times that an answer of a wrong form is asked for again.")
    requests_per_minute: float | None = Field(None, gt=0, description="Requests a minute at most; null: no limit.")
    tokens_per_minute: float | None = Field(
        None, gt=0, description="Tokens a minute at most, prompts and answers; null: no limit."
    )
    price_in: float = Field(0.0, ge=0, description="Price of a million prompt tokens, in any currency.")
    price_out: float = Field(0.0, ge=0, description="Price of a million tokens of answers.")
    max_cost: float | None = Field(
        None, gt=0, description="Money after which a stage asks no more and the run ends; null: no cap."
    )
    down_after_s: int = Field(
        300, ge=1, description="Seconds without any answer, while requests fail, after which the run ends."
    )
    batch: bool = Field(
        False, description="Ask by the Batch API, which takes hours and costs half: give its prices in `price_*`."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.serve is None):
            raise ValueError("give either 'url' or 'serve'")
        if self.serve is not None and self.batch:
            raise ValueError("'serve' has no Batch API: set 'batch' to false")
        if self.max_cost is not None and not self.price_in + self.price_out:
            raise ValueError("'max_cost' needs 'price_in' and 'price_out'")
        return self
