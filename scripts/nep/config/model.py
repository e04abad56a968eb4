"""The block `model`."""

from typing import Literal

from pydantic import Field

from nep.config.origin import Origin


class Model(Origin):
    """Where the base model comes from."""

    kind: Literal["folder", "hub"] = Field(
        description="`hub`: a repository at a pinned revision. `folder`: a local checkpoint folder."
    )
    trust_remote_code: bool = Field(False, description="Whether Python code that comes with the model may be run.")
