"""Judge only: a run through a fault that somebody else injects, from when it is said to begin to when it is to end.

Those moments are agreed on before, or told by a person at the keyboard or by a signed webhook. Nothing is injected.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tierdrill.conductor.deployment import Deployment
from tierdrill.conductor.phases import GO_AHEAD_S, LOAD_DRAIN_S, DrillRun, PlanClock
from tierdrill.conductor.plan import Phase, Plan, PlannedFault
from tierdrill.conductor.run_watchers import watch_child
from tierdrill.documents.catalogue import Catalogue, DrillSetting, Experiment, setting_of
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.external import Availability
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import (
    FaultGone,
    FaultIntended,
    FaultLanded,
    FaultReverting,
    LoadSamples,
    LoadStarted,
    MonitoringAvailability,
    PhaseEnded,
    PhaseStarted,
    RunNote,
)
from tierdrill.judge.checks.fault_checks import INJECTOR, OBSERVED
from tierdrill.load.arrival_schedule import planned as planned_arrivals
from tierdrill.monitoring.query import NoData, Prometheus
from tierdrill.monitoring.webhook_receiver import FAULTS
from tierdrill.targets.base import Mechanism

VARIANT = "observed"
LATE_S = 60.0
"""So much older than now may be the moment that a webhook tells."""

State = Literal["started", "ended"]


@dataclass(frozen=True)
class Mark:
    """When (Unix seconds) the fault began or ended, and who says so."""

    at: float
    by: str


class FaultMarks:
    """The beginning and the end of one fault, each told once. Made inside the event loop that waits for them."""

    def __init__(self) -> None:
        self.told: dict[State, asyncio.Future[Mark]] = {
            "started": asyncio.get_running_loop().create_future(),
            "ended": asyncio.get_running_loop().create_future(),
        }

    def tell(self, state: State, mark: Mark) -> None:
        """Take a mark; ValueError where it comes out of order. What is told again changes nothing."""
        if state == "ended" and not self.told["started"].done():
            raise ValueError("state: got ended, expected started first")
        if not self.told[state].done():
            self.told[state].set_result(mark)

    def take(self, body: Mapping[str, Any]) -> None:
        """Take a webhook's body: {"state": "started" or "ended", "at": Unix seconds, by default now}."""
        state, now = body.get("state"), time.time()
        if state not in self.told:
            raise ValueError(f"state: got {state!r}, expected started or ended")
        at = body.get("at", now)
        if isinstance(at, bool) or not isinstance(at, int | float) or not now - LATE_S <= at <= now + 1.0:
            raise ValueError(f"at: got {at!r}, expected Unix seconds of the last {LATE_S:g} s")
        self.tell(state, Mark(min(float(at), now), "webhook"))


@dataclass(frozen=True)
class Observed:
    """What is watched for: a fault of that kind on that target. It must begin `within_s`, and end `at_most_s` later.

    With `begins` and `ends` (Unix seconds) the moments are known; with `keyboard` a person tells them. `load` is false
    where none is sent.
    """

    kind: str
    target: str
    within_s: float
    at_most_s: float
    begins: float | None = None
    ends: float | None = None
    keyboard: bool = False
    load: bool = True

    def planned(self, plan: Plan) -> Plan:
        """The plan with that fault, and phases as long as they may become."""
        drill = plan.setting.drill.phases
        drain = max(stream.timeout for stream in plan.setting.drill.load.streams) + LOAD_DRAIN_S
        phases = (
            Phase("warm-up", drill.warm_up),
            Phase("baseline", self.within_s),
            Phase("fault", self.at_most_s),
            Phase("recovery", drill.recovery + drain),
        )
        fault = PlannedFault("observed", self.kind, self.target, "service", {}, Mechanism(OBSERVED))
        return replace(plan, phases=phases, faults=(fault,))

    def about(self, plan: Plan) -> dict[str, Any]:
        """What the history's first event says otherwise of such a run: how long it takes is not known before."""
        drill = plan.setting.drill.phases
        return {"planned": {"warm-up": drill.warm_up, "recovery": drill.recovery}, "unloaded": not self.load}


