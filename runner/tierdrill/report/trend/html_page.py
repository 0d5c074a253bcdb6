"""The trend as one self-contained page, for looking at over months."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.judge.trend.whole_trend import DrillTrend, Trend
from tierdrill.report.charts.axis import day
from tierdrill.report.format import UNICODE, variant_words
from tierdrill.report.html_template import page_environment
from tierdrill.report.run.origin import utc
from tierdrill.report.trend.plot import Plot, span_of
from tierdrill.report.trend.plot_lanes import POINTS_MAX, drill_plot, score_plot
from tierdrill.report.trend.wording import (
    drill_title,
    flaky_words,
    last_words,
    outlook_words,
    proof_words,
    recency_words,
    regression_words,
    rule_words,
    score_lines,
    show_score,
    stale_words,
    tier_score_words,
)
from tierdrill.text import plural

ROWS_MAX = 1500
Link = Callable[[str], str | None]


@dataclass(frozen=True)
class DrillPart:
    id: str
    title: str
    one: DrillTrend
    plot: Plot
    facts: str

    @property
    def compares_builds(self) -> bool:
        """Whether some measure was compared between builds."""
        return any(row.of_build is not None for row in self.plot.measures)


def trend_html(trend: Trend, link: Link = lambda run: None, tier: str | None = None) -> str:
    """The page, of all tiers or one. `link` says where a run's report is, if it is there."""
    rows = _rows(trend)
    numbers = {run.run: number for number, run in enumerate(rows)}

    def anchor(run: str) -> str:
        return f"#r{numbers[run]}" if run in numbers else ""

    span = span_of(trend)
    each = points_each(trend)
    several = len({one.runs.drill for one in trend.drills}) < len(trend.drills)
    parts = [
        DrillPart(
            id=f"d-{one.runs.drill}-{one.runs.environment}",
            title=drill_title(one.runs.drill, one.runs.environment, several),
            one=one,
            plot=drill_plot(one, span, tier, anchor, each),
            facts=f"{last_words(one.age_s)}; {proof_words(one.proof, one.proof_age_s)}",
        )
        for one in trend.drills
    ]
    return (
        _environment()
        .get_template("trend.html")
        .render(
            trend=trend,
            scores=[score for score in trend.scores if tier in (None, score.tier)],
            plot=score_plot(trend, span, tier),
            parts=parts,
            worse=[one for one in trend.regressions if tier is None or one.change.tier in ("", tier)],
            flaky=[one.flaky for one in trend.drills if one.flaky is not None],
            stale=stale_words(trend.drills, trend.never),
            rows=rows,
            links={run.run: link(run.run) for run in rows},
            total=sum(len(one.runs.runs) for one in trend.drills),
            moment=utc(trend.now),
            rule=rule_words(),
            tier=tier,
        )
    )


def points_each(trend: Trend) -> int:
    """How many of the newest runs of a drill are drawn as points, so that the page stays small."""
    lanes = sum(6 + len(one.runs.tiers) for one in trend.drills)
    return max(30, POINTS_MAX // max(1, lanes))


def _rows(trend: Trend) -> list[RunFigures]:
    """The newest runs of all drills and variants, newest first."""
    every = [run for one in trend.drills for run in one.runs.runs]
    return sorted(every, key=lambda run: (run.started_at, run.run), reverse=True)[:ROWS_MAX]


@cache
def _environment() -> Environment:
    return page_environment(
        {
            "icon": lambda status: UNICODE.status(status) if status in ("passed", "failed", "inconclusive") else "!",
            "variant": variant_words,
            "day": day,
            "minute": lambda at: utc(at)[:16],
            "plural": plural,
            "score": show_score,
            "score_words": tier_score_words,
            "score_lines": score_lines,
            "recency": recency_words,
            "regression": regression_words,
            "flaky": flaky_words,
            "outlook": outlook_words,
        }
    )
