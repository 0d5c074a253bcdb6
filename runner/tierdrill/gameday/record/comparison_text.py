"""A comparison of two game days for people, and for machines."""

from dataclasses import asdict
from typing import Any

from tierdrill.gameday.record.comparison import (
    Comparison,
    Figure,
    ObjectiveChange,
    Outlook,
    TimeChange,
    aspect_name,
    holds_no_more,
    now_holds,
)
from tierdrill.gameday.record.gameday_record import utc_minute
from tierdrill.report.format import ASPECT_WORDS, TIME_ASPECTS, Glyphs, show_latency, show_seconds, show_share
from tierdrill.text import plural

FORMAT = "tierdrill/gameday-comparison/v1"
TIME_WORDS = {"mttd": "detect", "mtta": "acknowledge", "mitigate": "mitigate", "mttr": "recover"}


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "before": comparison.before.state.identity,
        "after": comparison.after.state.identity,
        "drills": [asdict(one) for one in comparison.drills],
        "objectives": [{**asdict(one), "outlook": one.outlook.value} for one in comparison.objectives],
        "times": [asdict(one) for one in comparison.times],
        "hypotheses": [
            {**asdict(one), "now_holds": now_holds(one), "holds_no_more": holds_no_more(one)}
            for one in comparison.hypotheses
        ],
        "findings": [{**asdict(one.finding), "state": one.state} for one in comparison.findings],
    }


def comparison_lines(comparison: Comparison, glyphs: Glyphs) -> list[str]:
    before, after = comparison.before.state, comparison.after.state
    lines = [
        f"before  {before.identity} ({utc_minute(before.begun or before.opened)}): {comparison.before.status}",
        f"after   {after.identity} ({utc_minute(after.begun or after.opened)}): {comparison.after.status}",
        "",
        "drills",
        *[f"  {one.step}: {one.before or 'not part of it'} {glyphs.arrow} {one.after or 'not part of it'}"
          for one in comparison.drills],
    ]  # fmt: skip
    for outlook in (Outlook.BETTER, Outlook.WORSE):
        mine = comparison.objectives_that(outlook)
        lines += ["", outlook.value, *([f"  {_objective(one, glyphs)}" for one in mine] or ["  nothing is shown"])]
    unclear = len(comparison.objectives_that(Outlook.UNCLEAR))
    unknown = comparison.objectives_that(Outlook.UNKNOWN)
    lines += ["", f"no clear change: {plural(unclear, 'objective')}; cannot tell: {plural(len(unknown), 'objective')}"]
    lines += [f"  {_objective(one, glyphs)}" for one in unknown if one.before.status != one.after.status]
    if comparison.times:
        lines += ["", "times, one measurement each, so without an interval"]
        lines += [f"  {_time(one, glyphs)}" for one in comparison.times]
    lines += ["", "hypotheses", *_hypotheses(comparison)]
    lines += ["", "findings", *_findings(comparison)]
    return [glyphs.text(line) for line in lines]


def _objective(one: ObjectiveChange, glyphs: Glyphs) -> str:
    name = aspect_name(one.aspect)
    quantile = one.aspect.partition("-p")[2]
    words = f"p{quantile} {ASPECT_WORDS.get(name, name)}" if quantile else ASPECT_WORDS.get(name, name)
    line = f"{one.step}, {one.tier} {words}: {_figure(one.before, name, glyphs)} {glyphs.arrow} "
    line += _figure(one.after, name, glyphs)
    if one.difference is not None:
        low, high = _change(one.difference.low, name, glyphs), _change(one.difference.high, name, glyphs)
        line += f"; changed by {_change(one.difference.value, name, glyphs)} (95%: {low} to {high})"
    return line if one.difference is not None and one.outlook is not Outlook.UNKNOWN else f"{line}; {one.because}"


def _figure(figure: Figure, name: str, glyphs: Glyphs) -> str:
    show = show_latency if name in TIME_ASPECTS else show_share
    if figure.value is None:
        return f"no figure ({figure.status})"
    interval = f" ({show(figure.low)}{glyphs.to}{show(figure.high)})" if figure.bounded else ""
    return f"{show(figure.value)}{interval}"


def _change(value: float, name: str, glyphs: Glyphs) -> str:
    sign = "+" if value >= 0 else glyphs.minus
    if name in TIME_ASPECTS:
        return f"{sign}{show_latency(abs(value))}"
    return f"{sign}{abs(value) * 100:.2f} points"


def _time(one: TimeChange, glyphs: Glyphs) -> str:
    words = f"{one.step}, {TIME_WORDS[one.name]}: {show_seconds(one.before)} {glyphs.arrow} {show_seconds(one.after)}"
    if one.before is None or one.after is None:
        return words
    change = one.after - one.before
    return f"{words} ({'+' if change >= 0 else glyphs.minus}{show_seconds(abs(change))})"


def _hypotheses(comparison: Comparison) -> list[str]:
    gained = [one for one in comparison.hypotheses if now_holds(one)]
    lost = [one for one in comparison.hypotheses if holds_no_more(one)]
    lines = [f"  now holds: {one.step}: {one.words} (was {one.before})" for one in gained]
    lines += [f"  holds no more: {one.step}: {one.words} (is {one.after})" for one in lost]
    held = sum(one.before == one.after == "held" for one in comparison.hypotheses)
    return [*lines, f"  held both times: {held} of {len(comparison.hypotheses)}"]


def _findings(comparison: Comparison) -> list[str]:
    lines = []
    for one in comparison.findings:
        finding = one.finding
        owner = f", {finding.owner}" if finding.owner else ""
        due = f", due {finding.due}" if finding.due and one.state != "closed" else ""
        how = f" ({finding.closed_how})" if finding.closed_how else ""
        lines.append(f"  {one.state}: {finding.name} {finding.text}{owner}{due}{how}")
    return lines or ["  none"]
