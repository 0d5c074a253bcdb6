"""Sparklines: a series in one line of text."""

from collections.abc import Sequence
from itertools import pairwise

from tierdrill.report.format import Glyphs

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"
GAP = " "


def sparkline(
    values: Sequence[float | None],
    width: int,
    glyphs: Glyphs,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """At most `width` signs, the newest value last; None is a gap.

    Where there are more values than room, each sign is the mean of its neighbours. The lowest sign is the smallest
    value, or `low` where that is given, the highest the largest, or `high`; a series that never changes is a line in
    the middle.
    """
    signs = PLAIN if glyphs.ascii_only else BLOCKS
    shown = _binned(values, max(1, width))
    known = [value for value in shown if value is not None]
    if not known:
        return GAP * len(shown)
    floor = min(known) if low is None else min(low, *known)
    span = (max(known) if high is None else max(high, *known)) - floor
    top = len(signs) - 1
    return "".join(
        GAP if value is None else signs[round((value - floor) / span * top) if span > 0 else top // 2]
        for value in shown
    )


def _binned(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    edges = [round(place * len(values) / width) for place in range(width + 1)]
    parts = [[value for value in values[a:b] if value is not None] for a, b in pairwise(edges)]
    return [sum(part) / len(part) if part else None for part in parts]
