"""`tierdrill prune`: delete old runs' events and files, and old game days; outcomes and figures of runs stay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import DAY, plural, table, utc

if TYPE_CHECKING:
    from tierdrill.conductor.prune import Pruned
    from tierdrill.gameday.gameday_retention import PrunedGameDays

SHOWN = 20
INCONCLUSIVE = 3


@click.command("prune")
@click.option(
    "--keep-days", type=click.IntRange(0, 36_500), default=90, show_default=True, help="Keep what is newer than this."
)
@click.option(
    "--keep-runs",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="Keep this many of each drill and variant, and of each game day, however old.",
)
@click.option("--yes", "really", is_flag=True, help="Delete; without it, only show what would be deleted.")
@json_option
@click.pass_obj
def command(here: Surroundings, keep_days: int, keep_runs: int, really: bool, as_json: bool) -> int:
    """Delete old runs' events and files, and old game days.

    Outcomes and figures are kept for trends and exports. Runs in progress or still needed are kept, and so are open
    game days and those whose runs are kept. Without --yes nothing is deleted.
    """
    from tierdrill.conductor.prune import prune
    from tierdrill.gameday.gameday_retention import prune_gamedays
    from tierdrill.history.retention import Keep

    keep, now = Keep(keep_days * 86400.0, keep_runs), time.time()
    done = prune(here.home, keep, now, really=really)
    days = prune_gamedays(here.home, keep, now, done.kept, really=really)
    if as_json:
        echo_json(_document(done, days, really))
    else:
        for line in [*_lines(done, really), *_day_lines(days, really)] or ["nothing to delete"]:
            click.echo(line)
    for problem in (*done.problems, *days.problems):
        say(problem)
    failed = [*(one for one in done.problems if one.startswith("run ")), *days.problems]
    return INCONCLUSIVE if failed else 0


def _document(done: Pruned, days: PrunedGameDays, really: bool) -> dict[str, object]:
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
        "gamedays": [{"gameday": day.identity, "opened_at": day.opened_at} for day in days.gone],
        "gamedays_needed": [{"gameday": day.record.identity, "why": day.needed} for day in days.needed],
        "problems": [*done.problems, *days.problems],
    }


def _lines(done: Pruned, really: bool) -> list[str]:
    rows = [
        (
            ruling.record.run,
            utc(ruling.record.started_at, DAY),
            ruling.record.status or "",
            f"{bulk.events} events",
            _megabytes(bulk.folder_bytes),
        )
        for ruling, bulk in done.gone[:SHOWN]
    ]
    lines = [table(rows)] if rows else []
    if len(done.gone) > SHOWN:
        lines.append(f"and {len(done.gone) - SHOWN} more")
    lines += [f"kept although old: {ruling.record.run}: {ruling.why}" for ruling in done.needed]
    runs = plural(len(done.gone), "run")
    if really and (done.gone or done.needed):
        lines.append(f"deleted events and files of {runs} ({_megabytes(done.freed_bytes)} freed); figures are kept")
    elif done.gone:
        lines.append(f"would delete events and files of {runs}, not their figures (run with --yes)")
    return lines


def _day_lines(days: PrunedGameDays, really: bool) -> list[str]:

    lines = [f"game day {day.identity}: {day.outcome}" for day in days.gone[:SHOWN]]
    if len(days.gone) > SHOWN:
        lines.append(f"and {len(days.gone) - SHOWN} more")
    lines += [f"kept although old: game day {day.record.identity}: {day.needed}" for day in days.needed]
    if days.gone:
        gamedays = plural(len(days.gone), "game day")
        lines.append(f"deleted {gamedays}" if really else f"would delete {gamedays} (run with --yes)")
    return lines


def _megabytes(size: int) -> str:
    return f"{max(0, size) / 1e6:.1f} MB"
