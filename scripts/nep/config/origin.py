"""Where something is fetched from: what `source` and `model` share."""

from typing import Self

from pydantic import Field, model_validator

from nep.config.base import Block


class Origin(Block):
    """A local folder, or a hub repository at a pinned revision."""

    kind: str
    path: str | None = Field(None, description="Local folder; for every kind but `hub`.")
    repo: str | None = Field(None, description="Repository on the hub, `owner/name`; for kind `hub`.")
    revision: str | None = Field(None, description="Commit hash or tag of the repository; for kind `hub`.")

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.kind != "hub" and not self.path:
            raise ValueError(f"kind '{self.kind}' needs 'path'")
        if self.kind == "hub" and not (self.repo and self.revision):
            raise ValueError("kind 'hub' needs 'repo' and a pinned 'revision' (a commit hash or a tag)")
        return self
