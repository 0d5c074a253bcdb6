"""`tierdrill prove`: that a drill passes, is silent for a blip, and fails for the named reason when its net is cut."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill, complete_part
from tierdrill.cli.drill_documents import changed_setting, check_place, environment_files, in_mode, whole_catalogue
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import (
    echo_json,
    environment_option,
    maintenance_option,
    mode_option,
    no_color_option,
    set_option,
)
from tierdrill.cli.past_runs import made_before, stored_events
from tierdrill.cli.run_reports import judged, try_reports
from tierdrill.text import plural, valid

if TYPE_CHECKING:
    from rich.console import Console

    from tierdrill.cli.drill_documents import Reader
    from tierdrill.conductor.run import RunOptions, RunOutcome
    from tierdrill.documents.catalogue import Catalogue, DrillSetting
    from tierdrill.history.events import Event
    from tierdrill.judge.proof import ProofRow
    from tierdrill.report.run.prove_page import DrillProof
    from tierdrill.targets.base import TargetError

NOT_PROVEN, INCONCLUSIVE, ABORTED, UNCLEAN = 1, 3, 4, 5


@click.command("prove")
@click.argument("drills", nargs=-1, metavar="[DRILL]...", shell_complete=complete_drill)
@click.option("--all", "whole", is_flag=True, help="Prove every drill of the catalogue.")
@click.option("--resume", is_flag=True, help="Go on with a proof that was ended: make only the runs that are missing.")
@click.option("--ablate", is_flag=True, help="Remove each protection and each playbook in turn.")
@click.option(
    "--without",
    "parts",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_part,
    help="With --ablate: remove only this one; repeatable.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the matrix of all the DRILLs to this page; with --all by default prove.html in the home.",
)
@set_option
@environment_option("Override the drills' environment.")
@mode_option
@click.option("--lab", metavar="NAME", help="Use a running lab instead of a new one per run.")
@maintenance_option
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@no_color_option
@click.pass_obj
def command(
    here: Surroundings,
    drills: tuple[str, ...],
    whole: bool,
    resume: bool,
    ablate: bool,
    parts: tuple[str, ...],
    page: Path | None,
    sets: tuple[str, ...],
    environment: str | None,
    mode: str | None,
    lab: str | None,
    in_maintenance: str,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Prove each DRILL: run it, its blip twin and every sabotage, and print the matrix.

    It is proven when the drill passed, the blip was silent and every sabotage failed for the reason the drill names.
    Exit code 0 if every drill is proven. --all skips, with the reason, those that cannot be run here or in the
    environment named; the page it writes shows drills, runs, blip twins and sabotages with their times.

    --resume goes on with a proof that was ended: runs in this home that came out as they must, made by the same version
    and commit with the same documents, count as made.

    With --ablate, each protection of the gateways and each playbook is taken away alone, and it is told which drill
    notices, and by which promise to customers. With DRILLs given, these are what they say they prove; with --all,
    everything there is; --without names some of them. What no drill notices is unproven. Exit code 0 if nothing is.
    """
    from tierdrill.conductor.run import RunOptions
    from tierdrill.documents.catalogue_reader import read_catalogue
    from tierdrill.report.run.terminal_summary import make_console

    if whole == bool(drills):
        raise click.UsageError("expected DRILL or --all")
    if sets and (whole or len(drills) > 1):
        raise click.UsageError("--set needs one DRILL: variables are a drill's own")
    if parts and not ablate:
        raise click.UsageError("--without needs --ablate")
    if page is not None and ablate:
        raise click.UsageError("got --page and --ablate, expected one of them")
    if resume and ablate:
        raise click.UsageError("got --resume and --ablate, expected one of them")
    reader = cache(read_catalogue)
    extra = environment_files(here.catalogue, environment, reader)[1] if whole and environment is not None else []
    catalogue = whole_catalogue(here.catalogue, extra) if whole else None
    places: dict[str, TargetError | None] = {}
    proofs = {
        name: _to_prove(here, name, sets, environment, mode, lab, catalogue, reader, places)
        for name in (sorted(catalogue.drills) if catalogue else dict.fromkeys(drills))
    }
    settings = {name: one for name, (one, _) in proofs.items() if one is not None}
    if not settings:
        raise Refusal(next((f"{name}: {proof.skipped}" for name, (_, proof) in proofs.items()), "no drills"))
    _check_parts(parts, settings)
    log_to_file(here.home)
    options = RunOptions(
        home=here.home, tools=here.tools, lab=lab, author=author(), argv=tuple(map(valid, sys.argv)),
        in_maintenance=in_maintenance,
    )  # fmt: skip
    console = make_console(color=here.color and not plain_colors)
    if ablate:
        return _ablate(here, list(settings.values()), options, console, everything=whole, only=parts, as_json=as_json)
    page = page or (here.home / "prove.html" if whole else None)
    every = [proof for _, proof in proofs.values()]
    if resume:
        to_make = [proof for proof in every if not proof.skipped]
        before = made_before(here.home, ((settings[proof.drill], proof.wanted) for proof in to_make))
        for proof, rows in zip(to_make, before, strict=True):
            proof.rows.extend(rows)
        click.echo(f"{plural(sum(len(proof.rows) for proof in every), 'run')} of before count as made", err=True)
    return _prove(here, settings, every, options, console, page, as_json=as_json)


