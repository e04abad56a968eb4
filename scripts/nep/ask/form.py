"""An answer's text as the typed answer that was asked for."""

import re

from pydantic import ValidationError

from nep.ask.request import A, Request

THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
MOST_FAULTS = 5


def json_in(text: str) -> str:
    """The JSON object in an answer: without a thought before it, a code fence, or words around it."""
    text = THOUGHT.sub("", text)
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def validated(request: Request[A], text: str) -> A:
    """The typed answer. Raises pydantic's ValidationError."""
    return request.answer.model_validate_json(json_in(text), context=dict(request.context))


def fault_of(error: ValidationError) -> str:
    """What is wrong with an answer, in words that a model can follow."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in faults[:MOST_FAULTS]]
    return "; ".join(told)
