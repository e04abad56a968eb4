"""Which letter did the model answer? One anchored parser for evaluation and reward, and the published one beside it."""

import re

LETTERS = "ABCD"

_OPEN_TAG = "<answer>"
_CLOSE_TAG = "</answer>"
_END_OF_THOUGHTS = "</think>"
_TAG = re.compile(r"<answer>([^<]*)</answer>")
_STATED = re.compile(
    r"\b[Aa](?i:nswer)(?:\s+is\b)?\s*:?\s*(?:option\s+)?"
    r"[(\[*]*([ABCD])\b"
    # A word after the letter would make it an article ("Answer: A ball falls") or a choice ("B or C").
    r"(?=\s*(?:$|[.,;:)\]*]|\n)|\s+(?:because|since|as)\b)"
)
_LONE = re.compile(r"\s*(?:\(([ABCD])\)|([ABCD])(?:[.):]|\s*$))(?=\s|$)")
_LISTED = re.compile(r"(?<!\w)\(?([ABCD])[.):](?=\s|$)")


def parse_answer(text: str) -> str | None:
    """Letter that a completion answers after its thoughts, or None where no letter can be read from it.

    In this order: the last `<answer>` block that holds a letter; the last "Answer: X" or "the answer is X"; a lone
    letter at the start (`B`, `B.`, `(B)`, `B)`, `B. text of the option`).
    """
    said = text.rpartition(_END_OF_THOUGHTS)[2]
    for content in reversed(_TAG.findall(said)):
        if letter := read_letter(content):
            return letter
    stated = _STATED.findall(said)
    return stated[-1] if stated else read_letter(said)


def extract_answer_tag(text: str) -> str | None:
    """Letter of the one `<answer>` block of a completion; None if there is no block, more than one, or no letter in it.

    A reward must not pay for several guesses, so a second opening or closing tag makes the completion unreadable.
    """
    if text.count(_OPEN_TAG) != 1 or text.count(_CLOSE_TAG) != 1:
        return None
    block = _TAG.search(text)
    return read_letter(block.group(1)) if block else None


def read_letter(text: str) -> str | None:
    """Letter of a text that starts with a lone one; None if it does not, or if it lists several options."""
    match = _LONE.match(text)
    if match is None:
        return None
    letter = match.group(1) or match.group(2)
    return letter if set(_LISTED.findall(text)) <= {letter} else None


def parse_legacy(text: str) -> str | None:
    """The published extraction: the first capital A, B, C or D anywhere ("Answer: C" reads as A)."""
    match = re.search("[ABCD]", text)
    return match.group(0) if match else None
