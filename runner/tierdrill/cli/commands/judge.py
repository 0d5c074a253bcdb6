"""`tierdrill judge`: the verdict again, from the history alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.options import json_option, no_color_option
from tierdrill.cli.past import events_of
from tierdrill.cli.places import Surroundings
from tierdrill.cli.reports import imported, judged, show_summary

if TYPE_CHECKING:
    from tierdrill.judge.verdict import Check


@click.command("judge")
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--history",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Judge this exported history (tierdrill history --format jsonl) instead.",
)
@json_option
@no_color_option
@click.pass_obj
def command(here: Surroundings, run: str | None, file: Path | None, as_json: bool, plain_colors: bool) -> int:
    """Judge a RUN again (the last one where none is named) from its history alone.

    No lab is needed, and the same history gives the same verdict, byte for byte with --json. The exit code is the
    verdict's.
    """
    from tierdrill.judge.verdict import Status

    if run and file:
        raise click.UsageError("found a RUN and --history; allowed is one of them")
    again = judged(events_of(here.home, run, file), file)
    if as_json:
        click.echo(again.verdict.to_json(), nl=False)
        return again.verdict.exit_code
    with imported(file):
        show_summary(again, here.color and not plain_colors, None)
    # What did not pass stands last, where the eye is when the terminal has scrolled.
    for check in sorted(again.verdict.checks, key=lambda one: one.status is not Status.PASSED):
        click.echo(
            f"\n{check.status.value}  {check.id}\n  expected {check.expected}\n  seen     {check.seen}{_events(check)}"
        )
    return again.verdict.exit_code


def _events(check: Check) -> str:
    if not check.events:
        return ""
    shown = ", ".join(f"#{number}" for number in check.events[:8])
    more = f" and {len(check.events) - 8} more" if len(check.events) > 8 else ""
    return f"\n  events   {shown}{more}"
