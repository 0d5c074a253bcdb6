"""`tierdrill export`: every run with its figures, as JSON lines or CSV, for other tools."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click

from tierdrill.cli.completion import complete_drill, complete_variant
from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import past_moment
from tierdrill.process.safe_files import atomic_file
from tierdrill.text import plural


@click.command("export")
@click.option(
    "--format", "form", type=click.Choice(("jsonl", "csv")), default="jsonl", show_default=True, help="Output format.",
)
@click.option(
    "--table",
    "what",
    type=click.Choice(("runs", "objectives")),
    default="runs",
    show_default=True,
    help="With csv: one row per run, or per objective of each run.",
)
@click.option("--drill", shell_complete=complete_drill, help="Only this drill.")
@click.option(
    "--variant", metavar="NAME", shell_complete=complete_variant,
    help="Only this variant: drill, blip or sabotage:NAME.",
)
@click.option("--since", metavar="WHEN", callback=past_moment, help="Only runs started since (90d, 12h, 2026-03-01).")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file [default: stdout].")
@click.pass_obj
def command(
    here: Surroundings,
    form: str,
    what: str,
    drill: str | None,
    variant: str | None,
    since: float | None,
    output: Path | None,
) -> None:
    """Export every judged run with its figures, oldest first.

    JSON lines have all figures, objectives included; times are seconds, moments Unix seconds. CSV has moments in UTC.
    """
    from tierdrill.recovery.finalize import figures_in
    from tierdrill.report.run_export import csv_lines, json_lines

    figures = [run for run in figures_in(here.home, drill, since) if variant in (None, run.variant)]
    lines = json_lines(figures) if form == "jsonl" else csv_lines(figures, what)
    if output is None:
        _write(lines, sys.stdout)
        return
    with atomic_file(output) as file:
        _write(lines, file)
    say(f"{plural(len(figures), 'run')} exported to {output}")


def _write(lines: Iterable[str], out: TextIO) -> None:
    for line in lines:
        out.write(line)
