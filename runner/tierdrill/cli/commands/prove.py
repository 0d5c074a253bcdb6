"""`tierdrill prove`: that a drill passes, is silent for a blip, and fails for the named reason when its net is cut."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill, complete_part
from tierdrill.cli.drill_documents import changed_setting, check_place, whole_catalogue
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import echo_json, environment_option, maintenance_option, no_color_option, set_option
from tierdrill.cli.past_runs import stored_events
from tierdrill.cli.run_reports import judged, try_reports
from tierdrill.text import plural, valid

if TYPE_CHECKING:
    from rich.console import Console

    from tierdrill.conductor.run import RunOptions, RunOutcome
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.history.events import Event
    from tierdrill.judge.trend.proof import ProofRow

NOT_PROVEN, INCONCLUSIVE, ABORTED, UNCLEAN = 1, 3, 4, 5


@click.command("prove")
@click.argument("drills", nargs=-1, metavar="[DRILL]...", shell_complete=complete_drill)
@click.option("--all", "whole", is_flag=True, help="Prove every drill of the catalogue.")
@click.option("--ablate", is_flag=True, help="Remove each protection and each playbook in turn.")
@click.option(
    "--without",
    "parts",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_part,
    help="With --ablate: remove only this one; repeatable.",
)
@set_option
@environment_option("Override the drills' environment.")
@click.option("--lab", metavar="NAME", help="Use a running lab instead of a new one per run.")
@maintenance_option
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@no_color_option
@click.pass_obj
def command(
    here: Surroundings,
    drills: tuple[str, ...],
    whole: bool,
    ablate: bool,
    parts: tuple[str, ...],
    sets: tuple[str, ...],
    environment: str | None,
    lab: str | None,
    in_maintenance: str,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Prove each DRILL: run it, its blip twin and every sabotage, and print the matrix.

    It is proven when the drill passed, the blip was silent and every sabotage failed for the reason the drill names.
    Exit code 0 if every drill is proven.

    With --ablate, each protection of the gateways and each playbook is taken away alone, and it is told which drill
    notices, and by which promise to customers. With DRILLs given, these are what they say they prove; with --all,
    everything there is; --without names some of them. What no drill notices is unproven. Exit code 0 if nothing is.
    """
    from tierdrill.conductor.run import RunOptions
    from tierdrill.report.run.terminal_summary import make_console

    if whole == bool(drills):
        raise click.UsageError("expected DRILL or --all")
    if sets and (whole or len(drills) > 1):
        raise click.UsageError("--set needs one DRILL: variables are a drill's own")
    if parts and not ablate:
        raise click.UsageError("--without needs --ablate")
    chosen = sorted(whole_catalogue(here.catalogue).drills) if whole else drills
    settings = {name: changed_setting(here.catalogue, name, sets, (), environment) for name in chosen}
    _check_parts(parts, settings)
    check_place(here, settings.values(), lab)
    log_to_file(here.home)
    options = RunOptions(
        home=here.home, tools=here.tools, lab=lab, author=author(), argv=tuple(map(valid, sys.argv)),
        in_maintenance=in_maintenance,
    )  # fmt: skip
    console = make_console(color=here.color and not plain_colors)
    if ablate:
        return _ablate(here, list(settings.values()), options, console, everything=whole, only=parts, as_json=as_json)
    return _prove(here, settings, options, console, as_json=as_json)


def _check_parts(parts: tuple[str, ...], settings: dict[str, DrillSetting]) -> None:
    from tierdrill.documents.variables import parts_of

    known = parts_of(*settings.values())
    for part in parts:
        if part not in known:
            raise Refusal(f"--without: got {part!r}, expected one of: {', '.join(known)}")


