"""What all blocks of the configuration share, and how an entry point reads its own."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nep.errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["fp32", "bf16"]

# A change of these runs nothing again.
EXECUTION_ONLY = frozenset(
    {
        *("nodes", "processes", "checkpoint_minutes", "keep_checkpoints", "tracker"),
        *("rollout_environment", "rollout_gpus", "rollout_timeout_s", "vllm_environment"),
        # How an endpoint is asked, and where.
        *("concurrent", "requests_per_minute", "tokens_per_minute", "price_in", "price_out", "max_cost"),
        *("down_after_s", "batch", "serve"),
    }
)


class Block(BaseModel):
    """A config block: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def result_settings(self) -> dict[str, Any]:
        """The block as JSON values, without the keys that decide nothing but how a stage is run (`EXECUTION_ONLY`)."""
        dumped = self.model_dump(mode="json")
        return {name: _result_value(value, dumped[name]) for name, value in self if name not in EXECUTION_ONLY}


BlockT = TypeVar("BlockT", bound=Block)


def load_block(block: type[BlockT], text: str, **how: Any) -> BlockT:
    """Read a config block back from the JSON that the workflow passes to an entry point. Raises InputError.

    `how`: keys of `EXECUTION_ONLY`, which come apart from it.
    """
    try:
        return block.model_validate_json(text).model_copy(update=how)
    except ValidationError as error:
        raise InputError(f"config block {block.__name__}: {error}") from None


def _result_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, Block):
        return value.result_settings()
    if isinstance(value, dict):
        return {key: _result_value(item, dumped[key]) for key, item in value.items()}
    return dumped
