"""The trend on a terminal: scores, drills with their latest outcomes, and what became worse; or one drill in full."""

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tierdrill.judge.trend.regression import Outlook
from tierdrill.judge.trend.resilience_score import TierScore
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.judge.trend.run_series import NIGHTS, PASSED, Series
from tierdrill.judge.trend.whole_trend import DrillTrend, Trend
from tierdrill.judge.verdict import Status
from tierdrill.report.charts.sparkline import sparkline
from tierdrill.report.format import Glyphs, glyphs_for
from tierdrill.report.run.event_rows import STYLES
from tierdrill.report.run.origin import utc
from tierdrill.report.trend.wording import (
    change_words,
    drill_title,
    flaky_words,
    last_words,
    measure_words,
    outlook_words,
    pooled_rows,
    proof_words,
    rate_words,
    recency_words,
    regression_words,
    rule_words,
    score_lines,
    short_proof_words,
    show_age,
    show_score,
    show_value,
    stale_words,
    tier_score_words,
    unjudged_words,
)
from tierdrill.text import plural

OUTCOMES_MAX = 14
OUTLOOK_STYLES = {Outlook.WORSE: "bold red", Outlook.BETTER: "green", Outlook.STEADY: "", Outlook.UNKNOWN: "dim"}
NARROW, WIDE = 72, 100


def print_trend(console: Console, trend: Trend, drill: str | None = None, tier: str | None = None) -> None:
    """The trend of every drill, or of one in full, for every tier or one."""
    glyphs = glyphs_for(console)
    scores = [score for score in trend.scores if tier in (None, score.tier)]
    runs = sum(len(one.runs.runs) for one in trend.drills)
    count = f"{plural(runs, 'run')} of {plural(_drills(trend), 'drill')}"
    _say(console, glyphs, f"Trend at {utc(trend.now)}: {count}", "bold")
    if drill is None:
        console.print(_scores(trend, scores, glyphs, console.width))
        console.print()
        console.print(_overview(trend, glyphs, console.width))
    else:
        for one in trend.drills:
            _one_drill(console, trend, one, scores, tier, glyphs)
    _findings(console, trend, glyphs, tier, everything=drill is None)


def _drills(trend: Trend) -> int:
    return len({one.runs.drill for one in trend.drills})


def _several(trend: Trend) -> bool:
    return len(trend.drills) > _drills(trend)


def _say(console: Console, glyphs: Glyphs, text: str, style: str = "") -> None:
    console.print(Text(glyphs.text(text), style=style))


