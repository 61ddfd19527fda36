"""Did-you-mean: the known names nearest to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES_LISTED = 12


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Known names that `word` was probably meant to be, best first; empty when nothing is near.

    Names one slip away (a character missing, doubled, wrong or swapped with its neighbour) come before difflib's
    ratio, which ranks such a slip too low in short names.
    """
    known = sorted(set(names))
    one_slip = [name for name in known if one_slip_apart(word.lower(), name.lower())]
    if one_slip:
        return one_slip
    return difflib.get_close_matches(word, known, n=1, cutoff=0.6)


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """The remedy to print for an unknown name: the nearest ones, else the known ones when they are few."""
    known = list(dict.fromkeys(names))
    found = nearest(word, known)
    if found:
        return f"did you mean {' or '.join(repr(name) for name in found)}?"
    if 0 < len(known) <= MOST_NAMES_LISTED:
        return f"known: {', '.join(known)}"
    return None


def one_slip_apart(left: str, right: str) -> bool:
    """Whether the Damerau-Levenshtein distance (neighbours swapped count once) is at most 1."""
    if abs(len(left) - len(right)) > 1:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    left, right = left[start:], right[start:]
    if len(left) == len(right):
        swapped = len(left) > 1 and left[0] == right[1] and left[1] == right[0] and left[2:] == right[2:]
        return left[1:] == right[1:] or swapped
    longer, shorter = (left, right) if len(left) > len(right) else (right, left)
    return longer[1:] == shorter
