"""From a drill's load to the load child's plan: streams, prompts with their right answers, addresses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tierdrill.chaos import ACTIONS_MODULE
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.environment_inventory import inventory_of, violations
from tierdrill.documents.models.drill import Sabotage, Stream
from tierdrill.documents.models.workloads import Model
from tierdrill.documents.variables import (
    experiment_values,
    fill,
    filled_calls,
    find_sabotage,
    paced_waits,
    resolve_drill,
)
from tierdrill.faults.kind import UnknownFault
from tierdrill.faults.known_kinds import ACTIONS, KINDS, checked_parameters
from tierdrill.load.arrival_schedule import Shape
from tierdrill.load.child_line import CONTROL_FILE
from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan
from tierdrill.targets.base import FaultOrder, Mechanism, Preview, Session
from tierdrill.targets.target_registry import target_of
from tierdrill.text import Explained


def load_plan(plan: Plan, session: Session | None, folder: Path) -> LoadPlan:
    """The plan for one run; samples and reports go to `folder`. Without a session it says when requests are sent, not
    where and what.
    """
    drill = plan.setting.drill
    models = {model.name: model for model in plan.setting.workloads.models}

    def prompts(stream: Stream) -> tuple[Prompt, ...]:
        return session.prompts(stream, _answering(plan.setting, stream, models)) if session is not None else ()

    planned = LoadPlan(
        targets=session.endpoints.load if session is not None else (),
        duration_s=plan.load_s,
        seed=drill.load.seed,
        connections_max=drill.load.connections,
        streams=tuple(part for stream in drill.load.streams for part in stream_plans(stream, prompts(stream))),
        sample_path=str(folder / "samples"),
        status_path=str(folder / "generator"),
        control_path=str(folder / CONTROL_FILE),
    )
    return planned if session is None else session.traffic(planned, plan.phases[0].seconds)


def _answering(setting: DrillSetting, stream: Stream, models: Mapping[str, Model]) -> list[Model]:
    """The stream's model, and the one that may answer in its place."""
    fallback = setting.tiers.by_name(stream.tier).fallback_model
    names = dict.fromkeys((stream.model, fallback))
    return [models[name] for name in names if name is not None and name in models]


def stream_plans(stream: Stream, prompts: tuple[Prompt, ...]) -> list[StreamPlan]:
    """A stream as the child sends it: one part that streams its answers and one that does not, where both are asked
    for.
    """
    shape = Shape(
        kind=stream.shape.kind,
        factor=stream.shape.factor,
        at_s=stream.shape.at,
        lasts_s=stream.shape.lasts,
        file=stream.shape.file,
    )
    parts = []
    for streaming, share in ((False, 1.0 - stream.streaming), (True, stream.streaming)):
        if share <= 0:
            continue
        both = 0 < stream.streaming < 1
        parts.append(
            StreamPlan(
                name=f"{stream.name}-{'streamed' if streaming else 'plain'}" if both else stream.name,
                tier=stream.tier,
                model=stream.model,
                rate_rps=stream.rate * share,
                prompts=prompts,
                timeout_s=stream.timeout,
                customer_class=stream.customer_class,
                stream=streaming,
                shape=shape,
            )
        )
    return parts


class PlanError(Explained, ValueError):
    """The drill cannot be planned: the message names the field and what is allowed."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault the experiment will inject. `kind` is "foreign" for an action of somebody else's extension."""

    activity: str
    kind: str
    target: str
    target_kind: str
    parameters: dict[str, Any]
    mechanism: Mechanism


