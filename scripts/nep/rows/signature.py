"""Rows of the hash stage."""

from nep.rows.base import SparseRow


class SignedVideo(SparseRow):
    """A video's signature as `nep.dedup.signature.to_json` writes it; empty, with a `detail`, where it has none."""

    id: str
    signature: dict[str, str]
    detail: str | None = None
