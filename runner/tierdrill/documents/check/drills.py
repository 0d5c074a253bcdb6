"""Drills: what they refer to, and what they expect of alerts, playbooks and targets."""

from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.catalogue import expects_something
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.drill_phases import check_phases
from tierdrill.documents.check.loads import check_load
from tierdrill.documents.check.observed import check_observed
from tierdrill.documents.check.sabotages import check_proves, check_sabotages
from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.pace import drill_in
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.sample_size import not_measured
from tierdrill.documents.variables import fill, references
from tierdrill.text import listed

# Labels that name a thing of the deployment, and its kind.
TARGET_LABELS = {"pod": "replica", **{name: name for name in ("node", "replica", "tier", "gateway", "store")}}


def check_drills(context: Context) -> None:
    for name, drill in context.catalogue.drills.items():
        place = context.reading.place("Drill", name)
        context.known(place.at("environment"), "Environment", drill.environment)
        inventory = context.inventory_of(context.environment_of(drill))
        tiers = context.tiers_of(context.environment_of(drill))
        if tiers is not None:
            names = [tier.name for tier in tiers.tiers]
            for number, expectation in enumerate(drill.expect.tiers):
                place.at("expect", "tiers", number, "tier").known(expectation.tier, "tier", names)
            for number, guardrail in enumerate(drill.guardrails):
                place.at("guardrails", number, "tier").known(guardrail.tier, "tier", names)
        place.at("expect", "tiers").unique([one.tier for one in drill.expect.tiers], "expectation of tier", "tier")
        _check_references(context, place, drill)
        _check_alerts(context, place.at("expect", "alerts"), drill, inventory)
        _check_playbooks(context, place.at("expect", "playbooks"), drill, inventory)
        _check_expects(context, place.at("expect"), drill)
        check_phases(context, place, drill)
        environment = context.environment_of(drill)
        check_load(context, place, drill if environment is None else drill_in(environment, drill))
        if environment is not None and tiers is not None:
            _check_measured(place, drill, environment, tiers)
        check_sabotages(context, place.at("sabotages"), drill, inventory)
        check_proves(context, place.at("proves"), drill)


def _check_expects(context: Context, place: Place, drill: Drill) -> None:
    experiment = context.catalogue.experiments.get(drill.experiment)
    if experiment is not None and not expects_something(drill, experiment.content):
        place.report(
            "nothing that could fail",
            "tiers with objectives, alerts, playbooks, a class_of_failure, or invariants other than the usual",
            key=True,
        )


def _check_measured(place: Place, drill: Drill, environment: Environment, tiers: Tiers) -> None:
    """Warns of what the drill expects and the environment does not tell; without load nothing of a drill can run."""
    missing = [name for name in ("load", "monitoring") if getattr(environment, name) is None]
    if environment.target != "lab" and missing:
        place.at("environment").report(
            f"environment {environment.metadata.name} has no {missing[0]}",
            f"{missing[0]} with {'a url' if missing[0] == 'load' else 'prometheus and alertmanager'}, or another one",
        )
        return
    by_name = {tier.name: tier for tier in tiers.tiers}
    for number, expectation in enumerate(drill.expect.tiers):
        if (tier := by_name.get(expectation.tier)) is None:
            continue
        wanted = expectation.objectives or [name for name, limit in tier.objectives if limit not in (None, {})]
        for name in wanted:
            if why := not_measured(environment, "slo", name):
                place.at("expect", "tiers", number, "tier").warn(
                    f"{name.replace('_', ' ')} of {tier.name} is not measured here", why
                )
    for name in drill.expect.invariants.check:
        if why := not_measured(environment, "invariant", name):
            place.at("environment").warn(f"invariant {name} is not measured here", why)


def _check_references(context: Context, place: Place, drill: Drill) -> None:
    experiment = context.catalogue.experiments.get(drill.experiment)
    configuration = experiment.content.get("configuration") if experiment else None
    for section in ("expect", "sabotages", "guardrails", "proofs"):
        _look_for_unknown(place.at(section), drill, configuration if isinstance(configuration, dict) else {})


def _look_for_unknown(place: Place, drill: Drill, configuration: dict[str, Any]) -> None:
    value = place.written()
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            _look_for_unknown(place.at(step), drill, configuration)
        return
    for name in sorted(references(value)):
        if name not in drill.variables:
            hint = nearest(name, drill.variables)
            advice = f"set it under variables, as experiment {drill.experiment} has it" if name in configuration else ""
            place.report(
                f"${{{name}}} is not defined",
                advice or f"known from variables: {listed(sorted(drill.variables))}",
                hint and f"${{{hint}}}",
            )
    if isinstance(value, str) and value.count("${") > len(references(value)) and "}" not in value.rpartition("${")[2]:
        place.report(f"got {shown(value)}", "a reference ends with a brace: ${node}")


