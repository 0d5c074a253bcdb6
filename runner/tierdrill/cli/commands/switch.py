"""`tierdrill halt` and `tierdrill resume`: the kill switch, kept with who threw it and why."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from tierdrill.cli.drill_documents import cluster_environment
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.options import environment_option
from tierdrill.cli.standard_streams import unread
from tierdrill.recovery.status import live_runs

if TYPE_CHECKING:
    from tierdrill.targets.kubernetes.lease import DrillLease

_environment = environment_option("Also of this cluster, for whoever drills it from anywhere.")
_author = click.option("--author", "by", help="Author [default: git's identity, else the user].")


def _said(reason: str) -> str:
    text = " ".join(reason.split())
    if not text:
        raise Refusal("--reason must not be empty")
    return text


def _lease(here: Surroundings, environment: str) -> DrillLease:
    """The cluster's, on which everybody who drills it looks."""
    _, settings, _ = cluster_environment(here.catalogue, environment)
    from tierdrill.targets.kubernetes.lease import lease_of

    return lease_of(settings)


@click.command("halt")
@click.option("--reason", required=True, help="Reason, shown to everybody it stops.")
@_author
@_environment
@click.pass_obj
def halt(here: Surroundings, reason: str, by: str | None, environment: str | None) -> None:
    """Turn on the kill switch: runs stop and clean up, and none can start until `tierdrill resume`."""
    from tierdrill.history.kill_switch import throw_kill_switch
    from tierdrill.history.ledger import LedgerError

    lease = None if environment is None else _lease(here, environment)
    unrecorded = throw_kill_switch(here.home, by or author(), _said(reason))
    with unread():
        click.echo("halted: no run starts until `tierdrill resume --reason ...`")
    if unrecorded:
        say(f"not recorded in the ledger: {unrecorded}")
    with suppress(LedgerError), unread():
        for run in live_runs(here.home):
            click.echo(f"stopping {run}; `tierdrill status` shows when it is clean")
    if lease is not None:
        lease.halt(f"{_said(reason)} ({by or author()})")
        with unread():
            click.echo(f"halted: no run starts on the cluster of {environment}, whoever starts it")


@click.command("resume")
@click.option("--reason", required=True, help="Why runs may start again, kept in the audit log.")
@_author
@_environment
@click.pass_obj
def resume(here: Surroundings, reason: str, by: str | None, environment: str | None) -> None:
    """Turn off the kill switch and allow runs again."""
    from tierdrill.history.ledger import Ledger

    if environment is not None:
        _lease(here, environment).halt(None)
        with unread():
            click.echo(f"resumed: runs can start on the cluster of {environment}")
    with closing(Ledger(here.home)) as ledger:
        lifted = ledger.resume(by or author(), _said(reason))
    with unread():
        click.echo("resumed: runs can start" if lifted else "not halted")
