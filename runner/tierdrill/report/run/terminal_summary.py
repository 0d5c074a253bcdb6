"""The summary on one screen: verdict, tiers, fault, alerts, playbooks, times, and where the report is.

It fits 24 lines of 80 columns where what there is to say allows it; with more room it says more. Without UTF-8 it is
plain ASCII.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import IO, Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.variables import resolve_drill
from tierdrill.history.events import Event
from tierdrill.judge.verdict import HARMLESS, Check, Status, Verdict
from tierdrill.report.charts.deployment_lanes import checks_of
from tierdrill.report.format import (
    UNICODE,
    Glyphs,
    aspect_words,
    glyphs_for,
    held_words,
    show_count,
    show_interval,
    show_limit,
    show_seconds,
    show_seen,
    variant_words,
)
from tierdrill.report.run.event_rows import STYLES, ending_rows, happening_rows, row, wrong_rows
from tierdrill.report.run.headline import headline, meaning
from tierdrill.report.run.origin import duration_of
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import story
from tierdrill.text import plural

BREVITY_MAX = 5


def make_console(
    stream: IO[str] | None = None, *, color: bool = True, width: int | None = None, height: int | None = None
) -> Console:
    """A console for our views. No colour when told so, when NO_COLOR is set, or when the stream is no terminal."""
    plain = not color or bool(os.environ.get("NO_COLOR"))
    file = stream or sys.stdout
    return Console(
        # What is printed here is ours, with the texts of others made visible in it; other output may hold no escapes.
        file=getattr(file, "controls", file),
        no_color=plain,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=width,
        height=height,
    )


def summary_text(
    setting: DrillSetting,
    events: Sequence[Event],
    verdict: Verdict,
    *,
    report: str | None = None,
    width: int = 80,
    height: int = 24,
    glyphs: Glyphs = UNICODE,
) -> str:
    console = make_console(io.StringIO(), color=False, width=width, height=height)
    _print(console, setting, events, verdict, report, glyphs)
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else ""


def print_summary(
    console: Console, setting: DrillSetting, events: Sequence[Event], verdict: Verdict, report: str | None = None
) -> None:
    _print(console, setting, events, verdict, report, glyphs_for(console))


def _print(
    console: Console,
    setting: DrillSetting,
    events: Sequence[Event],
    verdict: Verdict,
    report: str | None,
    glyphs: Glyphs,
) -> None:
    setting = resolve_drill(setting)
    state = story(events)
    for brevity in range(BREVITY_MAX + 1):
        parts = _parts(setting, state, verdict, glyphs, console.width, brevity)
        height = sum(len(console.render_lines(part, pad=False)) for part in parts) + (1 if report else 0)
        if height < console.height:
            break
    for part in parts:
        console.print(part)
    if report:
        # A path is for copying: it is never cut.
        console.print(row("report", glyphs.text(report)), soft_wrap=True)


def _parts(
    setting: DrillSetting, state: RunState, verdict: Verdict, glyphs: Glyphs, width: int, brevity: int
) -> list[RenderableType]:
    """The summary from top to bottom; each step of brevity leaves out what matters least of what is left."""
    notes = (*verdict.notes, meaning(setting, verdict)) if brevity < 2 else (meaning(setting, verdict),)
    wrong = [check for check in verdict.checks if check.status not in HARMLESS and check.group != "slo"]
    lines = [
        *wrong_rows(verdict, wrong, glyphs, at_most=4 if brevity < 3 else 2),
        *happening_rows(setting, verdict, state, glyphs, everything=brevity < 4),
        *ending_rows(verdict, glyphs),
    ]
    for line in lines:
        line.truncate(width, overflow=_overflow(glyphs))
    tiers = _tiers(setting, verdict, glyphs, width, per_tier=None if brevity < 1 else 2 if brevity < 5 else 1)
    return [*_head(verdict, state, notes, glyphs), *tiers, *lines]


def _overflow(glyphs: Glyphs) -> Literal["crop", "ellipsis"]:
    return "crop" if glyphs.ascii_only else "ellipsis"


def _head(verdict: Verdict, state: RunState, notes: Sequence[str], glyphs: Glyphs) -> list[Text]:
    style = STYLES[verdict.status]
    title = Text.assemble(
        (f"{glyphs.status(verdict.status)} {verdict.status.value.upper()}", style),
        ("  ", ""),
        (glyphs.text(f"{verdict.drill}, {variant_words(verdict.variant)}"), "bold"),
        (f"  {show_seconds(duration_of(state), '')}", "dim"),
    )
    lines = [title, Text(glyphs.text(verdict.summary))]
    lines.extend(Text(glyphs.text(note), style="dim") for note in notes if note)
    if state.left:
        lines.append(
            Text(glyphs.text(f"STILL INJECTED: {', '.join(state.left)}. Run: tierdrill recover"), style="bold red")
        )
    return lines


def _tiers(
    setting: DrillSetting, verdict: Verdict, glyphs: Glyphs, width: int, per_tier: int | None
) -> list[RenderableType]:
    """Every objective, or the few that matter most for each tier and a line about the others."""
    tiers = setting.tiers.by_rank()
    checks = {tier.name: checks_of(verdict, f"slo/{tier.name}/") for tier in tiers}
    every = [check for mine in checks.values() for check in mine]
    if every and not any(check.samples or check.status is not Status.INCONCLUSIVE for check in every):
        return [row("tiers", Text(f"nothing was measured, so none of {plural(len(every), 'objective')} was judged"))]
    shown = {name: mine if per_tier is None else headline(mine)[:per_tier] for name, mine in checks.items()}
    # An interval needs room; below 72 columns the check's own line in the report has it.
    wide = width >= 72
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    cut = _overflow(glyphs)
    table.add_column("tier", no_wrap=True, max_width=16, overflow=cut)
    table.add_column("promise", no_wrap=True, overflow=cut)
    # Where a check carries no figure these are sentences, which must not take the room of the columns beside them.
    table.add_column("limit", no_wrap=True, max_width=9, overflow=cut)
    table.add_column("seen", no_wrap=True, max_width=9, overflow=cut)
    if wide:
        table.add_column("95% interval", no_wrap=True, overflow=cut)
        table.add_column("requests", justify="right", no_wrap=True, overflow=cut)
    for tier in tiers:
        mine = checks[tier.name]
        if not mine:
            table.add_row(glyphs.text(tier.name), Text("not judged in this drill", style="dim"))
        for index, check in enumerate(shown[tier.name]):
            table.add_row(*_tier_cells(tier.name if index == 0 else "", check, glyphs, wide))
    hidden = [check for name, mine in checks.items() for check in mine if check not in shown[name]]
    if not hidden:
        return [table]
    bad = sum(check.status not in HARMLESS for check in hidden)
    held = [check.status is Status.PASSED for check in hidden]
    result = f"{bad} not held" if bad else "all held" if all(held) else held_words(hidden)
    words = f"and {plural(len(hidden), 'other objective')}: {result}"
    return [table, row("", Text(words, style="red" if bad else "dim"))]


def _tier_cells(tier: str, check: Check, glyphs: Glyphs, wide: bool) -> list[Text]:
    style = STYLES[check.status]
    sign = Text(f"{glyphs.status(check.status)} ", style=style)
    cells = [
        Text(glyphs.text(tier), style="bold"),
        sign.append(Text(glyphs.text(aspect_words(check)), style="")),
        Text(glyphs.text(show_limit(check, glyphs))),
        Text(glyphs.text(show_seen(check)), style=style),
    ]
    if wide:
        cells.append(Text(glyphs.text(show_interval(check, glyphs)), style="dim"))
        cells.append(Text(show_count(check.samples) if check.samples is not None else "", style="dim"))
    return cells