def _prove(
    here: Surroundings, settings: dict[str, DrillSetting], options: RunOptions, console: Console, *, as_json: bool
) -> int:
    from tierdrill.conductor.prove import prove
    from tierdrill.judge.trend.proof import variants_of
    from tierdrill.report.run.prove_matrix import conclusion, matrix_json, matrix_table
    from tierdrill.report.run.terminal_summary import glyphs_for

    wanted = {name: variants_of(setting) for name, setting in settings.items()}
    done: dict[str, list[ProofRow]] = {}
    runs = _Runs(here, lambda: sum(map(len, wanted.values())) - sum(map(len, done.values())))

    def left(name: str) -> list[str]:
        return wanted[name][len(done[name]) :]

    # Whatever ends it, what was found until then is told.
    try:
        for name, setting in settings.items():
            rows = done[name] = []

            def on_row(row: ProofRow, outcome: RunOutcome, rows: list[ProofRow] = rows) -> None:
                rows.append(row)
                runs.on_row(row, outcome)

            try:
                asyncio.run(prove(setting, options, [runs.tell], on_row))
            finally:
                if not as_json:
                    console.print(matrix_table(name, rows, glyphs_for(console)))
                    console.print(conclusion(name, rows, left(name)))
            if rows[-1].ends_the_proof:
                break
    finally:
        if as_json:
            documents = [json.loads(matrix_json(name, rows, left(name))) for name, rows in done.items()]
            unmade = [name for name in settings if name not in done]
            every = not unmade and all(one["proven"] for one in documents)
            echo_json({"proven": every, "drills": documents, "left": unmade})
    return max((exit_code(rows) for rows in done.values()), default=NOT_PROVEN)


def _ablate(
    here: Surroundings,
    settings: list[DrillSetting],
    options: RunOptions,
    console: Console,
    *,
    everything: bool,
    only: tuple[str, ...],
    as_json: bool,
) -> int:
    from tierdrill.conductor.prove import Ablations, ablate
    from tierdrill.judge.trend.proof import ablations
    from tierdrill.report.run.prove_matrix import ablation_conclusion, ablation_json, ablation_table, reason
    from tierdrill.report.run.terminal_summary import glyphs_for

    so_far = Ablations(ablations(settings, everything=everything, only=only))
    runs = _Runs(here, lambda: so_far.runs_left, "at most ")
    count, most = len(so_far.parts), so_far.runs_left
    parts = plural(count, "protection or playbook", "protections and playbooks")
    click.echo(f"{parts}, removed one at a time: {plural(most, 'run')} at most", err=True)
    # Whatever ends it, what was found until then is told.
    try:
        asyncio.run(ablate(so_far, options, [runs.tell], runs.on_row))
    finally:
        whole, found, left = so_far.whole, so_far.found, so_far.left
        if as_json:
            echo_json(json.loads(ablation_json(whole, found, left)))
        else:
            console.print(ablation_table(found, glyphs_for(console), left))
            for name, row in whole.items():
                if not row.ok:
                    why = f"{row.status} with everything in place ({reason(row)})"
                    console.print(f"{name} was {why}, so it can detect nothing.", markup=False, highlight=False)
            console.print(ablation_conclusion(found, left))
    rows = [*whole.values(), *(row for one in found for row in one.rows[-1:])]
    if found and not left and all(one.promises for one in found):
        return 0
    return exit_code(rows) or NOT_PROVEN


class _Runs:
    """Tells of the runs on stderr while they are made, and writes their reports.

    `left` says how many are still to be made, the one that starts among them.
    """

    def __init__(self, here: Surroundings, left: Callable[[], int], about: str = "") -> None:
        self._here, self._left, self._about = here, left, about
        self._made = 0

    def tell(self, event: Event) -> None:
        from tierdrill.history.kinds.run_kinds import PhaseStarted, RunStarted
        from tierdrill.report.format import variant_words

        match event.payload:
            case RunStarted() as said:
                place = f"run {self._made + 1} of {self._about}{self._made + self._left()}"
                click.echo(f"{place}: {said.drill}, {variant_words(said.variant)}: {said.run}", err=True)
            case PhaseStarted(phase=phase):
                click.echo(f"  {phase}", err=True)

    def on_row(self, row: ProofRow, outcome: RunOutcome) -> None:
        from tierdrill.report.format import show_seconds

        self._made += 1
        try_reports(judged(stored_events(self._here.home, outcome.run)), outcome.folder)
        sign = "as required" if row.ok else "NOT as required"
        click.echo(f"  {row.status} after {show_seconds(row.seconds)}, {sign}", err=True)


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
