"""What is wrong with a document, and exactly where: one line for a person, in a stable order."""

from collections.abc import Iterable
from dataclasses import dataclass

from tierdrill.did_you_mean import did_you_mean
from tierdrill.text import Explained, plural

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
