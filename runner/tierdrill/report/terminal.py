"""The summary on one screen: verdict, tiers, fault, alerts, playbooks, times, and where the report is.

It fits 24 lines of 80 columns where what there is to say allows it; with more room it says more. Without UTF-8 it is
plain ASCII.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tierdrill.history.events import Event
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.answers import headline, meaning
from tierdrill.report.lanes import checks_of, worst
from tierdrill.report.provenance import duration_of
from tierdrill.report.state import story
from tierdrill.report.words import (
    ASCII,
    UNICODE,
    Glyphs,
    aspect_words,
    fault_words,
    plural,
    show_count,
    show_interval,
    show_limit,
    show_offset,
    show_seconds,
    show_seen,
    variant_words,
)
from tierdrill.spec.catalogue import DrillSetting

if TYPE_CHECKING:
    from tierdrill.report.model import RunState

STYLES = {
    Status.PASSED: "bold green",
    Status.FAILED: "bold red",
    Status.INCONCLUSIVE: "bold yellow",
    Status.ABORTED: "bold magenta",
    Status.UNCLEAN: "bold red",
}
LABEL_WIDTH = 10


def make_console(
    stream: IO[str] | None = None, *, color: bool = True, width: int | None = None, height: int | None = None
) -> Console:
    """A console for our views. No colour when told so, when NO_COLOR is set, or when the stream is no terminal."""
    plain = not color or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=stream or sys.stdout,
        no_color=plain,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=width,
        height=height,
    )


def glyphs_for(console: Console) -> Glyphs:
    """The signs this console can show."""
    return UNICODE if (console.encoding or "").lower().replace("-", "").startswith("utf8") else ASCII


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
    """The summary as plain text."""
    console = make_console(io.StringIO(), color=False, width=width, height=height)
    _print(console, setting, events, verdict, report, glyphs)
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else ""


def print_summary(
    console: Console, setting: DrillSetting, events: Sequence[Event], verdict: Verdict, report: str | None = None
) -> None:
    """The summary on a console."""
    _print(console, setting, events, verdict, report, glyphs_for(console))


def _print(
    console: Console,
    setting: DrillSetting,
    events: Sequence[Event],
    verdict: Verdict,
    report: str | None,
    glyphs: Glyphs,
) -> None:
    state = story(events)
    head = _head(setting, verdict, state, glyphs)
    tail = [*_happenings(setting, verdict, state, glyphs), *_ending(verdict, state, report, glyphs)]
    wrong = [check for check in verdict.checks if check.status is not Status.PASSED and check.group != "slo"]
    used = sum(_lines(console, line) for line in head) + len(tail) + min(len(wrong), 4) + 3
    for line in head:
        console.print(line)
    table, others = _tiers(setting, verdict, glyphs, console.width, room=console.height - used)
    console.print(table)
    for line in [*([others] if others else []), *_wrong(verdict, wrong, glyphs), *tail]:
        console.print(line, overflow=_overflow(glyphs), no_wrap=True)
    if report:
        # A path is for copying: it is never cut.
        console.print(_row("report", glyphs.text(report)), soft_wrap=True)


def _overflow(glyphs: Glyphs) -> Literal["crop", "ellipsis"]:
    return "crop" if glyphs.ascii_only else "ellipsis"


def _lines(console: Console, text: Text) -> int:
    return max(1, len(text.wrap(console, console.width)))


def _row(label: str, *parts: str | Text) -> Text:
    row = Text(f"{label:<{LABEL_WIDTH}}", style="")
    row.stylize("bold", 0, LABEL_WIDTH)
    for part in parts:
        row.append(part if isinstance(part, Text) else Text(part))
    return row


def _head(setting: DrillSetting, verdict: Verdict, state: RunState, glyphs: Glyphs) -> list[Text]:
    style = STYLES[verdict.status]
    title = Text.assemble(
        (f"{glyphs.status(verdict.status)} {verdict.status.value.upper()}", style),
        ("  ", ""),
        (glyphs.text(f"{verdict.drill}, {variant_words(verdict.variant)}"), "bold"),
        (f"  {show_seconds(duration_of(state), '')}", "dim"),
    )
    lines = [title, Text(glyphs.text(verdict.summary))]
    meant = meaning(setting, verdict)
    if meant:
        lines.append(Text(glyphs.text(meant), style="dim"))
    lines.extend(Text(glyphs.text(note), style="dim") for note in verdict.notes)
    if state.left:
        lines.append(
            Text(glyphs.text(f"STILL INJECTED: {', '.join(state.left)}. Run: tierdrill recover"), style="bold red")
        )
    return lines


def _tiers(setting: DrillSetting, verdict: Verdict, glyphs: Glyphs, width: int, room: int) -> tuple[Table, Text | None]:
    """Every objective if there is room, else the two that matter most for each tier and a line about the others."""
    tiers = setting.tiers.by_rank()
    checks = {tier.name: checks_of(verdict, f"slo/{tier.name}/") for tier in tiers}
    everything = sum(max(1, len(mine)) for mine in checks.values()) <= room
    # An interval needs room; below 72 columns the check's own line in the report has it.
    wide = width >= 72
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    cut = _overflow(glyphs)
    table.add_column("tier", no_wrap=True, max_width=16, overflow=cut)
    table.add_column("promise", no_wrap=True, overflow=cut)
    table.add_column("limit", no_wrap=True, overflow=cut)
    table.add_column("seen", no_wrap=True, overflow=cut)
    if wide:
        table.add_column("95% interval", no_wrap=True, overflow=cut)
        table.add_column("requests", justify="right", no_wrap=True, overflow=cut)
    for tier in tiers:
        mine = checks[tier.name]
        shown = mine if everything else headline(mine)
        if not mine:
            table.add_row(glyphs.text(tier.name), Text("not judged in this drill", style="dim"))
        for index, check in enumerate(shown):
            table.add_row(*_tier_cells(tier.name if index == 0 else "", check, glyphs, wide))
    hidden = [check for mine in checks.values() for check in mine if check not in headline(mine)]
    if everything or not hidden:
        return table, None
    bad = sum(check.status is not Status.PASSED for check in hidden)
    words = f"and {plural(len(hidden), 'other objective')}: " + (f"{bad} not held" if bad else "all held")
    return table, _row("", Text(words, style="red" if bad else "dim"))


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


def _wrong(verdict: Verdict, wrong: Sequence[Check], glyphs: Glyphs) -> list[Text]:
    """Up to four checks beside the tiers' that did not pass, those that decided first."""
    order = {name: index for index, name in enumerate(verdict.reasons)}
    ranked = sorted(wrong, key=lambda check: order.get(check.id, len(order)))
    lines = []
    for index, check in enumerate(ranked[:4]):
        text = Text(f"{glyphs.status(check.status)} {glyphs.text(check.title)}: ", style=STYLES[check.status])
        text.append(Text(glyphs.text(f"{check.seen} (expected {check.expected})"), style=""))
        more = f"  and {len(ranked) - 4} more" if index == 3 and len(ranked) > 4 else ""
        lines.append(_row(check.status.value if index == 0 and len(check.status) < LABEL_WIDTH else "", text, more))
    return lines


