"""The configuration of an endpoint that makes data."""

import re

import pytest
from pydantic import ValidationError

from nep.config.asked_endpoint import AskedEndpoint

URL = {"url": "http://localhost/v1", "model": "m"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "m"}, "give either 'url' or 'serve'"),
        ({**URL, "serve": {"weights": "w"}}, "give either 'url' or 'serve'"),
        ({"model": "m", "serve": {"weights": "w"}, "batch": True}, "'serve' has no Batch API"),
        ({**URL, "max_cost": 5}, "'max_cost' needs 'price_in' and 'price_out'"),
        ({**URL, "requests_per_minute": 0}, "requests_per_minute"),
    ],
)
def test_what_cannot_be_is_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        AskedEndpoint(**values)


def test_only_what_decides_answers_makes_a_stage_run_again() -> None:
    settings = AskedEndpoint(**URL, price_in=1, price_out=2, max_cost=3, requests_per_minute=4).result_settings()
    assert settings.keys() == {"url", "model", "key_from", "timeout_s", "structured", "parameters", "max_reasks"}
