"""The phases of a run, each at its planned instant, with the load through all of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.conductor.deployment import Deployment
from tierdrill.conductor.experiment_runner import ExperimentProcess, write_spec
from tierdrill.conductor.external_playbooks import tool_secrets
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.plan_clock import PlanClock
from tierdrill.conductor.planned_load import load_plan
from tierdrill.conductor.preflight import check_alerts, check_inventory, check_ledger, settle
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.sabotage import apply_sabotage
from tierdrill.conductor.watchers import keep_leases, pump_reports, pump_samples, watch_child
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.run_kinds import (
    ExperimentHypothesis,
    LoadEnded,
    LoadStarted,
    PhaseEnded,
    PhaseStarted,
    PreflightCheck,
)
from tierdrill.history.ledger import Ledger
from tierdrill.judge.checks.fault_checks import UNDO_BEGINS_WITHIN_S
from tierdrill.load.arrival_schedule import planned as planned_arrivals
from tierdrill.load.load_child import LoadProcess
from tierdrill.process.signals import StopSignal
from tierdrill.targets.base import Finding, TargetError

if TYPE_CHECKING:
    from tierdrill.conductor.run import RunOptions

PREFLIGHT_S = 8.0
PIPELINE_S = 8.0
QUIET_S = 0.5
GO_AHEAD_S = 0.3
EXPERIMENT_AHEAD_S = 1.0
ABORT_WITHIN_S = 3.0
LOAD_DRAIN_S = 2.0


class Phases:
    """Drives one run through its phases. `go` ends early when asked to stop; `close` always ends the children."""

    def __init__(
        self,
        plan: Plan,
        deployment: Deployment,
        options: RunOptions,
        ledger: Ledger,
        recorder: Recorder,
        stop: StopSignal,
        folder: Path,
        own: Callable[[str, int], None],
    ) -> None:
        self.plan, self.deployment, self.options = plan, deployment, options
        self.ledger, self.recorder, self.stop, self.folder, self.own = ledger, recorder, stop, folder, own
        self.load: LoadProcess | None = None
        self.experiment: ExperimentProcess | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._load_may_end = False
        self._experiment_may_end = False
        self._closing = False
        self._clock = PlanClock()

    async def go(self) -> None:
        """Preflight to recovery."""
        lease_s, renew = self.plan.setting.environment.lease, self.deployment.session.renew_leases
        self._spawn(keep_leases(self.ledger, self.plan.run, lease_s, self.stop, renew))
        if not await self._preflight():
            self.stop.stop("error", "preflight failed")
            return
        assert self.load is not None and self.experiment is not None
        await apply_sabotage(self.deployment, self.options.home)
        self._clock = PlanClock()
        zero = time.time() + GO_AHEAD_S
        await self.load.go(zero)
        arrivals = planned_arrivals(self.load_plan.schedule())
        self.recorder.note(LoadStarted(schedule_zero=zero, planned=arrivals), "load")
        at = zero
        for phase in self.plan.phases:
            begin, at = at, at + phase.seconds
            if not await self._phase(phase.name, begin, at):
                return
        self._load_may_end = True
        with contextlib.suppress(TimeoutError):
            slowest = max(stream.timeout_s for stream in self.load_plan.streams)
            await asyncio.wait_for(self.load.wait(), slowest + LOAD_DRAIN_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.append(task)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # A watcher that broke watches no more: the run cannot be believed any longer.
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            self.stop.stop("error", f"a watcher failed: {type(error).__name__}: {error}")

    async def _preflight(self) -> bool:
        recorder, began = self.recorder, time.time()
        recorder.note(PhaseStarted(phase="preflight"), "runner", at=began)
        self.load_plan = load_plan(self.plan, self.deployment.session, self.folder)
        self.load = await LoadProcess.start(self.load_plan, self.folder)
        self.own("load", self.load.pid)
        spec = write_spec(self.plan, self.folder)
        self.experiment = await ExperimentProcess.start(
            spec,
            home=self.options.home,
            run=self.plan.run,
            place=self.deployment.session.place,
            lease_s=self.plan.setting.environment.lease,
            limits=self.plan.setting.environment.limits,
            folder=self.folder,
            take=self._take,
            secrets=tool_secrets(self.plan.setting.playbooks),
        )
        self.own("experiment", self.experiment.pid)
        self._spawn(watch_child("load", self.load.wait, self._load_ended_well, recorder, self.stop))
        self._spawn(watch_child("experiment", self.experiment.wait, self._experiment_ended_well, recorder, self.stop))
        self._pumps = [
            self._spawn(pump_samples(self.load, recorder, self.plan.setting.drill.guardrails, self.stop)),
            self._spawn(pump_reports(self.load, recorder)),
        ]
        for work in self.deployment.watchers(self.stop):
            self._spawn(work)
        await self.experiment.await_ready()
        warm_up = self.plan.phases[0].seconds
        good = await self._found(self._healthy, PREFLIGHT_S)
        if good and warm_up < PIPELINE_S:
            # A short warm-up leaves the alert pipeline no time to wake up in it.
            await settle(self._quiet, PIPELINE_S - warm_up)
        recorder.note(PhaseEnded(phase="preflight"), "runner")
        return good and not self.stop.stopped

    def _load_ended_well(self, code: int) -> bool:
        return self._closing or (self._load_may_end and code == 0)

    def _experiment_ended_well(self, code: int) -> bool:
        return self._closing or (self._experiment_may_end and code == 0)

    async def _found(self, look: Callable[[], Awaitable[list[Finding]]], within_s: float) -> bool:
        """Look until all is well or the time is up, and write down what was seen last."""
        findings = await settle(look, within_s)
        for finding in findings:
            self.recorder.note(PreflightCheck(name=finding.name, ok=finding.ok, seen=finding.seen), "runner")
        return all(finding.ok for finding in findings)

    async def _healthy(self) -> list[Finding]:
        try:
            inventory = await self.deployment.remedies.inventory()
        except TargetError as error:
            return [Finding("deployment", False, str(error))]
        session = self.deployment.session
        ledger = check_ledger(self.ledger, self.plan.run, session.place)
        return [*check_inventory(inventory), *await session.preflight(), ledger]

    async def _quiet(self) -> list[Finding]:
        alerts = await self.deployment.active_alerts()
        heard = self.deployment.pipeline_heard
        quiet = check_alerts(alerts) if alerts is not None else Finding("alerts", False, "Alertmanager does not answer")
        pipeline = Finding("pipeline", heard, "the Watchdog alert came through" if heard else "no alert came through")
        return [pipeline, quiet]

    async def _phase(self, name: str, begin: float, end: float) -> bool:
        if name == "fault":
            return await self._fault(begin, end)
        if not await self.stop.sleep(self._clock.left(begin)):
            return False
        self.recorder.note(PhaseStarted(phase=name, planned_at=begin), "runner")
        # The fault's child needs to be on its way before its instant; it waits there itself.
        early = {"baseline": EXPERIMENT_AHEAD_S, "warm-up": QUIET_S}.get(name, 0.0)
        whole = await self.stop.sleep(self._clock.left(end) - early)
        if whole and name == "baseline":
            assert self.experiment is not None
            self._experiment_may_end = True
            await self.experiment.go(self._clock.as_told_now(end))
            whole = await self.stop.sleep(self._clock.left(end))
        if whole and name == "warm-up" and not await self._found(self._quiet, QUIET_S):
            self.stop.stop("error", "not well at the end of warm-up")
            whole = False
        self.recorder.note(PhaseEnded(phase=name), "runner")
        return whole

    async def _fault(self, begin: float, end: float) -> bool:
        assert self.experiment is not None
        self.recorder.note(PhaseStarted(phase="fault", planned_at=begin), "runner")
        whole = await self.stop.sleep(self._clock.left(end))
        self.recorder.note(PhaseEnded(phase="fault"), "runner")
        return whole

    def _take(self, item: Event) -> None:
        """An event of the experiment's; a history that cannot be written must stop the run, not just the reading."""
        try:
            self.recorder.take(item)
        except HistoryError as error:
            self.stop.stop("error", str(error))
        if isinstance(said := item.payload, ExperimentHypothesis) and said.when == "before" and not said.met:
            # Chaos Toolkit does not play the method then: no load need wait for a fault that will not come.
            self.stop.stop(
                "error", f"the experiment's own hypothesis did not hold before its method: {said.seen}"
            )

    async def close(self) -> None:
        """End the children and the watchers; what they wrote is read first. No failing step keeps the next."""
        self._closing = True
        # The last look closes what the watchers look through.
        steps = [self._end_experiment, self._end_load, self._end_watchers, self.deployment.last_look]
        for step in steps:
            try:
                await step()
            except Exception as error:
                self.stop.stop("error", f"while ending: {type(error).__name__}: {error}")

    async def _end_watchers(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end_experiment(self) -> None:
        if self.experiment is None:
            return
        if self.stop.stopped:
            self.experiment.abort()
        slowest = max((fault.mechanism.gone_within_s for fault in self.plan.faults), default=0.0)
        await self.experiment.end(ABORT_WITHIN_S if self.stop.stopped else UNDO_BEGINS_WITHIN_S + slowest)

    async def _end_load(self) -> None:
        if self.load is None:
            return
        await self.load.stop()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=3.0)
        self.recorder.note(
            LoadEnded(
                exit_code=self.load.exit_code,
                malformed=self.load.sample_tail.malformed + self.load.report_tail.malformed,
            ),
            "load",
        )