def _table(glyphs: Glyphs, *columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    cut: Literal["crop", "ellipsis"] = "crop" if glyphs.ascii_only else "ellipsis"
    for name in columns:
        table.add_column(name, no_wrap=True, overflow=cut, justify="right" if name in right else "left")
    return table


def _scores(trend: Trend, scores: Sequence[TierScore], glyphs: Glyphs, width: int) -> Table:
    wide = width >= NARROW
    columns = ("tier", "score", *(("over time",) if wide else ()), "rests on")
    table = _table(glyphs, *columns, right=("score",))
    for score in scores:
        past = [value for _, value in trend.history.get(score.tier, ())]
        line = [Text(sparkline(past, 20, glyphs, low=0.0, high=100.0), style="cyan")] if wide else []
        shown = Text(show_score(score.score), style=_score_style(score.score))
        table.add_row(Text(glyphs.text(score.tier), style="bold"), shown, *line, glyphs.text(tier_score_words(score)))
    return _last_gives_way(table)


def _last_gives_way(table: Table) -> Table:
    """Where the terminal is narrow, the words of the last column are folded, and no other column is cut."""
    for column in table.columns[:-1]:
        column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    table.columns[-1].no_wrap = False
    table.columns[-1].overflow = "fold"
    return table


def _score_style(score: float | None) -> str:
    if score is None:
        return "dim"
    return "bold green" if score >= 75 else "bold yellow" if score >= 40 else "bold red"


def _overview(trend: Trend, glyphs: Glyphs, width: int) -> Table:
    wide = width >= NARROW
    extra = ("detect",) if width >= WIDE else ()
    table = _table(glyphs, "drill", "latest runs", "passed", "last", *(("proof",) if wide else ()), *extra)
    for column in table.columns[1:]:
        column.min_width = 6
    table.columns[1].min_width = min(OUTCOMES_MAX, max(len(one.runs.nights) for one in trend.drills))
    for one in trend.drills:
        judged = one.runs.judged
        passed = sum(run.status == "passed" for run in judged)
        cells = [
            Text(glyphs.text(drill_title(one.runs.drill, one.runs.environment, _several(trend))), style="bold"),
            outcomes(one.runs.nights, glyphs),
            Text(f"{passed}/{len(judged)}"),
            Text(show_age(one.age_s), style="yellow" if one.stale else ""),
        ]
        if wide:
            style = "yellow" if one.proof_stale or one.proof.at is None else ""
            cells.append(Text(short_proof_words(one.proof, one.proof_age_s), style=style))
        if extra:
            cells.append(_detect(one, glyphs))
        table.add_row(*cells)
    return table


def _detect(one: DrillTrend, glyphs: Glyphs) -> Text:
    series = next((each for each in one.series if each.measure == "mttd"), None)
    if series is None:
        return Text("")
    values = [point.value for point in series.points]
    line = Text(f"{show_value('', 'mttd', values[-1])} ")
    return line.append(Text(sparkline(values[-60:], 12, glyphs), style="cyan"))


def outcomes(nights: Sequence[RunFigures], glyphs: Glyphs) -> Text:
    """The latest outcomes of a drill, the newest last."""
    line = Text()
    for run in nights[-OUTCOMES_MAX:]:
        status = Status(run.status) if run.status in {one.value for one in Status} else Status.INCONCLUSIVE
        line.append(Text(glyphs.status(status), style=STYLES[status]))
    return line


def _one_drill(
    console: Console, trend: Trend, one: DrillTrend, scores: Sequence[TierScore], tier: str | None, glyphs: Glyphs
) -> None:
    judged, nights = one.runs.judged, one.runs.nights
    passed = sum(run.status == "passed" for run in judged)
    title = Text(glyphs.text(drill_title(one.runs.drill, one.runs.environment, _several(trend))), style="bold")
    console.print(title.append("  ").append(outcomes(nights, glyphs)))
    said = "; ".join(filter(None, (f"{passed} of {len(judged)} passed", unjudged_words(one.runs))))
    _say(console, glyphs, f"{said}; {last_words(one.age_s)}; {proof_words(one.proof, one.proof_age_s)}")
    console.print()
    if one.series:
        console.print(_measures(one, tier, glyphs, console.width))
        console.print()
    if one.pooled:
        console.print(_pooled(one, tier, glyphs))
        console.print()
    for score in scores:
        _explained(console, trend, one, score, glyphs)


def _measures(one: DrillTrend, tier: str | None, glyphs: Glyphs, width: int) -> Table:
    wide = width >= NARROW
    columns = ("measure", *(("over time",) if wide else ()), "latest", "judged")
    table = _table(glyphs, *columns)
    for series in one.series:
        if series.tier and tier not in (None, series.tier):
            continue
        values = [point.value for point in series.points]
        line = [Text(sparkline(values[-80:], 16, glyphs), style="cyan")] if wide else []
        latest = values[-1]
        name = f"{series.tier} {measure_words(series.measure)}".strip()
        shown = Text(glyphs.text(_latest(series, latest)))
        table.add_row(glyphs.text(name), *line, shown, _judged(one, series, glyphs, width >= WIDE))
    return _last_gives_way(table)


def _pooled(one: DrillTrend, tier: str | None, glyphs: Glyphs) -> Table:
    """The objectives over the latest nights together."""
    table = _table(glyphs, "tier", f"objective over {NIGHTS} nights", "pooled", "over", "judged")
    for row in pooled_rows([each for each in one.pooled if tier in (None, each.tier)]):
        table.add_row(*map(glyphs.text, row))
    return _last_gives_way(table)


def _latest(series: Series, latest: float) -> str:
    if series.allows_nothing:
        return "kept" if latest >= 0 else "broken"
    if series.measure == PASSED:
        return "passed" if latest else "failed"
    return show_value(series.tier, series.measure, latest) + (" left" if series.tier else "")


def _judged(one: DrillTrend, series: Series, glyphs: Glyphs, wide: bool) -> Text:
    line = Text()
    for of_build in (False, True):
        change = one.change(series, of_build)
        if change is None or (of_build and change.outlook in (Outlook.STEADY, Outlook.UNKNOWN)):
            continue
        moved = change.outlook in (Outlook.WORSE, Outlook.BETTER)
        if line.plain:
            line.append("; with the new build ")
        if change.outlook is Outlook.UNKNOWN:
            line.append(glyphs.text(change_words(change)), style="dim")
        else:
            line.append(glyphs.text(outlook_words(change)), style=OUTLOOK_STYLES[change.outlook])
            if moved or (wide and change.p is not None):
                line.append(glyphs.text(f": {change_words(change)}"), style="" if moved else "dim")
    return line


def _explained(console: Console, trend: Trend, one: DrillTrend, score: TierScore, glyphs: Glyphs) -> None:
    """What the drill gives the tier, line by line."""
    for mine in score.drills:
        if (mine.drill, mine.environment) != (one.runs.drill, one.runs.environment):
            continue
        console.print(Text.assemble((glyphs.text(score.tier), "bold"), f": {show_score(mine.points)} of 100"))
        for line in score_lines(mine, trend.now):
            _say(console, glyphs, f"  {line.points:4.0f} of {line.most:<3.0f} {line.text}")
        if words := recency_words(mine):
            _say(console, glyphs, f"  {words}")


def _findings(console: Console, trend: Trend, glyphs: Glyphs, tier: str | None, everything: bool) -> None:
    worse = [one for one in trend.regressions if tier is None or one.change.tier in ("", tier)]
    flaky = [one.flaky for one in trend.drills if one.flaky is not None]
    unjudged = [f"{one.runs.drill}: {words}" for one in trend.drills if (words := unjudged_words(one.runs))]
    stale = stale_words(trend.drills, trend.never if everything else ())
    sections = (
        ("regressed", "bold red", [regression_words(one) for one in worse]),
        ("flaky", "bold yellow", [f"{one.drill}: {flaky_words(one)}" for one in flaky]),
        ("not judged, or stopped", "bold yellow", unjudged if everything else []),
        ("stale", "bold yellow", stale),
    )
    for title, style, lines in sections:
        for number, line in enumerate(lines):
            if number == 0:
                console.print()
                console.print(Text(title, style=style))
            console.print(Padding(Text(glyphs.text(line)), (0, 0, 0, 2), expand=False))
    console.print()
    if not worse:
        _say(console, glyphs, "Nothing was shown to have become worse.", "dim")
    _say(console, glyphs, rate_words() if everything or not worse else rule_words(), "dim")