def _check_alerts(context: Context, place: Place, drill: Drill, inventory: Inventory | None) -> None:
    alerts = drill.expect.alerts
    for section in ("must_fire", "must_not_fire"):
        for number, expectation in enumerate(getattr(alerts, section)):
            spot = place.at(section, number)
            environment = context.environment_of(drill)
            context.known_alert(spot.at("alert"), expectation.alert, environment)
            context.known_labels(spot.at("labels"), expectation.alert, expectation.labels, environment)
            for label, written in expectation.labels.items():
                word = str(fill(written, drill.variables))
                if inventory is not None and label in TARGET_LABELS and "${" not in word:
                    kind = TARGET_LABELS[label]
                    allowed = inventory.gateways if kind == "gateway" else inventory.of_kind(kind)
                    spot.at("labels", label).known(word, kind, allowed)
    must = [(one.alert, tuple(sorted(one.labels.items()))) for one in alerts.must_fire]
    place.at("must_fire").unique(
        [f"{name}{dict(labels)}" if labels else name for name, labels in must], "expectation of", "alert"
    )
    for number, refused in enumerate(alerts.must_not_fire):
        spot = place.at("must_not_fire", number)
        if refused.within is not None or refused.resolves:
            word = "within" if refused.within is not None else "resolves"
            spot.at(word).report(f"{word} for an alert that must not fire", "alert and labels", key=True)
        for name, labels in must:
            if name == refused.alert and set(refused.labels.items()) <= set(labels):
                spot.at("alert").report(f"{name} must fire and must not fire", "one of them")


def _check_playbooks(context: Context, place: Place, drill: Drill, inventory: Inventory | None) -> None:
    playbooks = drill.expect.playbooks
    must = [one.playbook for one in playbooks.must_fire]
    place.at("must_fire").unique(must, "expectation of playbook", "playbook")
    for number, expectation in enumerate(playbooks.must_fire):
        spot = place.at("must_fire", number)
        if not context.known(spot.at("playbook"), "Playbook", expectation.playbook):
            continue
        for index, earlier in enumerate(expectation.after):
            if earlier == expectation.playbook or earlier not in must:
                spot.at("after", index).report(
                    f"{expectation.playbook} after {earlier}", f"a playbook that must fire: {listed(must)}",
                    nearest(earlier, [name for name in must if name != expectation.playbook]),
                )  # fmt: skip
        playbook = context.catalogue.playbooks.get(expectation.playbook)
        if playbook is not None:
            _check_target(spot, drill, playbook, expectation.target, inventory)
            _check_trigger(spot.at("playbook"), drill, playbook)
            check_observed(spot, expectation, playbook, context.environment_of(drill))
    for number, name in enumerate(playbooks.must_not_fire):
        spot = place.at("must_not_fire", number)
        if context.known(spot, "Playbook", name) and name in must:
            spot.report(f"{name} must fire and must not fire", "one of them")
    for start in must:
        if _comes_after_itself(start, {one.playbook: one.after for one in playbooks.must_fire}):
            place.at("must_fire", must.index(start), "after").report(
                f"{start} after itself", "an order without a circle"
            )
            break


def _comes_after_itself(start: str, after: dict[str, tuple[str, ...]]) -> bool:
    seen: set[str] = set()
    waiting = [name for name in after[start] if name != start]
    while waiting:
        name = waiting.pop()
        if name == start:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(after.get(name, ()))
    return False


def _check_target(
    place: Place, drill: Drill, playbook: Playbook, target: str | None, inventory: Inventory | None
) -> None:
    word = str(fill(target, drill.variables))
    if target is None or inventory is None or "${" in word or playbook.target_kind == "service":
        return
    place.at("target").known(word, playbook.target_kind, inventory.of_kind(playbook.target_kind))


def _check_trigger(place: Place, drill: Drill, playbook: Playbook) -> None:
    """A playbook cannot fire when the alert that starts it must not."""
    for refused in drill.expect.alerts.must_not_fire:
        if refused.alert == playbook.match.alert and not refused.labels:
            place.report(
                f"{playbook.metadata.name} must fire, but its alert {refused.alert} must not", "both, or neither"
            )
