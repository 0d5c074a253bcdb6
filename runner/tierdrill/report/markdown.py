"""Somebody's words, and tables of them, as Markdown shows them literally."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def text(words: object) -> str:
    """Words on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(words).split()))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table; nothing for no rows."""
    body = [f"| {' | '.join(text(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body] if body else []
