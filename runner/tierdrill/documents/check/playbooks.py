"""Playbooks: engine and steps, facts, remedies' arguments, `${...}` references, throttles, escalation."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.observed import check_external_tool
from tierdrill.documents.models.playbook import Action, Condition, Playbook, Step, Verify
from tierdrill.documents.models.protections import ALL_FLAGS
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.remedies.facts import A_NUMBER, A_SHARE, FACTS, YES_OR_NO
from tierdrill.remedies.known_remedies import REMEDIES, settings_of
from tierdrill.remedies.remedy import AN_INDEX
from tierdrill.text import either, listed

TEMPLATE_NAMES = ("target", "alert")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


def check_playbooks(context: Context) -> None:
    tiers = {tier.name for document in context.catalogue.tiers.values() for tier in document.tiers}
    for name, playbook in context.catalogue.playbooks.items():
        place = context.reading.place("Playbook", name)
        _check_engine(place, playbook)
        check_external_tool(place, playbook)
        if playbook.match.alert:
            context.known_alert(place.at("match", "alert"), playbook.match.alert)
            context.known_labels(place.at("match", "labels"), playbook.match.alert, playbook.match.labels)
        _check_references(place, place.source.data, _labels(context, playbook))
        for section in ("when", "forbidden_when"):
            for number, condition in enumerate(getattr(playbook, section)):
                _check_condition(context, place.at(section, number), condition)
        _check_steps(context, place.at("steps"), playbook.steps)
        _check_steps(context, place.at("on_resolve", "steps"), playbook.on_resolve.steps)
        _check_lasting(place, playbook)
        _check_limits(place, playbook)
        _check_grouping(context, place, playbook)
        names = names_of(context, playbook.target_kind)
        if "${" not in playbook.target and names is not None:
            place.at("target").known(playbook.target, playbook.target_kind, names)
        if playbook.escalation is not None and tiers:
            _check_escalation(context, place.at("escalation", "tier"), playbook.escalation.tier, tiers)


def _labels(context: Context, playbook: Playbook) -> set[str] | None:
    """The labels that `${labels.X}` may name; None where any may come."""
    if playbook.match.condition is not None:
        return {"node", *playbook.match.labels}
    carried = context.alerts.get(playbook.match.alert) if context.alerts is not None else None
    return {*carried, *playbook.match.labels, "alertname"} if carried else None


def _check_engine(place: Place, playbook: Playbook) -> None:
    if playbook.engine == "external":
        if playbook.external is None:
            place.report(
                "engine external without external", "external says which tool, and how it is followed", key=True
            )
        if playbook.steps or playbook.on_resolve.steps:
            where = "steps" if playbook.steps else "on_resolve"
            place.at(where).report("steps in an external playbook", "the other tool has the steps", key=True)
    else:
        if playbook.external is not None:
            place.at("external").report(
                "external with engine tierdrill", "engine is external", "engine: external", key=True
            )
        if not playbook.steps:
            place.report("a playbook without steps", "at least one step, or engine external", key=True)


def _check_references(place: Place, value: object, labels: set[str] | None) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_references(place.at(key), item, labels)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_references(place.at(number), item, labels)
    elif isinstance(value, str) and "${" in value:
        for name in _REFERENCE.findall(value):
            # The target cannot be made of itself.
            names = TEMPLATE_NAMES if place.path != ("target",) else ("alert",)
            known = [*names, *(f"labels.{label}" for label in sorted(labels or ()))]
            if name in known or (labels is None and name.startswith("labels.") and len(name) > len("labels.")):
                continue
            hint = nearest(name, known)
            allowed = listed([*known, *(() if labels is not None else ("labels.<label of the alert>",))])
            place.report(f"${{{name}}} is not defined", f"known: {allowed}", hint and f"${{{hint}}}")
        if value.count("${") > len(_REFERENCE.findall(value)):
            place.report(f"got {shown(value)}", "a reference ends with a brace: ${target}")


def _check_condition(context: Context, place: Place, condition: Condition) -> None:
    known = place.at("fact").known(condition.fact, "fact", FACTS)
    if known and not condition.subject and FACTS[condition.fact].subject:
        place.at("subject").report(f"fact {condition.fact} of no subject", "subject says of which", "${target}")
    given = [name for name in ("equals", "at_least", "at_most") if getattr(condition, name) is not None]
    if not given:
        place.report(f"fact {condition.fact} compared with nothing", "equals, at_least or at_most is given", key=True)
    if "equals" in given and len(given) > 1:
        place.report(f"{listed(given)} together", "equals alone, or at_least with at_most", key=True)
    low, high = condition.at_least, condition.at_most
    if low is not None and high is not None and low > high:
        place.at("at_least").report(f"at least {low:g} and at most {high:g}", "at least is at most at most")
    if isinstance(condition, Verify) and condition.within <= 0:
        place.at("within").report("a check within no time", "a time above 0")
    if known:
        _check_condition_values(context, place, condition)


def _check_steps(context: Context, place: Place, steps: Sequence[Step]) -> None:
    place.unique([step.name for step in steps], "step", "name")
    for number, step in enumerate(steps):
        spot = place.at(number)
        _check_arguments(context, spot, step)
        if step.timeout <= 0:
            spot.at("timeout").report("a step within no time", "a time above 0")
        if step.verify is not None:
            _check_condition(context, spot.at("verify"), step.verify)
        if step.rollback is not None:
            _check_arguments(context, spot.at("rollback"), step.rollback)


def _check_lasting(place: Place, playbook: Playbook) -> None:
    """What a step leaves changed is taken back by somebody, or is said to stay, and why."""
    actions = [*(step.rollback for step in playbook.steps if step.rollback), *playbook.on_resolve.steps]
    taken_back = [setting for action in actions for setting in settings_of(action.do, action.arguments)]
    for number, step in enumerate(playbook.steps):
        spot = place.at("steps", number)
        lasting = REMEDIES[step.do].lasting(step.arguments)
        if step.stays and not lasting:
            spot.at("stays").report(f"stays for {step.do}", "it leaves nothing changed that could stay", key=True)
        elif step.stays and not step.why.strip():
            spot.at("stays").report("stays without why", "why says for what reason nothing takes it back", key=True)
        elif step.why and not step.stays:
            spot.at("why").report("why without stays", "it says why a step stays", "stays: true", key=True)
        elif not step.stays and not all(any(back.concerns(one) for back in taken_back) for one in lasting):
            spot.at("do").report(
                f"{step.do} that nothing takes back",
                "a rollback or a step of on_resolve that does, or stays: true and why",
            )
    for number, step in enumerate(playbook.on_resolve.steps):
        if step.stays or step.why:
            spot = place.at("on_resolve", "steps", number, "stays" if step.stays else "why")
            spot.report("stays in on_resolve", "these steps take back what the others left", key=True)


def _check_arguments(context: Context, place: Place, action: Action) -> None:
    remedy = REMEDIES[action.do]
    if remedy.any_arguments:
        return
    for name in remedy.required:
        if name not in action.arguments:
            place.at("do").report(f"{action.do} without argument {name}", f"it needs {listed(remedy.required)}")
    takes = {one.name: one.kind for one in remedy.arguments}
    for name, written in action.arguments.items():
        spot = place.at("arguments", name)
        if name not in takes:
            found = f"unknown argument {shown(name)} for {action.do}"
            spot.report(found, f"it takes {listed(takes)}", nearest(name, takes), key=True)
        elif takes[name] == "flag" and not (isinstance(written, str) and "${" in written):
            spot.known(str(written), "flag", ALL_FLAGS)
        elif takes[name] in _FITS:
            _check_value(spot, name, written, takes[name])
        elif takes[name] != "flag":
            _check_names(context, spot, takes[name], written)


def _check_grouping(context: Context, place: Place, playbook: Playbook) -> None:
    """Labels that tell incidents apart: one that the alert does not carry would make one group of them all."""
    carried = _labels(context, playbook)
    if carried is None:
        return
    for number, label in enumerate(playbook.throttle.group_by):
        place.at("throttle", "group_by", number).known(label, f"label of alert {playbook.match.alert}", carried)
    if playbook.concurrency.key:
        spot = place.at("concurrency", "key")
        spot.known(playbook.concurrency.key, f"label of alert {playbook.match.alert}", carried)


def _check_limits(place: Place, playbook: Playbook) -> None:
    throttle = playbook.throttle
    given = [name for name in ("once_within", "once_after", "accumulate_within") if getattr(throttle, name) is not None]
    if len(given) > 1:
        place.at("throttle", given[1]).report(f"{listed(given)} together", "one of them", key=True)
    if throttle.threshold > 1 and throttle.accumulate_within is None:
        place.at("throttle", "threshold").report(
            "threshold without accumulate_within", "it counts alerts within a time"
        )
    for name in given:
        if getattr(throttle, name) <= 0:
            place.at("throttle", name).report(f"{name} of no time", "a time above 0")
    if playbook.fuse is not None:
        if playbook.fuse.max_nodes <= 0:
            place.at("fuse", "max_nodes").report("a fuse of 0%", "above 0%: this playbook could never run", "50%")
        if playbook.fuse.window <= 0:
            place.at("fuse", "window").report("a fuse over no time", "a time above 0")


def _check_escalation(context: Context, place: Place, name: str, tiers: set[str]) -> None:
    if not place.known(name, "tier", tiers):
        return
    for document in context.catalogue.tiers.values():
        if any(tier.name == name and not tier.escalation for tier in document.tiers):
            place.report(f"tier {name} has nobody to page", "a tier with an escalation ladder")


def names_of(context: Context, kind: str) -> Collection[str] | None:
    """All names of a kind in the catalogue's labs; None where not all are known, as those of a cluster are not."""
    catalogue = context.catalogue
    if kind == "alert":
        return context.alerts
    if kind == "model":
        return {model.name for document in catalogue.workloads.values() for model in document.models} or None
    if kind == "tier":
        return {tier.name for document in catalogue.tiers.values() for tier in document.tiers} or None
    inventories = [context.inventory_of(environment) for environment in catalogue.environments.values()]
    found: set[str] = set()
    for inventory in inventories:
        if inventory is None:
            return None
        found |= set(inventory.of_kind(kind))
    return found or None


