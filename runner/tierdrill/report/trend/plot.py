"""Lines through many points as SVG paths: broken where nothing ran, thinned to what can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from tierdrill.judge.trend.regression import Change
from tierdrill.judge.trend.resilience_score import DAY_S
from tierdrill.judge.trend.whole_trend import Trend
from tierdrill.report.charts.axis import Scale, date_ticks

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


@dataclass(frozen=True)
class Dot:
    """One run on a plot: it leads to the run's line in the table."""

    x: float
    y: float
    title: str
    css: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Mark:
    """A moment, or a stretch of time (`width` above 0), on all lanes or one."""

    x: float
    title: str
    width: float = 0.0
    css: str = ""


@dataclass(frozen=True)
class Lane:
    """One row: its name on the left, the plot, what it came to on the right."""

    name: str
    height: float
    detail: str = ""
    scale: tuple[tuple[float, str], ...] = ()
    guides: tuple[tuple[float, str], ...] = ()
    path: str = ""
    dots: tuple[Dot, ...] = ()
    bands: tuple[Mark, ...] = ()
    result: str = ""
    result_detail: str = ""
    css: str = ""


@dataclass(frozen=True)
class MeasureRow:
    name: str
    path: str
    change: Change | None
    of_build: Change | None
    css: str
    words: str
    build_words: str


@dataclass(frozen=True)
class Plot:
    """Lanes over one axis, with what marks all of them."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    builds: tuple[Mark, ...] = ()
    measures: tuple[MeasureRow, ...] = field(default=())


@dataclass(frozen=True)
class Span:
    """The axis: from the oldest run shown to now, with a little air."""

    scale: Scale

    def place(self, at: float) -> float:
        """Percent of the width."""
        return round(self.scale.place(at) * 100, 2)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        return tuple((self.place(at), text) for at, text in date_ticks(self.scale.low, self.scale.high, 9))


def span_of(trend: Trend) -> Span:
    """The one axis of all plots of a page."""
    begins = [runs[0].started_at for one in trend.drills if (runs := one.runs.runs)]
    low = min(begins, default=trend.now - DAY_S)
    high = max(trend.now, low + 600)
    air = (high - low) * 0.012
    return Span(Scale(low - air, high + air))
