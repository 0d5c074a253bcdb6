"""Text that somebody else wrote: made valid where it comes in, and made harmless where it is shown.

Python keeps a byte of an argument that is not UTF-8 as half of a surrogate pair (PEP 383), and JSON can spell such a
half, too (`"\\ud800"`). It is no character: it can neither be printed nor stored nor sent. Whatever takes text in
replaces it with U+FFFD, once, so that nothing further in has to think of it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

DAY, CLOCK, MINUTE = "%Y-%m-%d", "%H:%M:%S", "%Y-%m-%d %H:%M UTC"
_HALVES = re.compile("[\ud800-\udfff]")
_SPACES = "\t\n\r\v\f\x85\u00a0\u2028\u2029"


class Explained(Exception):
    """An error whose text tells a person all: it is shown as one line, and the exit code is that of bad input.

    With `lines` its text has several, and is shown as it is.
    """

    lines = False


def valid(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, and so for each byte that was not UTF-8."""
    return _HALVES.sub("\ufffd", text)


def valid_all(value: Any) -> Any:
    """A JSON value with all its texts valid, names of members included."""
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, dict):
        return {valid_all(name): valid_all(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [valid_all(each) for each in value]
    return value


def read_json(written: str | bytes, **options: Any) -> Any:
    """A JSON value of somebody else, its texts valid. ValueError if it is not JSON, not UTF-8, or nested too deeply.

    `options` are those of `json.loads`.
    """
    text = written.decode("utf-8-sig") if isinstance(written, bytes) else written
    try:
        value = json.loads(text, **options)
        # In bytes only an escape can spell a half; a valid pair of escapes is one character by now.
        if "\\ud" in text or "\\uD" in text or (isinstance(written, str) and _HALVES.search(text)):
            return valid_all(value)
        return value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def visible(text: str) -> str:
    """The text on one line: a blank for each line end, `\\u202e` for what no terminal should obey or nobody can see."""
    return text if text.isprintable() else "".join(" " if char in _SPACES else _seen(char) for char in text)


def visible_lines(text: str) -> str:
    """As `visible`, line ends, tabs and no-break spaces kept. JSON means the same before and after."""
    return text if text.isprintable() else "".join(char if char in "\n\t\u00a0" else _seen(char) for char in text)


def _seen(char: str) -> str:
    # As JSON escapes it, which in JSON is the same character.
    return char if char.isprintable() else json.dumps(char)[1:-1]


def either(words: Iterable[str], most: int = 16) -> str:
    """`a, b or c`; a long list is cut, and says by how much."""
    return listed(words, most, "or")


def listed(words: Iterable[str], most: int = 16, last: str = "and") -> str:
    """`a, b and c`; a long list is cut, and says by how much."""
    items = list(words)
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    if len(items) > 1:
        return f"{', '.join(items[:-1])} {last} {items[-1]}"
    return items[0] if items else "nothing"


def utc(at: float, spelled: str = "%Y-%m-%d %H:%M:%SZ") -> str:
    """A moment (Unix seconds) as people read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime(spelled)


def plural(count: float, word: str, many: str = "") -> str:
    """ "1 node", "3,000 nodes"; `many` where an s does not make it."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), indent: str = "") -> str:
    """Columns aligned, two spaces between; empty for no rows."""
    if not rows:
        return ""
    every = [[visible(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]
    return "\n".join(indent + line for line in lines)
