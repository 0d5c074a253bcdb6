"""`tierdrill schedule status` and `log`: what the scheduler did and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_calendar
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural, table, utc

if TYPE_CHECKING:
    from tierdrill.schedule.store.slot_store import ScheduleStore

STATES = ("claimed", "running", "finished", "held", "missed", "lost")


@click.command("status")
@json_option
@click.pass_obj
def status(here: Surroundings, as_json: bool) -> None:
    """Show schedulers, environments in use and each entry's state."""
    from tierdrill.schedule.store.store_summary import summary

    with _store(here) as store:
        found = summary(store)
    if as_json:
        echo_json(found)
        return
    for line in _lines(found) if store is not None else (_never(here),):
        click.echo(line)


@click.command("log")
@click.argument("calendar", required=False, shell_complete=complete_calendar)
@click.option("--entry", metavar="NAME", help="Only slots of this entry.")
@click.option("--state", type=click.Choice(STATES), help="Only slots in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Show at most this many.")
@click.option("--gates", is_flag=True, help="Also show every gate's result.")
@json_option
@click.pass_obj
def log(
    here: Surroundings,
    calendar: str | None,
    entry: str | None,
    state: str | None,
    limit: int,
    gates: bool,
    as_json: bool,
) -> None:
    """Show past slots: run, held, missed or lost, and why.

    Of all calendars, or of CALENDAR.
    """
    from tierdrill.schedule.store.store_summary import slot_data

    shown, gaps, notes = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    with _store(here) as store:
        if store is not None:
            slots = store.latest(limit, calendar=calendar, entry=entry, state=state)
            shown = [slot_data(record, store.attempts(record.slot.key)) for record in reversed(slots)]
            gaps = [
                {"calendar": gap.calendar, "entry": gap.entry, "first": gap.first, "last": gap.last, "count": gap.count,
                 "reason": gap.reason}
                for gap in store.gaps(limit)
                if calendar in (None, gap.calendar) and entry in (None, gap.entry) and state in (None, "missed")
            ]  # fmt: skip
            notes = [{"at": note.at, "kind": note.kind, "text": note.text} for note in reversed(store.notes(limit))]
    if as_json:
        echo_json({"slots": shown, "gaps": gaps, "scheduler": notes})
        return
    for one in shown:
        for line in _slot_lines(one, gates):
            click.echo(line)
    for gap in gaps:
        span = f"{utc(gap['first'])} to {utc(gap['last'])}"
        click.echo(f"{span}  {gap['calendar']}/{gap['entry']}  {plural(gap['count'], 'slot')} missed: {gap['reason']}")
    if not shown and not gaps:
        click.echo("no past slots" if store is not None else _never(here))


def _never(here: Surroundings) -> str:
    return f"no scheduler has run in {here.home}; start one with `tierdrill scheduler`"


@contextmanager
def _store(here: Surroundings) -> Iterator[ScheduleStore | None]:
    from tierdrill.schedule.store.slot_store import ScheduleStore, StoreCorrupt

    try:
        with ScheduleStore.kept(here.home) as store:
            yield store
    except StoreCorrupt as error:
        raise Refusal(f"{error}; `tierdrill scheduler` keeps a copy and creates a new one") from error


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found["schedulers"]:
        state = "runs" if one["lives"] else "DIED"
        lines.append(f"scheduler {one['pid']} {state} since {utc(one['since'])}: {', '.join(one['calendars'])}")
    if not found["schedulers"]:
        lines.append("NO SCHEDULER IS RUNNING; due slots are missed")
    for slot in found["slots"]:
        runs = ", ".join(one["run"] for one in slot["drills"] if one["state"] == "running") or slot["reason"]
        lines.append(f"{slot['key']} is {slot['state']}{f': {runs}' if runs else ''}")
    for lock in found["locks"]:
        holder = f"pid {lock['pid']}" if lock["lives"] else f"pid {lock['pid']}, which is dead: the lock is free"
        lines.append(
            f"environment {lock['environment']} is in use by {lock['slot']} (owner {lock['owner'] or 'not set'}, "
            f"{holder}) since {utc(lock['since'])}, lease {lock['lease']:g} s"
        )
    rows = []
    for one in found["entries"]:
        latest = one["latest"]
        words = _words(latest) if latest else "no past slots"
        rows.append((
            f"{one['calendar']}/{one['entry']}", utc(latest["due"]) if latest else "", words,
            utc(one["last_success"]) if one["last_success"] else "never",
        ))  # fmt: skip
    if rows:
        lines += ["", table(rows, ("entry", "last slot", "result", "last passed"))]
    return lines


def _words(slot: dict[str, Any], reason: str = "") -> str:
    from tierdrill.schedule.store.slot_records import words_of

    return words_of(slot["state"], slot["outcome"], reason)


def _slot_lines(slot: dict[str, Any], gates: bool) -> list[str]:
    late = f", {slot['late']:.1f} s late" if slot["late"] and slot["late"] >= 1 else ""
    runs = ", ".join(one["run"] for one in slot["drills"] if one["run"])
    name = f"{slot['calendar']}/{slot['entry']}"
    lines = [f"{utc(slot['due'])}  {name}  {_words(slot, slot['reason'])}{late}{f' ({runs})' if runs else ''}"]
    for one in slot["drills"] if gates else ():
        lines.append(f"    {one['drill']}: {one['status'] or one['state']}")
        rows = [(gate["gate"], gate["verdict"], gate["reason"]) for gate in one["gates"]]
        if rows:
            lines.append(table(rows, indent="      "))
    return lines
