"""A drill as it is in its environment: what takes the lab a second, or a request, takes a real platform many."""

from typing import Any, TypeVar

from tierdrill.documents.models.drill import (
    AlertExpectation,
    Blip,
    Drill,
    EffectExpectation,
    EscalationExpectation,
    Guardrail,
    Invariants,
    Load,
    OnCall,
    Phases,
    PlaybookExpectation,
    Proof,
    SabotageAction,
    Shape,
    TierExpectation,
)
from tierdrill.documents.models.environment import DrillHere, Environment
from tierdrill.documents.models.playbook import Playbook, Step, Verify
from tierdrill.documents.models.units import Part

_Part = TypeVar("_Part", bound=Part)
_TIMES: dict[type[Part], tuple[str, ...]] = {
    Phases: tuple(Phases.model_fields),
    Blip: tuple(Blip.model_fields),
    Shape: ("at", "lasts"),
    Guardrail: ("window",),
    Invariants: ("rejection_latency_p99",),
    OnCall: ("acknowledges_after",),
    SabotageAction: ("late_by",),
    TierExpectation: ("integrity_within",),
    Step: ("timeout",),
    Verify: ("within",),
    **dict.fromkeys(
        (AlertExpectation, EffectExpectation, EscalationExpectation, PlaybookExpectation, Proof), ("within",)
    ),
}


def paced(drill: Drill, pace: float) -> Drill:
    """The drill with every time of its own multiplied; those that its tiers promise are the platform's."""
    found: Drill = _slower(drill, pace)
    return found


def drill_in(environment: Environment, drill: Drill) -> Drill:
    """The drill as it is in that environment: at its pace, with its traffic, and with deadlines of its own there."""
    found, here = paced(drill, environment.pace), environment.drills.get(drill.metadata.name, DrillHere())
    if (traffic := here.traffic or environment.traffic) != 1:
        found = found.model_copy(update={"load": _at(traffic, found.load)})
    if drill.blip is not None and found.blip is not None and environment.blip_pace is not None:
        fault = drill.blip.fault * environment.blip_pace
        found = found.model_copy(update={"blip": found.blip.model_copy(update={"fault": fault})})
    if not here.within:
        return found
    within, expect = here.within, found.expect
    alerts = tuple(_due(one, within.get(one.alert)) for one in expect.alerts.must_fire)
    playbooks = tuple(_due_playbook(one, within.get(one.playbook)) for one in expect.playbooks.must_fire)
    changed = {
        "alerts": expect.alerts.model_copy(update={"must_fire": alerts}),
        "playbooks": expect.playbooks.model_copy(update={"must_fire": playbooks}),
    }
    return found.model_copy(update={"expect": expect.model_copy(update=changed)})


def _at(traffic: float, load: Load) -> Load:
    streams = tuple(one.model_copy(update={"rate": one.rate * traffic}) for one in load.streams)
    return load.model_copy(update={"streams": streams})


def _due(value: _Part, within: float | None) -> _Part:
    return value if within is None else value.model_copy(update={"within": within})


def _due_playbook(one: PlaybookExpectation, within: float | None) -> PlaybookExpectation:
    """Where the drill says only when its effect must be seen, that is what is due then."""
    if one.within is None and one.effect.within is not None:
        return one.model_copy(update={"effect": _due(one.effect, within)})
    return _due(one, within)


def paced_playbook(playbook: Playbook, pace: float) -> Playbook:
    """The playbook with more time for each step and for what it is to be seen by."""
    found: Playbook = _slower(playbook, pace)
    return found


def _slower(value: Any, pace: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_slower(item, pace) for item in value)
    if not isinstance(value, Part):
        return value
    times = _TIMES.get(type(value), ())
    changed = {
        name: item * pace if name in times and isinstance(item, float) else _slower(item, pace) for name, item in value
    }
    changed = {name: item for name, item in changed.items() if item != getattr(value, name)}
    return value.model_copy(update=changed) if changed else value
