"""How far two people agree beyond chance."""

from collections import Counter
from collections.abc import Hashable, Sequence


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa (Cohen 1960) of two reviewers' verdicts on the same items in the same order.

    (p_o − p_e) / (1 − p_e), where p_o is the share of equal verdicts, and p_e the share that would be equal if each
    reviewer kept their own frequencies and drew. None where it is not defined: without items, or where both give one
    and the same verdict throughout. Raises ValueError for sequences of different lengths.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return None
    observed = sum(one == other for one, other in pairs) / len(pairs)
    ours, theirs = Counter(first), Counter(second)
    expected = sum(ours[verdict] * theirs[verdict] for verdict in ours) / len(pairs) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)
