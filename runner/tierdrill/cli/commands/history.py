"""`tierdrill history`: what happened in a run, for reading or for export; or which runs there were."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill, complete_run
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.past_runs import find_record, stored_events
from tierdrill.text import table, utc

if TYPE_CHECKING:
    from tierdrill.history.events import Event

"""Kinds that say much and tell nothing."""


@click.command("history")
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--format", "form", type=click.Choice(("text", "jsonl")), default="text", help="Output format.")
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Only events of this kind (fault, alert.state, ...)."
)
@click.option("--runs", is_flag=True, help="List runs instead, newest first.")
@click.option("--drill", shell_complete=complete_drill, help="With --runs: only of this drill.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True,
    help="With --runs: show at most this many.",
)
@click.pass_obj
def command(
    here: Surroundings, run: str | None, form: str, kinds: tuple[str, ...], runs: bool, drill: str | None, limit: int
) -> None:
    """Show the events of a RUN (default: the last one).

    --format jsonl exports one self-contained file: `tierdrill judge --history FILE` judges it anywhere.
    """
    if runs:
        _list_runs(here, form, drill, limit)
        return
    record = find_record(here.home, run)
    events = stored_events(here.home, record.run)
    if form == "jsonl":
        from tierdrill.history.history_store import write_lines

        write_lines([event for event in events if _wanted(event.kind, kinds)], sys.stdout)
        return
    click.echo(f"run {record.run}: {record.status or 'not ended'}")
    for line in _lines(events, kinds):
        click.echo(line)


def _wanted(kind: str, kinds: Iterable[str]) -> bool:
    asked = list(kinds)
    return not asked or any(kind == one or kind.startswith(f"{one}.") for one in asked)


def _lines(events: Iterable[Event], kinds: tuple[str, ...]) -> Iterable[str]:
    """The story, a line for each event, with the time since the fault's effect; figures only where asked for."""
    from tierdrill.history.kinds.run_kinds import LoadHealth, LoadSamples, PlatformState
    from tierdrill.history.payload import plain
    from tierdrill.report.event_text import describe
    from tierdrill.report.format import show_offset
    from tierdrill.report.run_model import RunState
    from tierdrill.report.run_state import reduce

    state, left_out = RunState(drill="", variant=""), Counter[str]()
    for event in events:
        figures = isinstance(event.payload, LoadSamples | LoadHealth | PlatformState)
        if figures and not kinds:
            left_out[event.kind] += 1
            continue
        if not figures:
            state = reduce(state, event)
        if not _wanted(event.kind, kinds):
            continue
        told = describe(event, state.faults)
        text = told.text if told else plain(event.data)
        offset = "" if state.effect is None else show_offset(event.at - state.effect)
        yield f"{event.sequence:>5}  {_moment(event.at)}  {offset:>7}  {event.kind:<21} {_cut(text, 400)}".rstrip()
    if left_out:
        counts = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
        yield f"omitted: {counts} (use --kind KIND or --format jsonl)"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _moment(at: float) -> str:
    return utc(at, "%H:%M:%S.%f")[:-3]


def _list_runs(here: Surroundings, form: str, drill: str | None, limit: int) -> None:
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.recovery.status import live_runs

    with HistoryStore.kept(here.home) as store:
        records = store.runs(drill, limit) if store else []
    if form == "jsonl":
        for record in records:
            click.echo(json.dumps(asdict(record), sort_keys=True))
        return
    live = live_runs(here.home) if any(record.status is None for record in records) else {}
    rows = [
        (
            record.run,
            utc(record.started_at),
            record.variant,
            record.status or ("running" if record.run in live else "runner died"),
            _cut(record.summary or "", 90),
        )
        for record in records
    ]
    click.echo(table(rows, ("run", "started", "variant", "status", "summary")) or f"no runs in {here.home}")
