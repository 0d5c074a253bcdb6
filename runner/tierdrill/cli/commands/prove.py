"""`tierdrill prove`: that a drill passes, is silent for a blip, and fails for the named reason when its net is cut."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill
from tierdrill.cli.documents import drill_setting, whole_catalogue
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import echo_json, no_color_option
from tierdrill.cli.past import stored_events
from tierdrill.cli.places import Surroundings, author
from tierdrill.cli.ready import check_place
from tierdrill.cli.reports import judged, try_reports
from tierdrill.text import valid

if TYPE_CHECKING:
    from rich.console import Console

    from tierdrill.conductor.prove import OnRow
    from tierdrill.conductor.run import Listener, RunOptions, RunOutcome
    from tierdrill.history.events import Event
    from tierdrill.judge.proof import ProofRow
    from tierdrill.spec.catalogue import DrillSetting

NOT_PROVEN, INCONCLUSIVE, ABORTED, UNCLEAN = 1, 3, 4, 5


@click.command("prove")
@click.argument("drills", nargs=-1, metavar="[DRILL]...", shell_complete=complete_drill)
@click.option("--all", "whole", is_flag=True, help="Every drill of the catalogue.")
@click.option("--ablate", "without", is_flag=True, help="Take each protection and each playbook away alone, instead.")
@click.option("--lab", metavar="NAME", help="Use a lab that is up instead of one for each run.")
@click.option("--json", "as_json", is_flag=True, help="The matrix for machines.")
@no_color_option
@click.pass_obj
def command(
    here: Surroundings,
    drills: tuple[str, ...],
    whole: bool,
    without: bool,
    lab: str | None,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Prove each DRILL: run it, its blip twin and every sabotage, and print the matrix.

    It is proven when the drill passed, the blip was silent and every sabotage failed for the reason the drill names.
    Exit code 0 if every drill is proven.

    With --ablate, each protection of the gateways and each playbook is taken away alone, and it is told which drill
    notices, and by which promise to customers. With DRILLs given, these are what they say they prove; with --all,
    everything there is. What no drill notices is unproven. Exit code 0 if nothing is.
    """
    from tierdrill.conductor.run import RunOptions
    from tierdrill.report.matrix import conclusion, matrix_json, matrix_table
    from tierdrill.report.terminal import glyphs_for, make_console

    if whole == bool(drills):
        raise click.UsageError("name the drills to prove, or all of them with --all")
    chosen = sorted(whole_catalogue(here.catalogue).drills) if whole else drills
    settings = {name: drill_setting(here.catalogue, name) for name in chosen}
    check_place(here, lab)
    log_to_file(here.home)
    options = RunOptions(home=here.home, tools=here.tools, lab=lab, author=author(), argv=tuple(map(valid, sys.argv)))
    console = make_console(color=here.color and not plain_colors)
    if without:
        return _ablate(here, list(settings.values()), options, console, everything=whole, as_json=as_json)
    codes, documents = [], []
    for name, setting in settings.items():
        rows = asyncio.run(_prove(here, setting, options))
        if as_json:
            documents.append(json.loads(matrix_json(name, rows)))
        else:
            console.print(matrix_table(name, rows, glyphs_for(console)))
            console.print(conclusion(name, rows))
        codes.append(exit_code(rows))
        if codes[-1] in (ABORTED, UNCLEAN):
            break
    if as_json:
        echo_json({"proven": not any(codes) and len(codes) == len(settings), "drills": documents})
    return max(codes)


def _ablate(
    here: Surroundings,
    settings: list[DrillSetting],
    options: RunOptions,
    console: Console,
    *,
    everything: bool,
    as_json: bool,
) -> int:
    from tierdrill.conductor.prove import ablate
    from tierdrill.judge.proof import ablations
    from tierdrill.report.matrix import ablation_conclusion, ablation_json, ablation_table, reason
    from tierdrill.report.terminal import glyphs_for

    parts = ablations(settings, everything=everything)
    click.echo(f"{len(parts)} protections and playbooks, each taken away alone", err=True)
    whole, found = asyncio.run(ablate(parts, options, *_listening(here)))
    if as_json:
        echo_json(json.loads(ablation_json(whole, found)))
    else:
        console.print(ablation_table(found, glyphs_for(console)))
        for name, row in whole.items():
            if not row.ok:
                why = f"{row.status} with everything in place ({reason(row)})"
                console.print(f"{name} came to {why}, and so can notice nothing.", markup=False, highlight=False)
        console.print(ablation_conclusion(found))
    rows = [*whole.values(), *(row for one in found for row in one.rows[-1:])]
    if len(found) == len(parts) and found and all(one.promises for one in found):
        return 0
    return exit_code(rows) or NOT_PROVEN


async def _prove(here: Surroundings, setting: DrillSetting, options: RunOptions) -> list[ProofRow]:
    from tierdrill.conductor.prove import prove

    return await prove(setting, options, *_listening(here))


def _listening(here: Surroundings) -> tuple[list[Listener], OnRow]:
    """What tells of the runs on stderr while they are made, and writes their reports."""
    from tierdrill.report.words import show_seconds, variant_words

    def tell(event: Event) -> None:
        if event.kind == "run.started":
            words = variant_words(str(event.data["variant"]))
            click.echo(f"{event.data['drill']}, {words}: run {event.data['run']}", err=True)
        elif event.kind == "phase.started":
            click.echo(f"  {event.data['phase']}", err=True)

    def on_row(row: ProofRow, outcome: RunOutcome) -> None:
        try_reports(judged(stored_events(here.home, outcome.run)), outcome.folder)
        sign = "as it must" if row.ok else "NOT as it must"
        click.echo(f"  {row.status} after {show_seconds(row.seconds)}, {sign}", err=True)

    return [tell], on_row


def exit_code(rows: list[ProofRow]) -> int:
    """0 if proven; else the gravest of what kept it from being proven."""
    wrong = [row for row in rows if not row.ok]
    if not wrong:
        return 0 if rows else NOT_PROVEN
    statuses = {row.says for row in wrong}
    if "unclean" in statuses:
        return UNCLEAN
    if "aborted" in statuses:
        return ABORTED
    return INCONCLUSIVE if statuses == {"inconclusive"} else NOT_PROVEN
