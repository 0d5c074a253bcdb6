"""`tierdrill report`: a run's report files."""

from pathlib import Path

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.past_runs import events_of, find_drill_run
from tierdrill.cli.run_reports import REPORT, imported, judged, write_reports
from tierdrill.home import run_folder


@click.command("report")
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--open-path", is_flag=True, help="Only print the report's path.")
@click.option(
    "--history",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Use an exported history.",
)
@click.option("--report-dir", type=click.Path(path_type=Path, file_okay=False), help="Write reports to this folder.")
@click.pass_obj
def command(here: Surroundings, run: str | None, open_path: bool, file: Path | None, report_dir: Path | None) -> None:
    """Write a RUN's report again (default: the last one) and print its path.

    report.html for people; report.json, junit.xml and verdict.json for machines, beside it.
    """
    if run and file:
        raise click.UsageError("RUN and --history are mutually exclusive")
    if open_path:
        name = find_drill_run(here.home, run).run
        path = (report_dir or run_folder(here.home, name)) / REPORT
        if not path.exists():
            raise Refusal(f"run {name} has no report at {path}; `tierdrill report {name}` writes it")
        click.echo(str(path))
        return
    events, _ = events_of(here.home, run, file)
    again = judged(events, file)
    folder = report_dir or (file.resolve().parent if file else run_folder(here.home, again.verdict.run))
    with imported(file):
        path = write_reports(again, folder)
    click.echo(str(path))
