"""`tierdrill halt` and `tierdrill resume`: the kill switch, kept with who threw it and why."""

from __future__ import annotations

from contextlib import closing, suppress

import click

from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.standard_streams import unread
from tierdrill.conductor.status import live_runs

_reason = click.option("--reason", required=True, help="Reason, shown to everybody it stops.")
_author = click.option("--author", "by", help="Author [default: git's identity, else the user].")


def _said(reason: str) -> str:
    text = " ".join(reason.split())
    if not text:
        raise Refusal("--reason must not be empty")
    return text


@click.command("halt")
@_reason
@_author
@click.pass_obj
def halt(here: Surroundings, reason: str, by: str | None) -> None:
    """Turn on the kill switch: runs stop and clean up, and none can start until `tierdrill resume`."""
    from tierdrill.history.ledger import LedgerError, throw_kill_switch

    unrecorded = throw_kill_switch(here.home, by or author(), _said(reason))
    with unread():
        click.echo("halted: no run starts until `tierdrill resume --reason ...`")
    if unrecorded:
        say(f"not recorded in the ledger: {unrecorded}")
    with suppress(LedgerError), unread():
        for run in live_runs(here.home):
            click.echo(f"stopping {run}; `tierdrill status` shows when it is clean")


@click.command("resume")
@_reason
@_author
@click.pass_obj
def resume(here: Surroundings, reason: str, by: str | None) -> None:
    """Turn off the kill switch and allow runs again."""
    from tierdrill.history.ledger import Ledger

    with closing(Ledger(here.home)) as ledger:
        lifted = ledger.resume(by or author(), _said(reason))
    with unread():
        click.echo("resumed: runs can start" if lifted else "not halted")