def _sign(verdict: Verdict, prefix: str, glyphs: Glyphs) -> Text:
    status = worst(checks_of(verdict, prefix))
    return Text(f"{glyphs.status(status)} ", style=STYLES[status]) if status else Text(f"{glyphs.dot} ", style="dim")


def _happenings(setting: DrillSetting, verdict: Verdict, state: RunState, glyphs: Glyphs) -> list[Text]:
    lines = []
    for index, fault in enumerate(state.faults.values()):
        landed = show_offset(fault.effective_at - state.zero) if fault.effective_at is not None else "not seen"
        gone = show_offset(fault.gone_at - state.zero) if fault.gone_at is not None else "not seen"
        text = f"{fault_words(fault.kind)} on {fault.target}: landed {landed}, gone {gone}"
        lines.append(
            _row("fault" if index == 0 else "", _sign(verdict, f"fault/{fault.id}/", glyphs), glyphs.text(text))
        )
    must = [wanted.alert for wanted in setting.drill.expect.alerts.must_fire]
    fired = [view.alert for view in state.alerts.values() if view.firing_at is not None]
    forbidden = [wanted.alert for wanted in setting.drill.expect.alerts.must_not_fire if wanted.alert in fired]
    for index, name in enumerate(dict.fromkeys([*must, *forbidden])):
        text = glyphs.text(f"{name} {_alert_words(state, name)}")
        lines.append(_row("alerts" if index == 0 else "", _sign(verdict, f"alert/{name}/", glyphs), text))
    others = sorted(set(fired) - set(must) - set(forbidden))
    if others:
        lines.append(
            _row(
                "" if must or forbidden else "alerts",
                Text(f"{glyphs.dot} ", style="dim"),
                glyphs.text(f"also {', '.join(others)}"),
            )
        )
    wanted_runs = [wanted.playbook for wanted in setting.drill.expect.playbooks.must_fire]
    ran = [view.playbook for view in state.playbooks]
    for index, name in enumerate(dict.fromkeys([*wanted_runs, *ran])):
        text = glyphs.text(f"{name} {_playbook_words(state, name)}")
        lines.append(_row("playbooks" if index == 0 else "", _sign(verdict, f"playbook/{name}/", glyphs), text))
    pages = [page for page in state.pages if page.action not in ("acknowledge", "resolve")]
    if pages:
        who = ", ".join(dict.fromkeys(page.contact for page in pages))
        lines.append(_row("pages", f"{glyphs.dot} ", glyphs.text(f"{plural(len(pages), 'page')} to {who}")))
    return lines


