"""The trend's plots as geometry: which lanes a page has. Pure; the template only draws what stands here."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise

from tierdrill.judge.trend.regression import Change, Outlook
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.judge.trend.run_series import PASSED, Point, Series
from tierdrill.judge.trend.whole_trend import DrillTrend, Trend
from tierdrill.report.charts.axis import Scale, day, nice_step
from tierdrill.report.trend.plot import Dot, Lane, Mark, MeasureRow, Plot, Span, drawn, path, thinned
from tierdrill.report.trend.wording import (
    build_step_words,
    change_words,
    measure_words,
    outlook_words,
    show_margin,
    show_score,
    show_value,
    tier_score_words,
    unjudged_words,
)

HEIGHT, OUTCOME_HEIGHT, SCORE_HEIGHT, SMALL_HEIGHT = 54, 28, 64, 18
SMALL_WIDTH, SMALL_POINTS_MAX = 100, 60
POINTS_MAX = 9000
"""How many points of a page are drawn as links: the page must not grow with the years."""
BUILD_MARKS_APART = 1.5
STATUS_ROWS = {"passed": 6, "failed": 22}
DOUBT_ROW = 14

Anchors = Callable[[str], str]


def score_plot(trend: Trend, span: Span, tier: str | None) -> Plot:
    lanes = []
    for score in trend.scores:
        if tier not in (None, score.tier):
            continue
        past = [(at, value) for at, value in trend.history.get(score.tier, ()) if value is not None]
        scale = Scale(0, 100)
        height = SCORE_HEIGHT
        points = [(at, height * (1 - scale.place(value))) for at, value in past]
        css = "" if score.score is None else "good" if score.score >= 75 else "fair" if score.score >= 40 else "poor"
        lanes.append(
            Lane(
                name=score.tier,
                detail=f"rank {score.rank}",
                height=height,
                scale=((0, "100"), (height, "0")),
                path=path(points, span, gap=math.inf),
                dots=tuple(
                    Dot(span.place(at), y, f"{show_score(value)} on {day(at)}")
                    for (at, y), (_, value) in zip(points[-1:], past[-1:], strict=True)
                ),
                result=show_score(score.score),
                result_detail=tier_score_words(score),
                css=css,
            )
        )
    return Plot(tuple(lanes), span.ticks)


def drill_plot(one: DrillTrend, span: Span, tier: str | None, anchors: Anchors, points_each: int) -> Plot:
    """A drill's lanes: outcomes, times, and of each tier the margin of whatever objective was tightest."""
    lanes = [_outcomes(one, span, anchors, points_each)]
    shown = [each for each in one.series if not each.tier or tier in (None, each.tier)]
    lanes += [
        _times(one, each, span, anchors, points_each) for each in shown if not each.tier and each.measure != PASSED
    ]
    for name, group in groupby(shown, key=lambda each: each.tier):
        if name:
            lanes.append(_margins(one, name, list(group), span, anchors, points_each))
    measures = tuple(_measure(one, each) for each in shown)
    return Plot(tuple(lanes), span.ticks, builds(one.runs.nights, span), measures)


def builds(nights: Sequence[RunFigures], span: Span) -> tuple[Mark, ...]:
    """Where the build changed; changes too close to be told apart are one mark."""
    marks: list[Mark] = []
    for before, after in pairwise(run for run in nights if run.build.documents):
        if before.build == after.build:
            continue
        x = span.place(after.started_at)
        title = f"{day(after.started_at)}: {build_step_words(before.build, after.build)}"
        if marks and x - marks[-1].x < BUILD_MARKS_APART:
            marks[-1] = Mark(marks[-1].x, f"{marks[-1].title}\n{title}")
        else:
            marks.append(Mark(x, title))
    return tuple(marks)


def _outcomes(one: DrillTrend, span: Span, anchors: Anchors, most: int) -> Lane:
    nights = one.runs.nights
    judged = one.runs.judged
    passed = sum(run.outcome == "passed" for run in judged)
    dots = tuple(
        Dot(
            span.place(run.started_at),
            DOUBT_ROW if run.under else STATUS_ROWS.get(run.status, DOUBT_ROW),
            f"{run.run}: {run.came_to}",
            run.status,
            anchors(run.run),
        )
        for run in nights[-most:]
    )
    change = next((each for each in one.changes if each.measure == PASSED and not each.builds), None)
    worse = [each for each in one.changes if each.measure == PASSED and each.outlook is Outlook.WORSE]
    said = [words] if (words := unjudged_words(one.runs)) else []
    said += [outlook_words(change)] if change else []
    return Lane(
        name="outcome",
        detail="failed below",
        height=OUTCOME_HEIGHT,
        dots=dots,
        bands=_bands(worse, span),
        result=f"{passed} of {len(judged)} passed",
        result_detail="; ".join(said),
        css="worse" if worse else "",
    )


def _times(one: DrillTrend, series: Series, span: Span, anchors: Anchors, most: int) -> Lane:
    values = [point.value for point in series.points]
    step = nice_step(max(*values, 0.1), 2)
    high = step * math.ceil(max(*values, 0.1) / step)
    scale = Scale(0, high)

    def title(point: Point) -> str:
        shown = show_value("", series.measure, point.value)
        return f"{point.run}: {'not within ' if point.censored else ''}{shown}"

    return Lane(
        name=measure_words(series.measure),
        height=HEIGHT,
        scale=((0, show_value("", series.measure, high)), (HEIGHT, "0")),
        path=path([(p.at, HEIGHT * (1 - scale.place(p.value))) for p in series.points], span),
        dots=_dots(series.points, scale, span, anchors, title, most),
        bands=_bands(_moved(one, [series]), span),
        result=show_value("", series.measure, values[-1]),
        result_detail=_judged(one, [series]),
        css=_css(_moved(one, [series])),
    )


