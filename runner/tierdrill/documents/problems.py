"""What is wrong with a document, and exactly where: one line for a person, in a stable order."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tierdrill.text import Explained, plural
from tierdrill.text import either as either
from tierdrill.text import listed as listed

WORDS_MAX = 500


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place. Lines and columns count from 1; `hint` is the nearest thing allowed."""

    path: str
    line: int
    column: int
    found: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        """`file:line:column: field: got X, expected Y (did you mean Z?)`, always on one line."""
        text = f"{self.path}:{self.line}:{self.column}: {worded(_cut(self.found), _cut(self.allowed), self.hint)}"
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _cut(words: str) -> str:
    """The words, cut where a value from a document makes them longer than anybody reads."""
    return words if len(words) <= WORDS_MAX else words[: WORDS_MAX - 1] + "…"


class SpecError(Explained):
    """Documents that cannot be used; `problems` holds every reason, in order."""

    lines = True

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file, line and column."""
    return sorted(set(problems))


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


def worded(found: str, allowed: str, hint: str = "") -> str:
    """`got X, expected Y (did you mean Z?)`, or `what is wrong; what is right`."""
    comma = "," if allowed.startswith("expected ") else ";"
    return f"{found}{comma} {allowed}" + did_you_mean(hint)


def parted(text: str) -> tuple[str, str]:
    """What was found and what is allowed, of `got X, expected Y` or of `what is wrong; what is right`."""
    found, comma, expected = text.partition(", expected ")
    if comma:
        return found, f"expected {expected}"
    found, _, allowed = text.partition("; ")
    return found, allowed


def shown(value: object, most: int = 60) -> str:
    """A value from a document, as it would be written there, short enough for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"a mapping of {plural(len(value), 'key')}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(value) if len(value) <= most else repr(value[: most - 1] + "…")
    text = str(value) if not isinstance(value, int) or abs(value) < 10**most else "a very long number"
    return text if len(text) <= most else text[: most - 1] + "…"
