"""Incidents of a scenario: the fault and its targets, the right and the harmful answers; and what noise needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.fault_arguments import check_bounds, check_names
from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.protections import ALL_FLAGS
from tierdrill.documents.models.scenario import Harmful, Incident, Inject, Mitigation, Noise, Scenario
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.faults.blast_radius import ConcurrentFaults, Layout
from tierdrill.faults.known_kinds import KINDS
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.text import listed

NEEDED = {"xid": ("node", "gpu"), "message": ("text",), "page": ("text", "tier"), "fault": ("fault", "parameters")}


def check_incident(
    context: Context, place: Place, incident: Incident, scenario: Scenario, inventory: Inventory | None
) -> None:
    if place.at("fault").known(incident.fault, "fault", KINDS):
        for number, parameters in enumerate(incident.parameters):
            check_parameters(place.at("parameters", number), incident.fault, parameters, inventory)
        targets = [KINDS[incident.fault].target(parameters) for parameters in incident.parameters]
        place.at("parameters").unique(targets, "injection into")
    if inventory is not None:
        place.at("tier").known(incident.tier, "tier", inventory.tiers)
    place.at("cause").known(incident.cause, "cause", CAUSES)
    for number, cause in enumerate(incident.accept):
        place.at("accept", number).known(cause, "cause", CAUSES)
    place.at("accept").unique([*incident.accept], "cause")
    if incident.playbook is not None:
        context.known(place.at("playbook"), "Playbook", incident.playbook)
    answers: list[tuple[str, int, Mitigation | Harmful]] = [
        *(("mitigations", number, one) for number, one in enumerate(incident.mitigations)),
        *(("harmful", number, one) for number, one in enumerate(incident.harmful)),
    ]
    for section, number, answer in answers:
        _check_answer(context, place.at(section, number), answer, inventory)
    good = {(one.remedy, one.target) for one in incident.mitigations}
    for number, harm in enumerate(incident.harmful):
        if (harm.remedy, harm.target) in good:
            place.at("harmful", number).report(f"{harm.remedy} mitigates and harms", "one of them", key=True)
    _check_spans(place, incident, scenario)


def _check_spans(place: Place, incident: Incident, scenario: Scenario) -> None:
    for name in ("acknowledge_within", "hypothesis_within", "mitigate_within"):
        value = getattr(incident, name)
        if value is not None and value <= 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    left = scenario.duration - incident.at
    for number, evidence in enumerate(incident.evidence):
        if evidence.after >= left:
            place.at("evidence", number, "after").report(
                f"evidence {show_duration(evidence.after)} after the effect",
                f"before the exercise's end, {show_duration(left)} after the incident",
            )


def check_parameters(
    place: Place, kind: str, parameters: dict[str, str | int | float | bool], inventory: Inventory | None
) -> None:
    """The parameters of one injection of a known fault: their names, and what they are injected into."""
    fault = KINDS[kind]
    allowed = [one.name for one in fault.parameters]
    for name in parameters:
        if name not in allowed:
            place.at(name).report(
                f"{kind} has no parameter {shown(name)}", f"it has {listed(allowed)}", nearest(name, allowed), key=True
            )
    missing = [name for name in fault.required if name not in parameters]
    for name in missing:
        place.report(f"no parameter {shown(name)} of {kind}", f"it needs {listed(fault.required)}", key=True)
    if not missing and inventory is not None:
        check_names(fault, parameters, inventory, place.at)
    check_bounds(fault, parameters, place.at)


def check_target(place: Place, kind: str, target: str, inventory: Inventory | None) -> None:
    """A target of that kind, in a lab whose names are known."""
    named = ("node", "gpu", "replica", "link", "tier", "gateway", "stream", "store", "flag")
    if inventory is None or kind not in named:
        return
    allowed = {"flag": ALL_FLAGS, "gateway": inventory.gateways}.get(kind) or inventory.of_kind(kind)
    place.known(target, {"gpu": "GPU"}.get(kind, kind), allowed)


def _check_answer(context: Context, place: Place, answer: Mitigation | Harmful, inventory: Inventory | None) -> None:
    if answer.target is None:
        return
    spot = place.at("target")
    if answer.remedy == "run-playbook":
        name, _, of = answer.target.partition(" ")
        playbook = context.catalogue.playbooks.get(name)
        if context.known(spot, "Playbook", name) and playbook is not None and of and inventory is not None:
            check_target(spot, playbook.target_kind, of, inventory)
        return
    kind: str = REMEDIES[answer.remedy].target if answer.remedy in REMEDIES else ""
    if inventory is None or not kind:
        return
    # A drain may be of one GPU; a weight is of a link, or of a node or GPU at one gateway or all.
    target = answer.target.rpartition(">")[2] if "/" in answer.target else answer.target
    if "/" in target:
        kind = "gpu"
    elif kind == "place" or (kind == "link" and ">" not in target):
        kind = "node"
    check_target(spot, kind, target, inventory)


def check_signal(place: Place, one: Noise | Inject, inventory: Inventory | None) -> None:
    """Noise and injects: each kind needs its own fields, and has no others."""
    needed = NEEDED[one.kind]
    fields = {name for names in NEEDED.values() for name in names} & set(type(one).model_fields)
    optional = {"xid": {"xid"}, "message": {"sender"}}.get(one.kind, set())
    kind = KINDS.get(one.fault or "") if isinstance(one, Inject) else None
    takes_none = kind is not None and not kind.required
    for name in needed:
        if getattr(one, name, None) in (None, "", {}) and not (takes_none and name == "parameters"):
            place.report(f"{one.kind} without {name}", f"it needs {listed(needed)}", key=True)
    for name in sorted((fields | {"xid", "sender"}) & one.model_fields_set - set(needed) - optional):
        place.at(name).report(f"{name} for {one.kind}", f"it has {listed([*needed, *sorted(optional)])}", key=True)
    if one.node is not None and one.gpu is not None:
        check_target(place.at("node"), "gpu", f"{one.node}/{one.gpu}", inventory)
    if one.tier is not None and inventory is not None:
        place.at("tier").known(one.tier, "tier", inventory.tiers)
    if (
        isinstance(one, Inject)
        and one.kind == "fault"
        and one.fault
        and place.at("fault").known(one.fault, "fault", KINDS)
    ):
        check_parameters(place.at("parameters"), one.fault, one.parameters, inventory)


def check_radius(place: Place, scenario: Scenario, environment: Environment, layout: Layout) -> None:
    """All incidents of a scenario together, and each fault that a facilitator may add to them: within the blast radius,
    and nothing protected.
    """
    radius = ConcurrentFaults(environment.limits, layout)
    for number, incident in enumerate(scenario.incidents):
        _check_added(place.at("incidents", number, "parameters"), radius, incident.fault, incident.parameters)
    for number, inject in enumerate(scenario.injects):
        if inject.fault is not None and inject.fault in KINDS:
            _check_added(place.at("injects", number, "parameters"), radius, inject.fault, [inject.parameters])
            radius.remove([inject.fault], KINDS[inject.fault].target(inject.parameters))


def _check_added(place: Place, radius: ConcurrentFaults, kind: str, parameters: Sequence[Mapping[str, Any]]) -> None:
    targets = [KINDS[kind].target(one) for one in parameters] if kind in KINDS else []
    for problem in radius.add(kind, *targets):
        place.report(problem.found, problem.allowed, key=True)
