"""Which letter did the model answer? One parser for evaluation and training, and the published one beside it."""

import re
import unicodedata
from collections.abc import Iterator

LETTERS = "ABCD"

_OPEN_THOUGHTS, _END_OF_THOUGHTS = "<think>", "</think>"
_BLOCK = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.IGNORECASE | re.DOTALL)

# A text says the same without these.
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf)\s*\{([^{}]*)\}")
_DECORATION = re.compile(
    r"\\[()\[\]]|</?(?:b|i|u|em|strong|p|br|span)\s*/?>|[*`$~#\"'“”‘’«»「」]|(?<!\w)_+|_+(?!\w)", re.IGNORECASE
)

# The words before the letter in a sentence that says what the answer is.
_IS = r"(?:\s*(?::|=|[-–—]+>?|→)|\s+(?:is|was)\b|\s+(?:would|should|must|will)\s+be\b)"
_CUE = re.compile(
    rf"(?:\b(?:answer|ans\.?)(?:\s+(?:choice|option|letter|here|to\s+(?:the|this)\s+question))?"
    rf"(?:{_IS}+\s*|[ \t]+|(?=[(\[]))"
    rf"|\b(?:option|choice|selection|prediction|letter){_IS}+\s*"
    r"|\b(?:choose|chose|select|selected|pick|picked|(?:go|going|went)\s+with)\s+"
    r"|\b(?:so|thus|hence|therefore),?\s+"
    r"|(?:答案(?:应该)?(?:是|为|选)?|选择?)\s*:?\s*)"
    r"(?:(?:most\s+likely|likely|probably|clearly|definitely|therefore|thus|indeed|actually|still|now)\s+)*"
    r"(?:(?:the\s+)?(?:option|choice|letter)\s*:?\s*)?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?P<open>(?:[(\[{]\s*)*)(?P<letter>[A-Da-d])(?!\w)")
# The words behind it: "C is correct", "option C would be the best choice".
_IS_RIGHT = re.compile(
    r"(?<![\w/&])[(\[]?(?P<letter>[A-D])[)\]]?\s+(?:is|was|(?:would|must|should)\s+be|seems|appears)\s+(?:to\s+be\s+)?"
    r"(?:(?:the|my|most|only|single|final)\s+)*"
    r"(?:answer|correct|right|best|likely|accurate|plausible|appropriate|logical|probable)\b"
)
_NOT_ALONE = re.compile(
    r"(?:\b(?:and|or|nor|not|if|neither|either|whether)|[,/&])\s*(?:(?:option|choice|answer)\s*)?$", re.IGNORECASE
)

# Another letter behind one: "A, C", "A or C", "A/C", "(A)(C)", "A. C."; but not "B, A ball" or "C, B is wrong".
_OTHER = r"[(\[]?([a-d])(?!\w)(?=[ \t]*(?:$|[\n.,;:)\]}/&!?。]|(?:or|and|because|since|are|both)\b))"
_MORE = re.compile(
    r"[)\]}]*[ \t]*(?:(?:[,;/&+|–—-]|\((?=or\b|and\b))[ \t]*)*(?:(?:and/or|and|or|nor)\b[ \t]*)?"
    rf"(?:(?:possibly|maybe|perhaps|probably|also|even|either)[ \t]+)*(?:(?:option|choice)[ \t]+)?{_OTHER}"
    r"|[)\]}]*\.[ \t]*[(\[]?([a-d])[)\]]?[ \t]*(?=[.,;)/&]|$|\n)"
    r"|[)\]}.,]*[ \t]*\n\W*([a-d])\W*(?=\n|$)",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"[ \t]*(?:$|\n|[)\]}.,;:!?|/=<(。，、；：]|->|→|[-–—](?!\w))|\s+[-–—]"
    r"|\s+(?:because|since|as|for|due|given|based)\b"
)
# "Answer: B The ball rolls": A, which may be an article, is not read so.
_WORD = re.compile(r"(?<=[BCD])\s+(?!(?:or|and|nor|but|if|unless|maybe|perhaps|vs)\b)\w{2,}")

_ALONE = re.compile(r"\W*(?:(?:option|choice|letter)\W*)?([a-d])\W*", re.IGNORECASE)
_LEADS = re.compile(
    r"[^\w(\[]*(?:(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s*)?"
    r"(?:[(\[](?P<enclosed>[A-Da-d])[)\]]|(?P<marked>[A-Da-d])(?:[.):\]]+(?=\s|$|[A-Z][a-z])|、)"
    r"|(?P<bare>[A-D])(?=,\s|\s+[-–—]|\s+(?:because|since)\b))"
)
_LISTED = re.compile(r"(?<!\w)\(?([ABCD])[.):](?=\s+\S)")


def parse_answer(text: str) -> str | None:
    """Letter that a completion answers after its thoughts, or None where no letter, or more than one, is answered.

    In this order: the last `<answer>` block that holds a letter; the last sentence that says what the answer is; a line
    that is nothing but a letter; a first or last line that begins with one (`B. text of the option`). Thoughts that do
    not end have an answer in a block only.
    """
    said = text.rpartition(_END_OF_THOUGHTS)[2]
    for content in reversed(_BLOCK.findall(said)):
        if letter := _read(content):
            return letter
    return None if _OPEN_THOUGHTS in said else _read(_BLOCK.sub("", said))


def parse_legacy(text: str) -> str | None:
    """The published extraction: the first capital A, B, C or D anywhere ("Answer: C" reads as A)."""
    match = re.search("[ABCD]", text)
    return match.group(0) if match else None


def _read(text: str) -> str | None:
    boxed = _BOXED.sub(r" Answer: (\1)", unicodedata.normalize("NFKC", text))
    plain = _DECORATION.sub("", _LATEX.sub(r"\1", boxed))
    if stated := list(_stated(plain)):
        return max(stated)[1] or None
    lines = [line for line in plain.splitlines() if line.strip()]
    if alone := {match[1].upper() for line in lines if (match := _ALONE.fullmatch(line))}:
        return alone.pop() if len(alone) == 1 else None
    leading = {letter for line in (*lines[:1], *lines[-1:]) if (letter := _leading_letter(line))}
    return leading.pop() if len(leading) == 1 and set(_LISTED.findall(plain)) <= leading else None


def _stated(plain: str) -> Iterator[tuple[int, str]]:
    """Place of each sentence that says what the answer is, and its letter; "" where it names several."""
    for cue in _CUE.finditer(plain):
        found = _LETTER.match(plain, cue.end())
        if found is None:
            continue
        if _names_another(found["letter"], plain, found.end()):
            yield cue.end(), ""
        elif (
            found["open"]
            or _ENDS.match(plain, found.end())
            or ("answer" in cue[0].lower() and _WORD.match(plain, found.end()))
        ):
            yield cue.end(), found["letter"].upper()
    for found in _IS_RIGHT.finditer(plain):
        several = _NOT_ALONE.search(plain, max(0, found.start() - 20), found.start())
        yield found.start(), "" if several else found["letter"]


def _leading_letter(line: str) -> str | None:
    found = _LEADS.match(line)
    if found is None:
        return None
    letter = found["enclosed"] or found["marked"] or found["bare"]
    return None if _names_another(letter, line, found.end()) else letter.upper()


def _names_another(letter: str, text: str, end: int) -> bool:
    more = _MORE.match(text, end)
    return more is not None and (more[1] or more[2] or more[3]).upper() != letter.upper()