def _alert_words(state: RunState, name: str) -> str:
    views = [view for view in state.alerts_named(name) if view.firing_at is not None]
    if not views:
        return "never fired (silenced)" if name in state.silenced else "never fired"
    fired = min(view.firing_at for view in views if view.firing_at is not None)
    over = [view.resolved_at for view in views]
    known = [at for at in over if at is not None]
    ending = f"resolved {show_offset(max(known) - state.zero)}" if len(known) == len(over) else "still firing"
    return f"fired {show_offset(fired - state.zero)}, {ending}"


def _playbook_words(state: RunState, name: str) -> str:
    acts = [view for view in state.playbooks if view.playbook == name and view.phase == "act"]
    if not acts:
        skip = next((skip for skip in state.skips if skip.playbook == name), None)
        return f"never ran ({skip.reason})" if skip else "never ran"
    done = next((view for view in acts if view.ok and view.finished is not None), None)
    start = f"on {acts[0].target}: started {show_offset(acts[0].started - state.zero)}"
    if done is None or done.finished is None:
        why = next((view.reason for view in acts if view.reason), "")
        return f"{start}, did not succeed{': ' + why if why else ''}"
    return f"{start}, done {show_offset(done.finished - state.zero)}"


def _ending(verdict: Verdict, state: RunState, report: str | None, glyphs: Glyphs) -> list[Text]:
    times = verdict.times
    named = (("detect", times.mttd), ("acknowledge", times.mtta), ("mitigate", times.mitigate), ("recover", times.mttr))
    shown = [f"{name} {show_seconds(value)}" for name, value in named if value is not None]
    lines = [_row("times", glyphs.text(f" {glyphs.dot} ".join(shown)))] if shown else []
    passed = sum(check.status is Status.PASSED for check in verdict.checks)
    lines.append(
        _row("checks", f"{passed} of {len(verdict.checks)} passed", glyphs.text(f" {glyphs.dot} run {verdict.run}"))
    )
    return lines