class ObservedRun(DrillRun):
    """A run that waits for somebody else's fault."""

    def __init__(self, observed: Observed, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.observed = observed
        self._last_due = 0.0

    async def play(self) -> None:
        observed, recorder, marks = self.observed, self.recorder, FaultMarks()
        recorder.listen(self._seen)
        self._marks = marks
        deployment = await self.bring_up()
        deployment.on_fault = marks.take
        if observed.keyboard:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._key)
        recorder.note(PhaseStarted(phase="preflight"), "runner")
        load = await self.start_load(self.plan.setting.drill.guardrails) if observed.load else None
        if load is not None:
            self.spawn(watch_child("load", load.wait, self._load_ended_well, recorder, self.stop))
        self.watch()
        if not await self._is_well():
            self.stop.stop("error", "preflight failed")
            return
        self._clock = PlanClock()
        zero = time.time() + GO_AHEAD_S
        if load is not None:
            await load.go(zero)
        warm = zero + self.plan.phases[0].seconds
        if not (await self._phase("warm-up", zero, warm) and await self.stop.sleep(self._clock.left(warm))):
            return
        if observed.begins is not None:
            marks.tell("started", Mark(observed.begins, "--from"))
        if observed.ends is not None:
            marks.tell("ended", Mark(observed.ends, "--until"))
        recorder.note(PhaseStarted(phase="baseline"), "runner")
        if (begun := await self._await("started", observed.within_s)) is None:
            return
        recorder.note(PhaseEnded(phase="baseline"), "runner", begun.at)
        recorder.note(PhaseStarted(phase="fault", planned_at=begun.at), "runner", begun.at)
        self._tell_begin(begun)
        if (ended := await self._await("ended", observed.at_most_s)) is None:
            return
        self._tell_end(ended)
        recorder.note(PhaseEnded(phase="fault"), "runner", ended.at)
        recorder.note(PhaseStarted(phase="recovery", planned_at=ended.at), "runner", ended.at)
        recovery_s = self.plan.setting.drill.phases.recovery
        if not await self.stop.sleep(ended.at + recovery_s - time.time()):
            return
        recorder.note(PhaseEnded(phase="recovery"), "runner")
        await self._ask_availability(deployment, begun.at, ended.at + recovery_s)
        if load is not None:
            await self._end_load_early(zero)

    def _key(self) -> None:
        """A line came from the keyboard; its end says that nobody is there any more."""
        if not sys.stdin.readline():
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        elif not self._marks.told["started"].done():
            self._marks.tell("started", Mark(time.time(), "keyboard"))
        else:
            self._marks.tell("ended", Mark(time.time(), "keyboard"))

    async def end_own(self) -> None:
        if self.observed.keyboard:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        await super().end_own()

    async def _await(self, state: State, within_s: float) -> Mark | None:
        """The moment the fault begins or ends, once it has come; None where the run stops before."""
        words = "begin" if state == "started" else "end"
        told = self._marks.told[state]
        if not told.done():
            receiver = self.deployment.receiver.url if self.deployment is not None else ""
            where = "press Enter" if self.observed.keyboard else f"call {receiver}{FAULTS}"
            self.recorder.note(RunNote(text=f"{where} when the fault {words}s"), "runner")
        stopped = asyncio.create_task(self.stop.wait())
        try:
            both: set[asyncio.Future[Any]] = {told, stopped}
            await asyncio.wait(both, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self.stop.stopped:
            return None
        if not told.done():
            self.stop.stop("error", f"no fault was told to {words} within {within_s:g} s")
            return None
        mark = told.result()
        return mark if await self.stop.sleep(mark.at - time.time()) else None

    def _tell_begin(self, mark: Mark) -> None:
        observed, fault = self.observed, self._fault_name()
        intended = FaultIntended(
            fault=fault,
            kind=observed.kind,
            target=observed.target,
            target_kind="service",
            parameters={},
            mechanism=OBSERVED,
            undo=INJECTOR,
            lease_s=None,
            planned_at=mark.at,
            emulated=False,
        )
        self.recorder.note(intended, "runner", mark.at)
        landed = FaultLanded(fault=fault, effective_at=mark.at, witness=mark.by, seen="as told")
        self.recorder.note(landed, "runner", mark.at)

    def _tell_end(self, mark: Mark) -> None:
        fault = self._fault_name()
        self.recorder.note(FaultReverting(fault=fault, by=INJECTOR), "runner", mark.at)
        gone = FaultGone(fault=fault, gone_at=mark.at, witness=mark.by, seen="as told")
        self.recorder.note(gone, "runner", mark.at)

    def _fault_name(self) -> str:
        return f"{self.plan.run}/{VARIANT}/{self.observed.kind}"

    async def _ask_availability(self, deployment: Deployment, since: float, until: float) -> None:
        """What the platform itself counted of each tier from the fault on, where its document says how to ask."""
        monitoring = self.plan.setting.environment.monitoring
        if self.observed.load or monitoring is None or not monitoring.availability:
            return
        there = deployment.session.endpoints.prometheus
        prometheus = Prometheus(there.url, there.login)
        try:
            for tier, asked in monitoring.availability.items():
                await self._count(prometheus, tier, asked, since, until)
        finally:
            prometheus.close()

    async def _count(
        self, prometheus: Prometheus, tier: str, asked: Availability, since: float, until: float
    ) -> None:
        window = f"{max(1, round(until - since))}s"
        numbers = []
        for expression in (asked.good, asked.total):
            answer = await prometheus.instant(expression.replace("$window", window), until)
            if isinstance(answer, NoData) or len(answer) != 1:
                why = answer.reason if isinstance(answer, NoData) else f"{len(answer)} series where one was expected"
                self.recorder.note(RunNote(text=f"availability of {tier} is not known: {why}"), "monitoring")
                return
            numbers.append(answer[0].value)
        good, total = numbers
        counted = MonitoringAvailability(tier=tier, good=good, total=total, window=window)
        self.recorder.note(counted, "monitoring")

    def _seen(self, item: Event) -> None:
        if isinstance(said := item.payload, LoadSamples) and (dues := said.columns.get("due")):
            self._last_due = max(self._last_due, *dues)

    async def _end_load_early(self, zero: float) -> None:
        """End the load once what was due in the judged phases is answered, and tell how much that was."""
        self._load_may_end = True
        await self.stop.sleep(max(stream.timeout_s for stream in self.load_plan.streams))
        await self.end_load()
        sent = planned_arrivals(self.load_plan.schedule(), until_s=self._last_due - zero + 1e-6)
        self.recorder.note(LoadStarted(schedule_zero=zero, planned=sent), "load")


def drill_for(catalogue: Catalogue, name: str) -> DrillSetting:
    """What is judged of an environment without a drill: availability, of the tiers that its own monitoring counts."""
    environment = catalogue.environments[name]
    counted = environment.monitoring.availability if environment.monitoring is not None else {}
    model = catalogue.workloads[environment.workloads].models[0]
    drill = Drill.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Drill",
            "metadata": {"name": f"observe-{name}"[:63].rstrip("-"), "title": f"{name}, observed"},
            "description": "A fault that somebody else injects.",
            "experiment": VARIANT,
            "environment": name,
            # No load is sent; a drill without any stream is none.
            "load": {"streams": [{"name": "none", "tier": model.tier, "model": model.name, "rate": 1.0}]},
            "phases": {"warm_up": 2.0, "baseline": 2.0, "fault": 10.0, "recovery": 6.0},
            "expect": {
                "tiers": [{"tier": tier, "objectives": ["availability"]} for tier in counted],
                "alerts": {"others": "allowed"},
                "playbooks": {"others": "allowed"},
                "invariants": {"check": []},
            },
        }
    )
    experiment = Experiment(VARIANT, Path(), {"title": drill.metadata.title, "description": drill.description})
    added = replace(
        catalogue,
        drills={**catalogue.drills, drill.metadata.name: drill},
        experiments={**catalogue.experiments, VARIANT: experiment},
        paths={**catalogue.paths, ("Drill", drill.metadata.name): Path()},
    )
    return setting_of(added, drill.metadata.name)
