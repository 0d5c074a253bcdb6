"""`tierdrill prune`: let the events and files of old runs go; their outcomes and figures stay."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from tierdrill.cli.errors import say
from tierdrill.cli.options import echo_json, json_option, table
from tierdrill.cli.places import Surroundings

if TYPE_CHECKING:
    from tierdrill.conductor.prune import Pruned

SHOWN = 20
INCONCLUSIVE = 3


@click.command("prune")
@click.option(
    "--keep-days", type=click.IntRange(0, 36_500), default=90, show_default=True, help="Keep what is younger."
)
@click.option(
    "--keep-runs",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="Keep the newest of each drill and variant, however old.",
)
@click.option("--yes", "really", is_flag=True, help="Do it; without, it only shows what would go.")
@json_option
@click.pass_obj
def command(here: Surroundings, keep_days: int, keep_runs: int, really: bool, as_json: bool) -> int:
    """Let the events and files of old runs go.

    What trends and exports need stays: each run's outcome and its figures. Runs that go on, or that something still
    needs, are left alone. Without --yes nothing is touched.
    """
    from tierdrill.conductor.prune import prune
    from tierdrill.history.retention import Keep

    done = prune(here.home, Keep(keep_days * 86400.0, keep_runs), time.time(), really=really)
    if as_json:
        echo_json(_document(done, really))
    else:
        for line in _lines(done, really):
            click.echo(line)
    for problem in done.problems:
        say(problem)
    return INCONCLUSIVE if any(problem.startswith("run ") for problem in done.problems) else 0


def _document(done: Pruned, really: bool) -> dict[str, object]:
    return {
        "removed": really,
        "runs": [
            {
                "run": ruling.record.run,
                "drill": ruling.record.drill,
                "variant": ruling.record.variant,
                "started_at": ruling.record.started_at,
                "events": bulk.events,
                "folder_bytes": bulk.folder_bytes,
                "why": ruling.why,
            }
            for ruling, bulk in done.gone
        ],
        "needed": [{"run": ruling.record.run, "why": ruling.why} for ruling in done.needed],
        "freed_bytes": done.freed_bytes,
        "problems": list(done.problems),
    }


def _lines(done: Pruned, really: bool) -> list[str]:
    if not done.gone and not done.needed:
        return ["nothing is old enough to go"]
    rows = [
        (
            ruling.record.run,
            datetime.fromtimestamp(ruling.record.started_at, UTC).strftime("%Y-%m-%d"),
            ruling.record.status or "",
            f"{bulk.events} events",
            _megabytes(bulk.folder_bytes),
        )
        for ruling, bulk in done.gone[:SHOWN]
    ]
    lines = [table(rows)] if rows else []
    if len(done.gone) > SHOWN:
        lines.append(f"and {len(done.gone) - SHOWN} more")
    lines += [f"kept, though old: {ruling.record.run}: {ruling.why}" for ruling in done.needed]
    runs = f"{len(done.gone)} {'run' if len(done.gone) == 1 else 'runs'}"
    if really:
        lines.append(f"{runs} lost their events and files ({_megabytes(done.freed_bytes)} freed); the figures stay")
    elif done.gone:
        lines.append(f"{runs} would lose their events and files, not their figures; --yes does it")
    return lines


def _megabytes(size: int) -> str:
    return f"{max(0, size) / 1e6:.1f} MB"
