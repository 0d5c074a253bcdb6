"""What the trend's plots are made of: lanes with points and marks over one axis of dates.

Horizontal places are percent of the plot's width, vertical ones pixels from its top.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tierdrill.judge.trend.regression import Change
from tierdrill.judge.trend.resilience_score import DAY_S
from tierdrill.judge.trend.whole_trend import Trend
from tierdrill.report.charts.axis import Scale
from tierdrill.report.charts.date_axis import date_ticks


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
    """A measure in a drill's table."""

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
