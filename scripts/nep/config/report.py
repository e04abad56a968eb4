"""The block `report`."""

from pydantic import Field

from nep.config.base import Block
from nep.config.questions import Variant


class Report(Block):
    """The page of results."""

    headline: Variant = Field("reason", description="Which variant of the benchmark leads.")
    examples: int = Field(12, ge=0, description="Number of samples that are shown.")
    title: str = Field("Next-event prediction", description="Title of the page.")
