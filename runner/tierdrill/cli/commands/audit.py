"""`tierdrill audit`: who did or changed what, when and why; and whether that record is as it was written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from tierdrill.cli.completion import complete_action
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option, past_moment
from tierdrill.process.safe_files import atomic_file
from tierdrill.text import plural, table, utc

if TYPE_CHECKING:
    from tierdrill.history.audit_log import AuditEntry

CHANGED = 1
_what = click.option(
    "--what", metavar="ACTION", shell_complete=complete_action, help="Only this action, or all of a kind (override)."
)
_since = click.option(
    "--since", metavar="WHEN", callback=past_moment, help="Only entries since (90d, 12h, 2026-03-01)."
)


@click.group("audit")
def command() -> None:
    """Show, check or export the audit log."""


@command.command("verify")
@json_option
@click.pass_obj
def verify(here: Surroundings, as_json: bool) -> int:
    """Check that no entry was changed, removed, added or reordered. Exit code 1 if one was, and which."""
    from tierdrill.history import audit_log

    found = audit_log.verify(here.home)
    if as_json:
        echo_json({**asdict(found), "whole": not found.faults})
        return CHANGED if found.faults else 0
    for fault in found.faults:
        click.echo(fault)
    if found.torn:
        say("warning: the last line is incomplete: its writer died; the next entry removes it")
    if found.faults:
        click.echo("the audit log is not as it was written")
        return CHANGED
    last = f"; the last has digest {found.last}" if found.entries else ""
    click.echo(f"{plural(found.entries, 'entry', 'entries')}, each as it was written{last}")
    return 0


@command.command("show")
@_what
@click.option("--about", metavar="TEXT", help="Only entries about this run, tier or other object.")
@click.option("--who", metavar="NAME", help="Only what this person did.")
@_since
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="Show at most the last so many."
)
@json_option
@click.pass_obj
def show(
    here: Surroundings,
    what: str | None,
    about: str | None,
    who: str | None,
    since: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the last entries, oldest first."""
    found = [
        entry for entry in _entries(here.home, what, since) if about in (None, entry.about) and who in (None, entry.who)
    ][-limit:]
    if as_json:
        echo_json({"entries": [asdict(entry) for entry in found]})
        return
    rows = [
        (str(entry.n), utc(entry.at), entry.who, entry.what, entry.about, _change(entry), entry.why) for entry in found
    ]
    click.echo(table(rows, ("n", "when", "who", "what", "about", "change", "why")) or "no entries")


@command.command("export")
@_what
@_since
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file [default: stdout].")
@click.pass_obj
def export(here: Surroundings, what: str | None, since: float | None, output: Path | None) -> None:
    """Export entries as JSON lines, oldest first."""
    entries = _entries(here.home, what, since)
    if output is None:
        _write(entries, sys.stdout)
        return
    with atomic_file(output) as file:
        count = _write(entries, file)
    say(f"{plural(count, 'entry', 'entries')} exported to {output}")


def _entries(home: Path, what: str | None, since: float | None) -> Iterator[AuditEntry]:
    from tierdrill.did_you_mean import did_you_mean, nearest
    from tierdrill.history.audit_log import ACTIONS, entries
    from tierdrill.text import listed

    known = [*ACTIONS, *dict.fromkeys(action.partition(".")[0] for action in ACTIONS)]
    if what is not None and what not in known:
        raise Refusal(
            f"--what: got {what!r}, expected {listed(ACTIONS, last='or')}{did_you_mean(nearest(what, known))}"
        )
    return (
        entry
        for entry in entries(home)
        if (what is None or entry.what == what or entry.what.startswith(f"{what}."))
        and (since is None or entry.at >= since)
    )


def _write(entries: Iterator[AuditEntry], out: TextIO) -> int:
    count = 0
    for entry in entries:
        out.write(json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False) + "\n")
        count += 1
    return count


def _change(entry: AuditEntry) -> str:
    if entry.before is None:
        return "" if entry.after is None else _brief(entry.after)
    return f"{_brief(entry.before)} -> {'none' if entry.after is None else _brief(entry.after)}"


def _brief(state: object) -> str:
    if isinstance(state, dict):
        return " ".join(f"{name}={value}" for name, value in state.items())
    return str(state)
