"""`tierdrill scheduler`: runs the calendars' drills by itself, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_calendar
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_lines

if TYPE_CHECKING:
    from tierdrill.schedule.daemon import Options
    from tierdrill.schedule.metrics import Metrics
    from tierdrill.schedule.sweep import ReadCatalogue, Snapshot


@click.command("scheduler")
@click.option(
    "--calendar",
    "calendars",
    metavar="NAME",
    multiple=True,
    shell_complete=complete_calendar,
    help="Run only this calendar; repeatable [default: all].",
)
@click.option("--once", is_flag=True, help="Run what is due now, then exit.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve Prometheus metrics on this loopback port; 0 picks a free one.",
)
@click.option("--json", "as_json", is_flag=True, help="Log as JSON lines.")
@click.pass_obj
def command(
    here: Surroundings, calendars: tuple[str, ...], once: bool, metrics_port: int | None, as_json: bool
) -> int:
    """Run the drills of the catalogue's calendars unattended, each slot once, if its gates are open.

    SIGTERM or Ctrl-C stops the active drill, waits for its clean-up and exits; a second one exits at once and the
    reaper cleans up. SIGHUP reloads the calendars. After a crash the next scheduler continues.
    """
    from tierdrill.schedule.sweep import load_snapshot

    log_lines(as_json=as_json)
    try:
        snapshot = load_snapshot(here.catalogue, calendars, _reader())
    except LookupError as error:
        raise Refusal(str(error.args[0])) from error
    metrics, port = _metrics(metrics_port)
    if port is not None:
        logging.getLogger("tierdrill.schedule").info("metrics are at http://127.0.0.1:%d/metrics", port)
    return asyncio.run(_run(here, snapshot, metrics, calendars, once))


def _reader() -> ReadCatalogue:
    from tierdrill.cli.drill_documents import read

    return read


def _metrics(port: int | None) -> tuple[Metrics, int | None]:
    from tierdrill.schedule.metrics import Metrics

    metrics = Metrics()
    if port is None:
        return metrics, None
    try:
        return metrics, metrics.serve(port)
    except OSError as error:
        raise Refusal(f"--metrics-port: cannot listen on port {port}: {error.strerror}") from error


async def _run(
    here: Surroundings, snapshot: Snapshot, metrics: Metrics, calendars: tuple[str, ...], once: bool
) -> int:
    from tierdrill.schedule.daemon import Scheduler
    from tierdrill.schedule.notify.outbox import Outbox
    from tierdrill.schedule.observers import Observers

    observers = Observers(here.home, metrics, Outbox(here.home))
    return await Scheduler(snapshot, _options(here, calendars, once), observers).run()


def _options(here: Surroundings, calendars: tuple[str, ...], once: bool) -> Options:
    from tierdrill.process.programs import Program, program
    from tierdrill.schedule.daemon import Options
    from tierdrill.schedule.slot_context import Commands
    from tierdrill.schedule.sweep import load_snapshot

    command = program(Program.TIERDRILL, "--home", here.home, "--catalogue", here.catalogue, "--no-color")
    read = _reader()
    return Options(
        home=here.home,
        commands=Commands(run=(*command, "run"), recover=(*command, "recover"), cwd=Path.cwd()),
        reload=lambda: load_snapshot(here.catalogue, calendars, read),
        once=once,
        author=f"scheduler of {author()}",
    )
