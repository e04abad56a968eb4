"""A block of `references`."""

import os

from pydantic import Field

from nep.config.base import Block
from nep.errors import InputError


class Endpoint(Block):
    """A model behind an OpenAI-compatible API, evaluated beside the others as a reference.

    It is asked from where the workflow is started.
    """

    url: str = Field(pattern=r"^https?://\S+$", description="Address of the API.")
    model: str = Field(min_length=1, description="Name that the API knows the model by.")
    key_from: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the API's key.",
    )
    concurrent: int = Field(8, ge=1, description="Requests under way at once.")
    timeout_s: int = Field(120, ge=1, description="Seconds after which a request is given up.")

    def key(self) -> str:
        """The API's key. Raises InputError where the environment has none."""
        key = os.environ.get(self.key_from)
        if not key:
            raise InputError(
                f"the environment has no {self.key_from}, the key of {self.url}; set it (to anything, where none is "
                "asked for), or name another variable in 'key_from'"
            )
        return key
