"""How answers look in a terminal: aligned columns, times ago. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tierdrill.text import table
from tierdrill.training.protocol import Answer, answer

Cells = Mapping[str, str | Callable[[Any], Any]]
"""The columns of a table by their heads: the key of what is shown, or what makes it of a row."""


def listing(data: Sequence[Mapping[str, Any]], cells: Cells) -> Answer:
    """Plain data as an answer, with a table for people."""
    rows = [[one[cell] if isinstance(cell, str) else cell(one) for cell in cells.values()] for one in data]
    return answer(columns(list(cells), rows), data)


def columns(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; two spaces between columns. Says so where there is nothing to show."""
    return table([[_cell(value) for value in row] for row in rows], head) or "none"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def milliseconds(seconds: float | None) -> str:
    """0.0123 -> "12 ms"; a dash where there is none."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def percent(share: float | None) -> str:
    """0.9951 -> "99.5%"; a dash where there is none."""
    return "-" if share is None else f"{share * 100:.1f}%"


def ago(seconds: float) -> str:
    """75 -> "1m15s"."""
    whole = max(0, int(seconds))
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def clock(seconds: float) -> str:
    """75 -> "1:15", for the exercise's time."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
