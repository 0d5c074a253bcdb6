"""`tierdrill recover`: undo whatever is still injected, end whatever was left behind; name each."""

from __future__ import annotations

import click

from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.logs import log_to_file

UNCLEAN = 5


@click.command("recover")
@click.pass_obj
def command(here: Surroundings) -> int:
    """Undo faults left by dead runs, revert what their playbooks changed, and end their processes and labs.

    Safe to repeat, and while other runs are in progress. Exit code 0 when everything is clean, 5 when something
    remains.
    """
    from tierdrill.conductor.recover import recover

    if not here.home.exists():
        click.echo(f"clean: no runs in {here.home}")
        return 0
    log_to_file(here.home)
    done, left = recover(here.home, click.echo, say)
    for what in left:
        say(f"still there: {what}")
    if not left:
        click.echo("clean" if done else "clean: nothing to do")
    return UNCLEAN if left else 0