def _to_prove(
    here: Surroundings,
    name: str,
    sets: Sequence[str],
    environment: str | None,
    mode: str | None,
    lab: str | None,
    catalogue: Catalogue | None,
    reader: Reader,
    places: dict[str, TargetError | None],
) -> tuple[DrillSetting | None, DrillProof]:
    """A drill with all it refers to, and its proof with no run made yet. `places` keeps what each environment's check
    came to: a cluster is asked once, not for each drill.

    Of the whole `catalogue` a drill that cannot be run there is skipped, without a setting; else Refusal, TargetError.
    """
    from tierdrill.conductor.plan import PlanError, make_plan
    from tierdrill.judge.proof import variants_of
    from tierdrill.report.run.prove_page import DrillProof
    from tierdrill.targets.base import TargetError
    from tierdrill.targets.target_registry import mechanisms_of

    place = environment or ""
    try:
        setting = in_mode(changed_setting(here.catalogue, name, sets, (), environment, catalogue, reader), mode)
        place = setting.environment.metadata.name
        if place not in places:
            places[place] = None
            try:
                check_place(here, [setting], lab)
            except TargetError as error:
                places[place] = error
        if (refused := places[place]) is not None:
            raise refused
        plan = make_plan(setting, "unnamed", "drill", mechanisms_of(setting.environment))
    except (Refusal, TargetError, PlanError) as error:
        if catalogue is None:
            raise
        why = error.message if isinstance(error, Refusal) else str(error)
        return None, DrillProof(name, "", place, skipped=why)
    mechanisms = dict.fromkeys(fault.mechanism.text for fault in plan.faults)
    return setting, DrillProof(name, setting.drill.metadata.title, place, variants_of(setting), list(mechanisms))


def _check_parts(parts: tuple[str, ...], settings: dict[str, DrillSetting]) -> None:
    from tierdrill.documents.variables import parts_of

    known = parts_of(*settings.values())
    for part in parts:
        if part not in known:
            raise Refusal(f"--without: got {part!r}, expected one of: {', '.join(known)}")


def _prove(
    here: Surroundings,
    settings: dict[str, DrillSetting],
    proofs: Sequence[DrillProof],
    options: RunOptions,
    console: Console,
    page: Path | None,
    *,
    as_json: bool,
) -> int:
    from tierdrill.conductor.prove import prove
    from tierdrill.report.format import glyphs_for
    from tierdrill.report.run.prove_matrix import conclusion, matrix_json, matrix_table

    began = time.time()
    runs = _Runs(here, lambda: sum(len(proof.left) for proof in proofs))
    for proof in proofs:
        if proof.skipped:
            click.echo(f"{proof.drill} skipped: {proof.skipped}", err=True)
    begun: list[DrillProof] = []
    # Whatever ends it, what was found until then is told.
    try:
        for proof in proofs:
            if proof.skipped:
                continue
            begun.append(proof)
            if not proof.left:
                continue

            def on_row(row: ProofRow, outcome: RunOutcome, proof: DrillProof = proof) -> None:
                proof.add(row)
                runs.on_row(row, outcome)
                if page is not None:
                    _write_page(here, proofs, began, page)

            try:
                made = asyncio.run(prove(settings[proof.drill], options, [runs.tell], on_row, proof.left))
            finally:
                if not as_json:
                    console.print(matrix_table(proof.drill, proof.rows, glyphs_for(console)))
                    console.print(conclusion(proof.drill, proof.rows, proof.left))
            if made[-1].ends_the_proof:
                break
    finally:
        if page is not None:
            _write_page(here, proofs, began, page)
            click.echo(f"page: {page}", err=True)
        if as_json:
            documents = [json.loads(matrix_json(proof.drill, proof.rows, proof.left)) for proof in begun]
            unmade = [proof.drill for proof in proofs if not proof.skipped and proof not in begun]
            every = not unmade and all(one["proven"] for one in documents)
            skipped = {proof.drill: proof.skipped for proof in proofs if proof.skipped}
            echo_json({"proven": every, "drills": documents, "left": unmade, "skipped": skipped})
    return max((exit_code(proof.rows) for proof in begun), default=NOT_PROVEN)


def _write_page(here: Surroundings, proofs: Sequence[DrillProof], began: float, page: Path) -> None:
    from tierdrill.cli.run_reports import report_link
    from tierdrill.process.safe_files import write_atomic
    from tierdrill.report.run.prove_page import prove_page

    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(page, prove_page(proofs, began, report_link(here.home, page)))


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
    from tierdrill.judge.proof import ablations
    from tierdrill.report.format import glyphs_for
    from tierdrill.report.run.prove_matrix import ablation_conclusion, ablation_json, ablation_table, reason

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
