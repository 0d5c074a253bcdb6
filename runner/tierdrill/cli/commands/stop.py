"""`tierdrill stop`: ask a run to stop, and wait until it has cleaned up."""

import math
import time
from contextlib import closing

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.past_runs import find_record
from tierdrill.cli.standard_streams import unread
from tierdrill.recovery.status import live_runs

POLL_S = 0.1
UNCLEAN = 5


@click.command("stop")
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--reason", default="tierdrill stop", show_default=True, help="Reason, recorded in the run's history.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0, 3600), default=60.0, show_default=True,
    help="How many seconds to wait.",
)
@click.pass_obj
def command(here: Surroundings, run: str | None, reason: str, wait_s: float) -> int:
    """Stop a RUN (default: the only one in progress) and wait for its clean-up."""
    from tierdrill.history.ledger import Ledger

    if math.isnan(wait_s):
        raise click.UsageError("--wait: got nan, expected a number of seconds")
    name = _which(here, run)
    with closing(Ledger(here.home)) as ledger:
        ledger.ask_stop(name, author(), reason)
        with unread():
            click.echo(f"stopping {name}")
        deadline = time.monotonic() + wait_s
        while name in live_runs(here.home):
            if time.monotonic() >= deadline:
                say(f"run {name} did not stop within {wait_s:g} s; `tierdrill status` shows its state")
                return UNCLEAN
            time.sleep(POLL_S)
        left = ledger.open_faults(name)
    record = find_record(here.home, name)
    click.echo(f"ended: {record.status or 'its runner died'}{': ' + record.summary if record.summary else ''}")
    if left:
        say(f"still injected: {', '.join(fault.id for fault in left)}; `tierdrill recover` cleans up")
        return UNCLEAN
    return 0


def _which(here: Surroundings, run: str | None) -> str:
    live = live_runs(here.home)
    if run is None:
        if len(live) == 1:
            return next(iter(live))
        if not live:
            raise Refusal("no runs in progress")
        raise Refusal(f"{len(live)} runs in progress ({', '.join(sorted(live))}); name one")
    name = find_record(here.home, run).run
    if name not in live:
        raise Refusal(f"run {name} is not in progress; in progress: {', '.join(sorted(live)) or 'none'}")
    return name
