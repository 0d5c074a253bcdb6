"""One run of a drill, from preflight to clean-up.

The runner never injects and never judges: the experiment child injects, the judge reads the history. What is done here
is to bring the parts together, move them through the phases at their planned instants, stop at the first reason to, and
leave nothing behind whatever happens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tierdrill.conductor.external_playbooks import without_secret
from tierdrill.conductor.observe import Observed, ObservedRun
from tierdrill.conductor.override_notices import note_in_force
from tierdrill.conductor.phases import DrillRun
from tierdrill.conductor.plan import Plan, PlanError, make_plan, new_run_name, preview_of
from tierdrill.conductor.provenance import provenance
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.run_start import RunRefused, begin_run, may_run_in_maintenance
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.judge.judge import NotARun
from tierdrill.judge.verdict import Status, Verdict
from tierdrill.recovery.finalize import close_books
from tierdrill.targets.base import TargetError
from tierdrill.targets.target_registry import mechanisms_of

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class RunOptions:
    """How a drill is run. `variant` is "drill", "blip" or "sabotage:NAME".

    `lab` names a kept lab, None brings one up for the run. `run` is the run's name, None makes one. `origin` says what
    asked for the run (a calendar's slot, say); it goes into the history. `in_maintenance` is the role as which it may
    start although a maintenance of its tiers goes on.
    """

    home: Path
    tools: Path
    variant: str = "drill"
    lab: str | None = None
    author: str = ""
    argv: tuple[str, ...] = ()
    run: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    observed: Observed | None = None
    in_maintenance: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """A finished run: its name, the folder of its files, its verdict."""

    run: str
    folder: Path
    verdict: Verdict


async def run_drill(setting: DrillSetting, options: RunOptions, listeners: Sequence[Listener] = ()) -> RunOutcome:
    """Run a drill and judge it. RunRefused if it may not start; nothing was touched then."""
    began = time.time()
    maintenance = may_run_in_maintenance(setting.tiers, setting.drill.touched, options.in_maintenance)
    try:
        run = options.run or new_run_name(setting.drill.metadata.name, began)
        plan = make_plan(setting, run, options.variant, mechanisms_of(setting.environment))
        plan = options.observed.planned(plan) if options.observed is not None else plan
        preview = await asyncio.to_thread(preview_of, plan)
    except (PlanError, TargetError) as error:
        raise RunRefused(str(error)) from error
    if preview is not None and (against := [*preview.refusals, *(f"not allowed to {one}" for one in preview.missing)]):
        raise RunRefused("; ".join(against))
    cut = plan.sabotage.do.disable_playbook if plan.sabotage else None
    needed = {one.playbook for one in setting.drill.expect.playbooks.must_fire} - {cut}
    if missing := without_secret(setting.playbooks, needed):
        raise RunRefused("; ".join(missing))
    books = begin_run(
        options.home, plan.run, setting.drill.metadata.name, options.variant, began,
        lock=_lock_name(plan, options), author=options.author, kept=options.lab,
        documents=(setting.tiers, setting.workloads, setting.environment),
        in_maintenance=options.in_maintenance if maintenance else "",
    )  # fmt: skip
    with books as records:
        recorder = Recorder(records.store, plan.run)
        for listener in listeners:
            recorder.listen(listener)
        about = options.observed.about(plan) if options.observed is not None else {}
        recorder.note(provenance(plan, options.argv, options.author, options.origin, **about), "runner")
        if maintenance:
            recorder.note(RunNote(text=f"started as {options.in_maintenance} in a {maintenance}"), "runner")
        if setting.environment.target == "lab":
            note_in_force(options.home, setting.environment, recorder.note)
        kind = DrillRun if options.observed is None else partial(ObservedRun, options.observed)
        await kind(plan, records, recorder, home=options.home, tools=options.tools, kept=options.lab).go()
        return RunOutcome(plan.run, records.folder, _verdict(records.store, records.ledger, plan))


def _verdict(store: HistoryStore, ledger: Ledger, plan: Plan) -> Verdict:
    """Judge the run; where its history cannot be read, say so: no data is never a pass."""
    try:
        return close_books(store, plan.run, time.time(), ledger)
    except (HistoryError, NotARun) as error:
        try:
            left = [entry.id for entry in ledger.open_faults(plan.run)]
        except LedgerError:
            left = ["unknown"]
        status = Status.UNCLEAN if left else Status.INCONCLUSIVE
        drill = plan.setting.drill.metadata.name
        return Verdict(
            plan.run, drill, plan.variant, status, f"the history cannot be judged: {error}", ("run/whole",), ()
        )


def _lock_name(plan: Plan, options: RunOptions) -> str:
    # A lab of the run's own is nobody else's; a kept one is shared, and so is what somebody else runs.
    name = plan.setting.environment.metadata.name
    if plan.setting.environment.target != "lab":
        return name
    return f"{name}/{options.lab}" if options.lab else f"{name}/own/{plan.run}"
