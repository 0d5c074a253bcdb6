"""`tierdrill schedule`: what the calendars say: which slots come, what holds them back, what is wrong with them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.commands.schedule_past import log, status
from tierdrill.cli.completion import complete_calendar
from tierdrill.cli.errors import BAD_INPUT, Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural, table, visible

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.timetable import Timetable
    from tierdrill.schedule.slots import Showing, Slot

_calendar = click.argument("calendar", required=False, shell_complete=complete_calendar)
_from = click.option(
    "--from", "start", metavar="TIME",
    help="Start date or date-time (calendar's time zone unless it has an offset) [default: now]."
)


@click.group("schedule")
def command() -> None:
    """Show and check the catalogue's calendars and past slots. Nothing is started."""


@command.command("show")
@_calendar
@click.option("--next", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Number of slots.")
@_from
@json_option
@click.pass_obj
def show(here: Surroundings, calendar: str | None, count: int, start: str | None, as_json: bool) -> None:
    """Show the next slots, and which rule holds one back.

    Of all calendars, or of CALENDAR.
    """
    from tierdrill.schedule.slots import disabled_entries, due_slots

    catalogue, timetables, showing = timetables_of(here, calendar)
    after = _moment(start, timetables)
    slots = [showing.of(slot) for slot in islice(due_slots(timetables.values(), after), count)]
    disabled = disabled_entries(timetables)
    if as_json:
        from tierdrill.schedule.slots import in_utc

        echo_json({"from": in_utc(after), "slots": [one.to_json() for one in slots], "disabled": disabled})
        return
    click.echo(f"catalogue {catalogue.root}, {_counted(timetables)}")
    rows = [one.row() for one in slots]
    click.echo(table(rows, head=("local", "utc", "entry", "runs", ""), indent="  ") or "  no upcoming slots")
    if disabled:
        click.echo(f"not enabled: {', '.join(disabled)}")


@command.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@json_option
@click.pass_obj
def check(here: Surroundings, paths: tuple[Path, ...], as_json: bool) -> int:
    """Check what would keep scheduled drills from running.

    In the whole catalogue, or in the files at PATHS.

    Each problem is one line, `file:line:column: what was found; what is allowed`. Exit code 2 if there is any: a time
    that never comes, an unknown zone, rules that leave no slot open, drills that would run at once on one environment,
    an iCalendar file that cannot be read, and all that `tierdrill validate` finds.
    """
    from tierdrill.cli.chosen_documents import groups, problem_count, read_group
    from tierdrill.documents.problems import in_order

    found, calendars = [], 0
    for root, only in groups(paths, here.catalogue):
        catalogue, problems = read_group(root, only)
        found += problems
        kept = {path.resolve() for path in only} if only is not None else None
        calendars += sum(
            kept is None or catalogue.paths["Calendar", name].resolve() in kept for name in catalogue.calendars
        )
    problems = in_order(found)
    if as_json:
        echo_json({"ok": not problems, "calendars": calendars, "problems": [asdict(one) for one in problems]})
    else:
        for problem in problems:
            click.echo(str(problem))
        if problems:
            click.echo(problem_count(problems), err=True)
        else:
            click.echo(f"{plural(calendars, 'calendar')}: no problems")
    return BAD_INPUT if problems else 0


@command.command("simulate")
@_calendar
@click.option("--days", type=click.IntRange(1, 3660), default=7, show_default=True, help="Number of days.")
@_from
@click.option("--summary", is_flag=True, help="Show only the counts.")
@click.option("--json", "as_json", is_flag=True, help="Print slots as JSON lines; the last one has the counts.")
@click.pass_obj
def simulate(
    here: Surroundings, calendar: str | None, days: int, start: str | None, summary: bool, as_json: bool
) -> None:
    """List every slot of the coming days and count them by entry.

    Only calendar rules are applied: a lock or a spent error budget is not known ahead of time.
    """
    from tierdrill.schedule.slots import disabled_entries, due_slots

    _, timetables, showing = timetables_of(here, calendar)
    after = _moment(start, timetables)
    counted: dict[str, Counter[str]] = {}
    lines = []
    for slot in due_slots(timetables.values(), after, after + timedelta(days=days)):
        counted.setdefault(f"{slot.calendar}/{slot.entry}", Counter())[slot.held or ""] += 1
        if not summary:
            lines.append(_line(slot, showing, as_json))
            if len(lines) >= 1000:
                sys.stdout.write("".join(lines))
                lines.clear()
    sys.stdout.write("".join(lines))
    if as_json:
        counts = {name: _counts(each) for name, each in sorted(counted.items())}
        told = {"days": days, "entries": counts, "disabled": disabled_entries(timetables)}
        click.echo(json.dumps(told, sort_keys=True))
        return
    rows = []
    for name, each in sorted(counted.items()):
        held = [f"{count} by {words}" for words, count in each.most_common() if words]
        rows.append([name, str(each.total()), str(each[""]), str(each.total() - each[""]), held[0] if held else ""])
        rows += [["", "", "", "", one] for one in held[1:]]
    click.echo(table(rows, head=("entry", "slots", "run", "held", "")) or "no upcoming slots")


command.add_command(status)
command.add_command(log)


@command.command("rules")
@click.argument("calendar", required=False, shell_complete=complete_calendar)
@click.pass_obj
def rules(here: Surroundings, calendar: str | None) -> None:
    """Print Prometheus rules that watch over the scheduler.

    They alert when it is down, or a scheduled drill did not run.
    """
    from tierdrill.schedule.metrics import schedule_rules

    _, timetables, _ = timetables_of(here, calendar)
    click.echo(schedule_rules(timetables.values(), datetime.now(UTC)), nl=False)


def _counts(each: Counter[str]) -> dict[str, Any]:
    held = {words: count for words, count in each.items() if words}
    return {"slots": each.total(), "run": each[""], "held": held}


def _line(slot: Slot, showing: Showing, as_json: bool) -> str:
    shown = showing.of(slot)
    return f"{json.dumps(shown.to_json())}\n" if as_json else f"{visible('  '.join(shown.row()).rstrip())}\n"


def timetables_of(here: Surroundings, calendar: str | None) -> tuple[Catalogue, dict[str, Timetable], Showing]:
    """The calendars asked about, ready; SpecError if a document has a problem, Refusal if there is no such calendar."""
    from tierdrill.cli.drill_documents import whole_catalogue
    from tierdrill.did_you_mean import none_named
    from tierdrill.documents.timetable import timetable_of
    from tierdrill.schedule.slots import Showing

    catalogue = whole_catalogue(here.catalogue)
    names = sorted(catalogue.calendars)
    if calendar is not None and calendar not in names:
        raise Refusal(none_named("calendar", calendar, names, f" in {catalogue.root}"))
    if not names:
        raise Refusal(f"no calendars in {catalogue.root}")
    timetables = {
        name: timetable_of(catalogue.calendars[name], catalogue.paths["Calendar", name])
        for name in names
        if calendar in (None, name)
    }
    return catalogue, timetables, Showing(catalogue, timetables)


def _moment(text: str | None, timetables: dict[str, Timetable]) -> datetime:
    from tierdrill.documents.calendar.moments import find_zone, starts_at

    if text is None:
        return datetime.now(UTC)
    zones = {timetable.calendar.timezone for timetable in timetables.values()}
    try:
        return starts_at(text, find_zone(zones.pop() if len(zones) == 1 else "UTC"))
    except ValueError as error:
        raise Refusal(f"--from: {error}") from None



def _counted(timetables: dict[str, Timetable]) -> str:
    entries = sum(len(timetable.entries) for timetable in timetables.values())
    calendars = ", ".join(f"{name} ({timetable.calendar.timezone})" for name, timetable in timetables.items())
    word = "calendar" if len(timetables) == 1 else "calendars"
    return f"{word} {calendars}, {plural(entries, 'entry', 'entries')}"
