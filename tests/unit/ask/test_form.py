"""Texts of models as typed answers."""

import re

import pytest
from pydantic import BaseModel, ValidationError
from support.asking import SeenLamps, question

from nep.ask.form import fault_of, json_in, validated
from nep.ask.request import Answer, schema_of

JSON = '{"colours": ["red"]}'


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"```json\n{JSON}\n```",
        f"<think>\nIs it {{red}}?\n</think>\n{JSON}",
        f"Here it is: {JSON} I hope it helps.",
        f"\n {JSON}",
    ],
)
def test_the_object_is_found_in_what_surrounds_it(text: str) -> None:
    assert validated(question(1), text) == SeenLamps(colours=["red"])
    assert json_in(json_in(text)) == JSON


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Invalid JSON"),
        ("red", "Invalid JSON"),
        ('{"colours": ["red"', "Invalid JSON"),
        ('["red"]', "valid dictionary|object"),
        ('{"colours": "red"}', "colours: Input should be a valid"),
        ('{"colours": [], "more": 1}', "more: Extra inputs"),
        ('{"colours": [1, 2, 3, 4, 5, 6, 7, 8, 9]}', r"colours\.4: [^;]*$"),
    ],
)
def test_a_fault_is_told_in_few_words(text: str, fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validated(question(1), text)
    assert re.search(fault, fault_of(caught.value))


def test_a_schema_must_be_one_that_endpoints_hold_to() -> None:
    class Inner(BaseModel):
        a: int

    class Outer(Answer):
        inner: Inner

    class Optional(Answer):
        a: int = 1

    with pytest.raises(TypeError, match="Inner: an answer's model must forbid extra fields"):
        schema_of(Outer)
    with pytest.raises(TypeError, match="Optional"):
        schema_of(Optional)
    assert schema_of(SeenLamps)["title"] == "SeenLamps"
