"""`tierdrill run`: one drill, watched, judged and reported."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill, complete_sabotage
from tierdrill.cli.drill_documents import changed_setting, check_place, check_run_name, in_mode, within_reach
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import environment_option, maintenance_option, mode_option, output_options, set_option
from tierdrill.cli.past_runs import stored_events
from tierdrill.cli.run_reports import judged, show_summary, try_reports
from tierdrill.cli.standard_streams import unread
from tierdrill.text import valid

if TYPE_CHECKING:
    from tierdrill.conductor.run import RunOptions
    from tierdrill.documents.catalogue import DrillSetting


@click.command("run")
@click.argument("drill", shell_complete=complete_drill)
@click.option("--blip", is_flag=True, help="Run its blip twin: a brief fault; no alert or playbook may fire.")
@click.option(
    "--sabotage", metavar="NAME", shell_complete=complete_sabotage, help="Disable one protection; the drill must fail.",
)
@set_option
@click.option(
    "--guardrail",
    "guardrails",
    multiple=True,
    metavar="TIER:SHARE:WINDOW",
    help="Abort when the tier's availability falls below SHARE over WINDOW; repeatable.",
)
@environment_option()
@mode_option
@click.option(
    "--reach", "caps", multiple=True, metavar="KIND=N",
    help="Limit faults to N nodes, gpus, replicas, links, gateways or stores at a time."
)
@click.option("--lab", metavar="NAME", help="Use a running lab (tierdrill lab up) instead of a new one.")
@maintenance_option
@output_options
@click.option("--origin", metavar="CALENDAR/ENTRY/SLOT", help="Record what started this run.")
@click.pass_obj
def command(
    here: Surroundings,
    drill: str,
    blip: bool,
    sabotage: str | None,
    sets: tuple[str, ...],
    guardrails: tuple[str, ...],
    environment: str | None,
    mode: str | None,
    caps: tuple[str, ...],
    lab: str | None,
    in_maintenance: str,
    as_json: bool,
    plain: bool,
    plain_colors: bool,
    report_dir: Path | None,
    name: str | None,
    origin: str | None,
) -> int:
    """Run a DRILL, judge it and write its report.

    Press Ctrl-C once to stop cleanly, twice to stop at once; neither leaves a fault injected. The exit code is the
    verdict's.
    """
    if blip and sabotage:
        raise click.UsageError("--blip and --sabotage are mutually exclusive")
    variant = "blip" if blip else f"sabotage:{sabotage}" if sabotage else "drill"
    asked_by = _origin(origin)
    if name is not None:
        check_run_name(here.home, name)
    setting = in_mode(changed_setting(here.catalogue, drill, sets, guardrails, environment), mode)
    setting = within_reach(setting, caps)
    check_place(here, [setting], lab)
    log_to_file(here.home)

    from tierdrill.conductor.run import RunOptions

    options = RunOptions(
        home=here.home,
        tools=here.tools,
        variant=variant,
        lab=lab,
        author=author(),
        argv=tuple(map(valid, sys.argv)),
        run=name,
        origin=asked_by,
        in_maintenance=in_maintenance,
    )
    return carry_out(here, setting, options, as_json, plain, here.color and not plain_colors, report_dir)


def carry_out(
    here: Surroundings,
    setting: DrillSetting,
    options: RunOptions,
    as_json: bool,
    plain: bool,
    color: bool,
    report_dir: Path | None,
) -> int:
    """Run, show while it runs, report; the exit code is the verdict's."""
    from tierdrill.conductor.run import run_drill
    from tierdrill.history.history_store import HistoryError
    from tierdrill.report.live.live_view import choose_view

    with choose_view(setting, options.variant, json_lines=as_json, plain=plain, color=color) as view:
        outcome = asyncio.run(run_drill(setting, options, [view.feed]))

    try:
        run = judged(stored_events(here.home, outcome.run))
    except (HistoryError, OSError, Refusal) as error:
        # It was judged when it ended; what it came to stands, whatever became of its files since.
        say(f"run {outcome.run}: {outcome.verdict.status.value}: {outcome.verdict.summary}; no report: {error}")
        return outcome.verdict.exit_code
    report = try_reports(run, report_dir or outcome.folder)
    with unread():
        if as_json:
            last = {
                "kind": "verdict",
                "exit_code": run.verdict.exit_code,
                "report": str(report),
                "verdict": json.loads(run.verdict.to_json()),
            }
            click.echo(json.dumps(last, sort_keys=True))
        else:
            show_summary(run, color, report)
    return outcome.verdict.exit_code


def _origin(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    words = text.split("/", 2)
    if len(words) != 3 or not all(words):
        raise click.UsageError(f"--origin: got {text!r}, expected CALENDAR/ENTRY/SLOT")
    return dict(zip(("calendar", "entry", "slot"), words, strict=True))
