"""`tierdrill judge`: the verdict again, from the history alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option, no_color_option
from tierdrill.cli.past_runs import events_of, find_drill_run
from tierdrill.cli.run_reports import imported, judged, show_summary
from tierdrill.text import table

if TYPE_CHECKING:
    from tierdrill.judge.verdict import Check


def _digest(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-f]{64}", value):
        raise click.BadParameter(f"got {value!r}, expected the 64 hexadecimal digits of a report", ctx, param)
    return value


@click.command("judge")
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--history",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Judge an exported history (tierdrill history --format jsonl).",
)
@click.option(
    "--digest", metavar="HEX", callback=_digest, help="Verify the history against this digest from a report."
)
@click.option(
    "--pool",
    "nights",
    metavar="N",
    type=click.IntRange(2, 10_000),
    help="Judge objectives over the requests of the drill's latest N runs.",
)
@json_option
@no_color_option
@click.pass_obj
def command(
    here: Surroundings,
    run: str | None,
    file: Path | None,
    digest: str | None,
    nights: int | None,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Judge a RUN again (default: the last one) from its history.

    No lab is needed, and the same history gives the same verdict, byte for byte with --json. The exit code is the
    verdict's. Stderr says whether the history is verified; one that was altered is refused (exit code 2). With --pool,
    the figures of several runs up to that one are judged as one.
    """
    from tierdrill.judge.verdict import Status

    if run and file:
        raise click.UsageError("RUN and --history are mutually exclusive")
    if nights is not None:
        if file is not None or digest is not None:
            raise click.UsageError("--pool and --history or --digest are mutually exclusive")
        return _judge_pooled(here, run, nights, as_json)
    events, standing = events_of(here.home, run, file, digest)
    again = judged(events, file)
    if as_json:
        click.echo(again.verdict.to_json(), nl=False)
        say(f"history {standing}")
        return again.verdict.exit_code
    with imported(file):
        show_summary(again, here.color and not plain_colors, None)
    # What did not pass stands last, where the eye is when the terminal has scrolled.
    for check in sorted(again.verdict.checks, key=lambda one: one.status is not Status.PASSED):
        click.echo(
            f"\n{check.status.value}  {check.id}\n  expected {check.expected}\n  seen     {check.seen}{_events(check)}"
        )
    say(f"history {standing}")
    return again.verdict.exit_code


def _judge_pooled(here: Surroundings, run: str | None, nights: int, as_json: bool) -> int:
    """Show and judge the objectives over several nights; the exit code is that of the worst."""
    from contextlib import closing
    from dataclasses import asdict

    from tierdrill.history.history_store import HistoryStore
    from tierdrill.judge.trend.run_series import by_drill, pooled
    from tierdrill.judge.verdict import EXIT_CODES, Status
    from tierdrill.recovery.finalize import all_figures
    from tierdrill.report.trend.wording import pooled_rows

    record = find_drill_run(here.home, run)
    with closing(HistoryStore(here.home)) as store:
        groups = by_drill(all_figures(store, record.drill))
    mine = next((one for one in groups if any(each.run == record.run for each in one.runs)), None)
    found = pooled(mine.until(record.started_at), nights) if mine is not None else []
    if not found:
        raise Refusal(f"no run of {record.drill} measured an objective on a share; see `tierdrill judge`")
    statuses = {one.status for one in found}
    worst = next(one for one in (Status.FAILED, Status.INCONCLUSIVE, Status.PASSED) if one in statuses)
    if as_json:
        echo_json({"drill": record.drill, "nights": nights, "pooled": [asdict(one) for one in found]})
    else:
        click.echo(table(pooled_rows(found), ("tier", "objective", "pooled", "over", "judged")))
    return EXIT_CODES[worst]


def _events(check: Check) -> str:
    if not check.events:
        return ""
    shown = ", ".join(f"#{number}" for number in check.events[:8])
    more = f" and {len(check.events) - 8} more" if len(check.events) > 8 else ""
    return f"\n  events   {shown}{more}"
