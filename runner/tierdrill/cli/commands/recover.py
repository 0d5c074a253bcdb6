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
    """Undo every fault that no run looks after any more, take back what its playbooks left changed, and end the
    processes and labs such runs left behind.

    Safe to repeat, and beside runs that go on. Exit code 0 when everything is clean, 5 when something would not go.
    """
    from tierdrill.conductor.recover import recover

    if not here.home.exists():
        click.echo(f"clean: nothing has ever run in {here.home}")
        return 0
    log_to_file(here.home)
    done, left = recover(here.home, click.echo, say)
    for what in left:
        say(f"still there: {what}")
    if not left:
        click.echo("clean" if done else "clean: there was nothing to do")
    return UNCLEAN if left else 0