@dataclass(frozen=True)
class Phase:
    """One phase and its length in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Deadline:
    """Something that must happen within so many seconds of the fault's effect."""

    what: str
    within_s: float


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know, as plain data."""

    run: str
    variant: str
    setting: DrillSetting
    phases: tuple[Phase, ...]
    faults: tuple[PlannedFault, ...]
    deadlines: tuple[Deadline, ...]
    sabotage: Sabotage | None
    variables: dict[str, Any]

    @property
    def fault_s(self) -> float:
        """How long its faults are; 0 in an exercise, where each incident says so itself."""
        return sum(phase.seconds for phase in self.phases if phase.name == "fault")

    @property
    def load_s(self) -> float:
        """How long the load lasts: through every phase but the last."""
        return sum(phase.seconds for phase in self.phases)


def new_run_name(drill: str, at: float) -> str:
    """A name that sorts by time and is unique on this machine."""
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{drill}-{moment}-{os.urandom(2).hex()}"


def make_plan(setting: DrillSetting, run: str, variant: str, mechanisms: Mapping[str, Mechanism]) -> Plan:
    """Resolve a drill for one variant: "drill", "blip" or "sabotage:NAME"."""
    resolved = resolve_drill(setting)
    drill = resolved.drill
    sabotage = _sabotage(resolved, variant)
    fault_s = drill.phases.fault
    warm_up, baseline, recovery = drill.phases.warm_up, drill.phases.baseline, drill.phases.recovery
    if variant == "blip":
        if drill.blip is None:
            raise PlanError(f"drill {drill.metadata.name} has no blip twin (no `blip` in its document)")
        fault_s = drill.blip.fault
        warm_up = drill.blip.warm_up if drill.blip.warm_up is not None else warm_up
        baseline = drill.blip.baseline if drill.blip.baseline is not None else baseline
        recovery = drill.blip.recovery if drill.blip.recovery is not None else recovery
    waits = paced_waits(resolved.experiment, drill.variables, resolved.environment.pace)
    variables = {**drill.variables, **waits, "fault_seconds": fault_s}
    return Plan(
        run=run,
        variant=variant,
        setting=resolved,
        phases=(
            Phase("warm-up", warm_up),
            Phase("baseline", baseline),
            Phase("fault", fault_s),
            Phase("recovery", recovery),
        ),
        faults=planned_faults(resolved, variables, mechanisms),
        deadlines=() if variant == "blip" else _deadlines(resolved),
        sabotage=sabotage,
        variables=variables,
    )


def _sabotage(setting: DrillSetting, variant: str) -> Sabotage | None:
    if not variant.startswith("sabotage:"):
        return None
    name = variant.split(":", 1)[1]
    found = find_sabotage(setting, name)
    if found is None:
        known = ", ".join(one.name for one in setting.drill.sabotages) or "none"
        raise PlanError(f"drill {setting.drill.metadata.name} has no sabotage {name!r}, expected one of: {known}")
    return found


def planned_faults(
    setting: DrillSetting, variables: dict[str, Any], mechanisms: Mapping[str, Mechanism]
) -> tuple[PlannedFault, ...]:
    """The faults of the experiment's method, their targets resolved, held against the environment's blast radius."""
    values = experiment_values(setting.experiment, variables)
    found = []
    for activity in setting.experiment.get("method", []):
        provider = activity.get("provider", {})
        if activity.get("type") != "action":
            continue
        fault = ACTIONS.get(str(provider.get("func"))) if provider.get("module") == ACTIONS_MODULE else None
        name = str(activity.get("name", ""))
        if fault is None:
            found.append(PlannedFault(name, "foreign", name, "", {}, Mechanism("the experiment's own")))
            continue
        arguments = fill(provider.get("arguments") or {}, values)
        try:
            parameters = checked_parameters(fault.kind, arguments)
        except UnknownFault as error:
            raise PlanError(f"experiment {setting.drill.experiment}, activity {name}: {error}") from error
        target = fault.target(parameters)
        mechanism = mechanisms.get(fault.kind)
        if mechanism is None:
            raise PlanError(f"environment {setting.environment.metadata.name} has no mechanism for {fault.kind}")
        found.append(PlannedFault(name, fault.kind, target, fault.target_kind, parameters, mechanism))
    inventory = inventory_of(setting.environment, setting.tiers, setting.workloads, setting.drill.load)
    for _, problem in violations(filled_calls(setting.experiment, values), setting.environment, inventory):
        raise PlanError(str(problem))
    return tuple(found)


_TIER_DEADLINES = {
    "time_to_detect": "alert for tier {tier} delivered",
    "time_to_mitigate": "tier {tier} back in target",
    "mttr": "tier {tier} back in target",
    "time_to_recover": "fault gone and tier {tier} in target",
}


def _deadlines(setting: DrillSetting) -> tuple[Deadline, ...]:
    expect = setting.drill.expect
    alerts = [
        Deadline(f"alert {one.alert} delivered", one.within)
        for one in expect.alerts.must_fire
        if one.within is not None
    ]
    playbooks = [
        Deadline(f"playbook {one.playbook} done", one.within)
        for one in expect.playbooks.must_fire
        if one.within is not None
    ]
    tiers = [
        Deadline(what.format(tier=one.tier), limit)
        for one in expect.tiers
        for name, what in _TIER_DEADLINES.items()
        if (not one.objectives or name in one.objectives)
        and (limit := getattr(setting.tiers.by_name(one.tier).objectives, name)) is not None
    ]
    return tuple(sorted((*alerts, *playbooks, *tiers), key=lambda deadline: deadline.within_s))


def preview_of(plan: Plan) -> Preview | None:
    """What the plan comes to as things are now, where its target can tell; TargetError where it does not answer."""
    environment = plan.setting.environment
    orders = [
        FaultOrder(one.activity, one.kind, one.target, KINDS[one.kind].target_kind, one.mechanism, one.parameters,
                   environment.lease)
        for one in plan.faults
        if one.kind in KINDS
    ]  # fmt: skip
    return target_of(environment).preview(plan.setting, orders, plan.fault_s)


def describe_faults(plan: Plan) -> list[tuple[PlannedFault, str]]:
    """Each fault with its real-world cause, for people."""
    return [
        (fault, KINDS[fault.kind].cause if fault.kind in KINDS else "an action of the experiment's own")
        for fault in plan.faults
    ]