def _margins(
    one: DrillTrend, tier: str, every: Sequence[Series], span: Span, anchors: Anchors, most: int
) -> Lane:
    """The tightest objective's margin in each run; one that allows nothing is in it only where it was broken."""
    tightest: dict[str, tuple[Point, str]] = {}
    for series in every:
        for point in series.points:
            if series.allows_nothing and point.value >= 0:
                continue
            if point.run not in tightest or point.value < tightest[point.run][0].value:
                tightest[point.run] = (point, series.measure)
    points = sorted((point for point, _ in tightest.values()), key=lambda point: (point.at, point.run))
    low = -1.0 if any(point.value < 0 for point in points) else 0.0
    scale = Scale(low, 1.0)

    def title(point: Point) -> str:
        return f"{point.run}: {show_margin(point.value)} left of {measure_words(tightest[point.run][1])}"

    guides = ((HEIGHT * (1 - scale.place(0.0)), "limit"),) if low < 0 else ()
    last = points[-1] if points else None
    latest = f"{show_margin(last.value)} left of {measure_words(tightest[last.run][1])}" if last else "none measured"
    return Lane(
        name=tier,
        detail="margin of its tightest objective",
        height=HEIGHT,
        scale=((0, "100%"), (HEIGHT, show_margin(low))),
        guides=guides,
        path=path([(p.at, HEIGHT * (1 - scale.place(p.value))) for p in points], span),
        dots=_dots(points, scale, span, anchors, title, most),
        bands=_bands(_moved(one, every), span),
        result=latest,
        result_detail=_judged(one, every),
        css=_css(_moved(one, every)),
    )


def _dots(
    points: Sequence[Point], scale: Scale, span: Span, anchors: Anchors, title: Callable[[Point], str], most: int
) -> tuple[Dot, ...]:
    return tuple(
        Dot(
            span.place(point.at),
            round(HEIGHT * (1 - scale.place(point.value)), 1),
            title(point),
            "censored" if point.censored else "",
            anchors(point.run),
        )
        for point in points[-most:]
    )


def _moved(one: DrillTrend, every: Sequence[Series]) -> list[Change]:
    """What became worse or better of these measures, the worse first."""
    found = [change for series in every for flag in (False, True) if (change := one.change(series, flag))]
    return sorted(
        (each for each in found if each.outlook in (Outlook.WORSE, Outlook.BETTER)),
        key=lambda each: each.outlook is Outlook.BETTER,
    )


def _css(moved: Sequence[Change]) -> str:
    return str(moved[0].outlook.value) if moved else ""


def _judged(one: DrillTrend, every: Sequence[Series]) -> str:
    moved = _moved(one, every)
    if moved:
        change = moved[0]
        what = f"{measure_words(change.measure)}: " if change.tier else ""
        more = f" (and {len(moved) - 1} more)" if len({each.measure for each in moved}) > 1 else ""
        return f"{what}{outlook_words(change)}, {change_words(change).partition(',')[0]}{more}"
    known = [each for series in every if (each := one.change(series)) is not None]
    if known and all(each.outlook is Outlook.UNKNOWN for each in known):
        return change_words(known[0])
    return "no change shown"


def _bands(changes: Sequence[Change], span: Span) -> tuple[Mark, ...]:
    """The runs in which something was worse, and those in which something was better, from the first of them on."""
    bands = []
    for outlook, group in groupby(changes, key=lambda change: change.outlook):
        mine = [change for change in group if change.latest.first_at is not None]
        x = min(span.place(change.latest.first_at or 0.0) for change in mine)
        words = [f"{measure_words(change.measure)} {outlook_words(change)}: {change_words(change)}" for change in mine]
        bands.append(Mark(x, "\n".join(words), round(100 - x, 2), outlook.value))
    return tuple(bands)


def _measure(one: DrillTrend, series: Series) -> MeasureRow:
    values = [point.value for point in series.points]
    low, high = min(values), max(values)
    scale = Scale(low, high if high > low else low + 1)
    count = max(1, len(values) - 1)
    places = [
        (place / count * SMALL_WIDTH, 1 + (SMALL_HEIGHT - 2) * (1 - scale.place(value)))
        for place, value in enumerate(values)
    ]
    change, of_build = one.change(series), one.change(series, of_build=True)
    words = change_words(change) if change else ""
    if series.allows_nothing and change is not None and change.p is None and change.outlook is Outlook.STEADY:
        words = "kept in every run" if not change.latest.middle else "broken in every run"
    moved = [each for each in (of_build, change) if each and each.outlook in (Outlook.WORSE, Outlook.BETTER)]
    return MeasureRow(
        name=f"{series.tier} {measure_words(series.measure)}".strip(),
        path=drawn(thinned(places, SMALL_POINTS_MAX)),
        change=change,
        of_build=of_build,
        css=moved[0].outlook.value if moved else "",
        words=words,
        build_words=change_words(of_build) if of_build else "",
    )
