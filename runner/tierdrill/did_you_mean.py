"""Did you mean: the name that was probably meant, and how errors say so."""

import difflib
from collections.abc import Iterable

from tierdrill.text import either


def nearest(word: object, candidates: Iterable[str]) -> str:
    """The candidate most like `word`, or "" where none is near enough to suggest."""
    if not isinstance(word, str):
        return ""
    by_folded = {candidate.lower().replace("_", "-"): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else ""


def did_you_mean(near: str) -> str:
    """What an error says at its end of a name that was probably meant; nothing for ""."""
    return f" (did you mean {near}?)" if near else ""


def none_named(what: str, name: object, known: Iterable[str], where: str = "") -> str:
    """`no drill named 'x' in DIR, expected a, b or c (did you mean a?)`; `where` is ` in DIR`."""
    names = sorted(known)
    return f"no {what} named {name!r}{where}, expected {either(names)}{did_you_mean(nearest(name, names))}"