def _check_condition_values(context: Context, place: Place, condition: Condition) -> None:
    """The subject of a known fact, if it is written out, and whether what it is compared with is one of its values."""
    fact = FACTS[condition.fact]
    subject = condition.subject.partition("{")[0].strip() if fact.subject == "alert" else condition.subject
    if subject and "${" not in subject and fact.subject:
        names = names_of(context, fact.subject)
        if names is not None:
            place.at("subject").known(subject, fact.subject, names)
    if condition.equals is not None:
        _check_value(place.at("equals"), f"fact {condition.fact}", condition.equals, fact.values)
    for name in ("at_least", "at_most"):
        bound = getattr(condition, name)
        if bound is None:
            continue
        if fact.values in (A_SHARE, A_NUMBER):
            _check_value(place.at(name), f"fact {condition.fact}", bound, fact.values)
        else:
            place.at(name).report(f"{name} for fact {condition.fact}", "it is no number: equals compares it", key=True)


def _check_names(context: Context, place: Place, kind: str, written: Any) -> None:
    names = names_of(context, kind)
    listing = isinstance(written, list)
    for number, one in enumerate(written if listing else [written]):
        spot = place.at(number) if listing else place
        if not isinstance(one, str):
            spot.report(f"got {shown(one)}", f"the name of a {kind}")
        elif names is not None and "${" not in one:
            spot.known(one, kind, names)


def _check_value(place: Place, what: str, written: Any, values: str | tuple[str, ...]) -> None:
    if isinstance(written, str) and "${" in written:
        return
    if isinstance(values, tuple):
        if written not in values:
            place.report(f"{what}: got {shown(written)}", f"expected {either(values)}", nearest(written, values))
        return
    if not _FITS[values](written):
        place.report(f"{what}: got {shown(written)}", f"expected {values}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    YES_OR_NO: lambda value: isinstance(value, bool),
    A_SHARE: lambda value: _is_number(value) and 0 <= value <= 1,
    A_NUMBER: lambda value: _is_number(value) and value >= 0,
    AN_INDEX: lambda value: str(value).isdecimal(),
}
