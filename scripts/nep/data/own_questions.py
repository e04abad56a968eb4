"""The multiple-choice questions that records bring along (`mc_qa`), read into options and a letter."""

import re
from collections import Counter

from nep.data.bounds import broken_bound, folded
from nep.data.inputs import Item, LeftOut
from nep.data.multiple_choice import MultipleChoice
from nep.rows.question import LETTERS
from nep.rows.record import QuestionAnswer
from nep.stats.answers import parse_answer

FULL_MC_QA = "full_mc_qa"

# A letter of any set of options, at the start of a line, else in the running text.
_ON_LINES = re.compile(r"^[ \t]*\(?([A-Z])[).:][ \t]*", re.MULTILINE)
_IN_TEXT = re.compile(r"(?<!\S)\(?([A-Z])[).:]\s+")


def own_questions(items: list[Item]) -> tuple[list[MultipleChoice], Counter[str]]:
    """The questions of all records, and how many records and pairs give none, by reason."""
    asked, left_out = [], Counter[str]()
    for item in items:
        if not item.record.mc_qa:
            left_out["no_mc_qa"] += 1
        for number, pair in enumerate(item.record.mc_qa, start=1):
            try:
                asked.append(read_pair(item, number, pair))
            except LeftOut as reason:
                left_out[reason.reason] += 1
    return asked, left_out


def read_pair(item: Item, number: int, pair: QuestionAnswer) -> MultipleChoice:
    """A question about the whole video. Raises LeftOut where a pair lacks four options within bounds, or a letter.

    What follows the last option's line, an instruction on how to answer, is dropped: the set has its own.
    """
    item.clip("full")
    text, options = split_options(pair.question)
    letter = _letter(pair.answer, options)
    if broken := broken_bound(text, list(options.values())):
        raise LeftOut(broken)
    return MultipleChoice(item, "full", f"mc{number}", "mc_qa", text, options, letter)


def split_options(question: str) -> tuple[str, dict[str, str]]:
    """A question's own text, and its options by letter, which may stand on lines or in the running text.

    Raises LeftOut: "no_options", "not_four_options", or "no_question" where the options are all that there is.
    """
    marks = list(_ON_LINES.finditer(question))
    if len(marks) < len(LETTERS):
        marks = list(_IN_TEXT.finditer(question))
    # The options are the last run of letters from A on: a name such as "A. Smith" may come before.
    starts = [place for place, mark in enumerate(marks) if mark[1] == LETTERS[0]]
    if not starts:
        raise LeftOut("no_options")
    marks = marks[starts[-1] :]
    if tuple(mark[1] for mark in marks) != LETTERS:
        raise LeftOut("not_four_options")
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    texts = [question[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    texts[-1] = texts[-1].split("\n")[0].strip()
    if not all(texts) or len(set(map(folded, texts))) < len(LETTERS):
        raise LeftOut("not_four_options")
    text = question[: marks[0].start()].strip()
    if not text:
        raise LeftOut("no_question")
    return text, dict(zip(LETTERS, texts, strict=True))


def _letter(answer: str, options: dict[str, str]) -> str:
    """The letter that an answer names, alone or before the option's text, or whose option it repeats."""
    named = [letter for letter, text in options.items() if _plain(text) == _plain(answer)]
    if len(named) == 1:
        return named[0]
    letter = parse_answer(answer)
    if letter is None:
        raise LeftOut("no_letter")
    others = [text for other, text in options.items() if other != letter]
    if any(_plain(answer) == _plain(f"{letter} {text}") for text in others):
        raise LeftOut("letter_and_text_differ")
    return letter


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", folded(text)))
