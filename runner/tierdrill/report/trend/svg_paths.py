"""Lines through many points as SVG paths: broken where nothing ran, thinned to what can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from tierdrill.judge.trend.resilience_score import DAY_S
from tierdrill.report.trend.plot import Span

PATH_WIDTH, PATH_POINTS_MAX = 1000, 500


def path(points: Sequence[tuple[float, float]], span: Span, gap: float | None = None) -> str:
    """A line through the points, broken where nothing ran for much longer than usual."""
    if gap is None:
        usual = median(later[0] - earlier[0] for earlier, later in pairwise(points)) if len(points) > 1 else DAY_S
        gap = max(4 * usual, 2 * DAY_S)
    pieces: list[list[tuple[float, float]]] = []
    before = -math.inf
    for at, y in points:
        if at - before > gap or not pieces:
            pieces.append([])
        pieces[-1].append((span.scale.place(at) * PATH_WIDTH, y))
        before = at
    each = max(2, PATH_POINTS_MAX // max(1, len(pieces)))
    return "".join(drawn(thinned(piece, each)) for piece in pieces if len(piece) > 1)


def thinned(points: Sequence[tuple[float, float]], most: int) -> Sequence[tuple[float, float]]:
    """Of more points than can be drawn, the lowest and highest of each stretch, in their order."""
    if len(points) <= most:
        return points
    stretches = max(1, most // 2)
    kept: list[tuple[float, float]] = []
    for number in range(stretches):
        part = points[len(points) * number // stretches : len(points) * (number + 1) // stretches]
        if part:
            kept.extend(sorted({min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}))
    return kept


def drawn(points: Sequence[tuple[float, float]]) -> str:
    """The path itself; nothing where there is no point."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) if points else ""
