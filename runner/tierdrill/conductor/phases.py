"""A drill's run: its phases, each at its planned instant, with the load through all of them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tierdrill.conductor.deployment import Deployment
from tierdrill.conductor.experiment_runner import SPEC_FILE, ExperimentProcess, write_spec
from tierdrill.conductor.external_playbooks import tool_secrets
from tierdrill.conductor.preflight import settle
from tierdrill.conductor.run_lifecycle import RunLifecycle
from tierdrill.conductor.run_watchers import watch_child
from tierdrill.conductor.sabotage import apply_sabotage
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.run_kinds import (
    ExperimentHypothesis,
    LoadStarted,
    PhaseEnded,
    PhaseStarted,
    PreflightCheck,
)
from tierdrill.judge.checks.fault_checks import UNDO_BEGINS_WITHIN_S
from tierdrill.load.arrival_schedule import planned as planned_arrivals
from tierdrill.load.load_child import LoadProcess
from tierdrill.targets.base import Finding, Mechanism, Session
from tierdrill.targets.experiment import forget_values

PREFLIGHT_S = 8.0
PIPELINE_S = 8.0
QUIET_S = 0.5
GO_AHEAD_S = 0.3
ABORT_WITHIN_S = 3.0
LOAD_DRAIN_S = 2.0


class PlanClock:
    """When planned instants come: by the monotonic clock, so that nobody who sets the wall clock moves them.

    Made when the plan is: its instants are Unix seconds as the wall clock was then.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._apart = wall() - monotonic()

    def left(self, at: float) -> float:
        """Seconds until the planned instant; negative once it is over."""
        return at - self._apart - self._monotonic()

    def as_told_now(self, at: float) -> float:
        """What the wall clock shows at the planned instant, for somebody who reads it now."""
        return self._wall() + self.left(at)


class DrillRun(RunLifecycle[Deployment]):
    """Drives one drill through its phases. The experiment child injects; nothing is judged here."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.experiment: ExperimentProcess | None = None
        self._load_may_end = False
        self._experiment_may_end = False
        self._closing = False
        self._clock = PlanClock()

    def deployment_of(self, session: Session) -> Deployment:
        return Deployment(self.plan, session, self.recorder)

    async def go(self) -> None:
        await super().go()
        if not self.left:
            forget_values(self.folder / SPEC_FILE)

    async def play(self) -> None:
        deployment = await self.bring_up()
        load = await self._preflight(deployment)
        if load is None:
            self.stop.stop("error", "preflight failed")
            return
        await apply_sabotage(self.plan, deployment.session, self.recorder, deployment.pager, self.home)
        self._clock = PlanClock()
        zero = time.time() + GO_AHEAD_S
        await load.go(zero)
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
            await asyncio.wait_for(load.wait(), slowest + LOAD_DRAIN_S)

    async def _preflight(self, deployment: Deployment) -> LoadProcess | None:
        """Everything is started and well; None where it is not."""
        recorder, began, of = self.recorder, time.time(), self.plan.setting
        recorder.note(PhaseStarted(phase="preflight"), "runner", at=began)
        load = await self.start_load(of.drill.guardrails)
        self.experiment = await ExperimentProcess.start(
            write_spec(self.plan, self.folder),
            home=self.home,
            run=self.plan.run,
            place=deployment.session.place,
            lease_s=of.environment.lease,
            limits=of.environment.limits,
            folder=self.folder,
            take=self._take,
            secrets=tool_secrets(of.playbooks),
        )
        self.own("experiment", self.experiment.pid)
        self.spawn(watch_child("load", load.wait, self._load_ended_well, recorder, self.stop))
        self.spawn(watch_child("experiment", self.experiment.wait, self._experiment_ended_well, recorder, self.stop))
        self.watch()
        self.spawn(deployment.life.follow(self.folder, lambda: self.store.events(self.plan.run)))
        await self.experiment.await_ready()
        return load if await self._is_well() else None

    async def _is_well(self) -> bool:
        """The end of the preflight: the deployment is well, and its alerts come through."""
        warm_up = self.plan.phases[0].seconds
        good = await self._found(self.healthy, PREFLIGHT_S)
        if good and warm_up < PIPELINE_S:
            # A short warm-up leaves the alert pipeline no time to wake up in it.
            await settle(self.quiet, PIPELINE_S - warm_up)
        self.recorder.note(PhaseEnded(phase="preflight"), "runner")
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

    async def _phase(self, name: str, begin: float, end: float) -> bool:
        # A fault begins with its planned instant, not with somebody who waits for it.
        if name != "fault" and not await self.stop.sleep(self._clock.left(begin)):
            return False
        self.recorder.note(PhaseStarted(phase=name, planned_at=begin), "runner")
        # The fault's child needs to be on its way before its instant; it waits there itself.
        ahead_s = max((fault.mechanism.ahead_s for fault in self.plan.faults), default=Mechanism.ahead_s)
        early = {"baseline": min(ahead_s, end - begin), "warm-up": QUIET_S}.get(name, 0.0)
        whole = await self.stop.sleep(self._clock.left(end) - early)
        if whole and name == "baseline":
            assert self.experiment is not None
            self._experiment_may_end = True
            await self.experiment.go(self._clock.as_told_now(end))
            whole = await self.stop.sleep(self._clock.left(end))
        if whole and name == "warm-up" and not await self._found(self.quiet, QUIET_S):
            self.stop.stop("error", "not healthy at the end of warm-up")
            whole = False
        self.recorder.note(PhaseEnded(phase=name), "runner")
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

    async def end_own(self) -> None:
        self._closing = True
        if self.experiment is None:
            return
        if self.stop.stopped:
            self.experiment.abort()
        slowest = max((fault.mechanism.gone_within_s for fault in self.plan.faults), default=0.0)
        await self.experiment.end(ABORT_WITHIN_S if self.stop.stopped else UNDO_BEGINS_WITHIN_S + slowest)
