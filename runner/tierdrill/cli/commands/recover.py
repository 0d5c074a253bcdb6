"""`tierdrill recover`: undo whatever is still injected, end whatever was left behind; name each."""

import click

from tierdrill.cli.drill_documents import cluster_environment
from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import environment_option

UNCLEAN = 5


@click.command("recover")
@environment_option("Also undo what dead runs have left on this cluster, whichever machine they ran on.")
@click.pass_obj
def command(here: Surroundings, environment: str | None) -> int:
    """Undo faults left by dead runs, revert what their playbooks changed, and end their processes and labs.

    Safe to repeat, and while other runs are in progress. Exit code 0 when everything is clean, 5 when something
    remains.
    """
    from tierdrill.recovery.recover import recover

    if environment is not None:
        return _with_cluster(here, environment)
    if not here.home.exists():
        click.echo(f"clean: no runs in {here.home}")
        return 0
    log_to_file(here.home)
    return _told(*recover(here.home, click.echo, say))


def _with_cluster(here: Surroundings, environment: str) -> int:
    """This machine's runs first: their own ledger knows more of them."""
    from tierdrill.recovery.recover import recover

    document, settings, _ = cluster_environment(here.catalogue, environment)
    from tierdrill.targets.kubernetes.sweep import place_for, recover_runs

    done, left = (0, list[str]())
    if here.home.exists():
        log_to_file(here.home)
        done, left = recover(here.home, click.echo, say)
    there, stuck = recover_runs(place_for(document.metadata.name, settings), click.echo)
    return _told(done + there, [*left, *stuck])


def _told(done: int, left: list[str]) -> int:
    for what in left:
        say(f"still there: {what}")
    if not left:
        click.echo("clean" if done else "clean: nothing to do")
    return UNCLEAN if left else 0
