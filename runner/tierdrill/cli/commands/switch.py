"""`tierdrill halt` and `tierdrill resume`: the kill switch, kept with who threw it and why."""

from __future__ import annotations

from contextlib import closing, suppress

import click

from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.standard_streams import unread
from tierdrill.conductor.live_runs import live_runs

_reason = click.option("--reason", required=True, help="Why; it is shown to whoever is stopped by it.")
_author = click.option("--author", "by", help="Who [default: git's identity, else the user].")


def _said(reason: str) -> str:
    text = " ".join(reason.split())
    if not text:
        raise Refusal("found an empty --reason; allowed is a few words that help whoever is stopped by it")
    return text


@click.command("halt")
@_reason
@_author
@click.pass_obj
def halt(here: Surroundings, reason: str, by: str | None) -> None:
    """Throw the kill switch: what runs stops and cleans up, and nothing starts until `tierdrill resume`."""
    from tierdrill.history.ledger import LedgerError, throw_kill_switch

    unrecorded = throw_kill_switch(here.home, by or author(), _said(reason))
    with unread():
        click.echo("halted: nothing starts until `tierdrill resume --reason ...`")
    if unrecorded:
        say(f"the ledger has no record of it, it holds all the same: {unrecorded}")
    with suppress(LedgerError), unread():
        for run in live_runs(here.home):
            click.echo(f"stopping {run}; `tierdrill status` shows when it is clean")


@click.command("resume")
@_reason
@_author
@click.pass_obj
def resume(here: Surroundings, reason: str, by: str | None) -> None:
    """Lift the kill switch."""
    from tierdrill.history.ledger import Ledger

    with closing(Ledger(here.home)) as ledger:
        lifted = ledger.resume(by or author(), _said(reason))
    with unread():
        click.echo("resumed: drills may start" if lifted else "it was not halted")
