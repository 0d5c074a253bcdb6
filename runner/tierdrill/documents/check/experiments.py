"""Experiments by themselves, and together with the drills that use them: variables, targets, blast radius, proofs."""

from collections.abc import Mapping
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.experiment_structure import activity_names, check_experiment, check_undoing, probe_names
from tierdrill.documents.check.fault_arguments import check_bounds, check_names
from tierdrill.documents.environment_inventory import violations
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import shown
from tierdrill.documents.reading import chaoslib_check as chaoslibcheck
from tierdrill.documents.reading.fault_actions import Call, calls
from tierdrill.documents.reading.reading_state import EXPERIMENT, Place, Reading
from tierdrill.documents.reading.stock_experiments import is_foreign
from tierdrill.documents.variables import experiment_values, filled_calls, references
from tierdrill.faults.known_kinds import ACTIONS
from tierdrill.text import listed

# Set by the conductor from the drill's phases.
GIVEN_BY_RUN = ("fault_seconds",)


def check_experiments(context: Context, *, unused: bool = True) -> None:
    """Every experiment, and every drill's use of one; without `unused`, no foreign one that no drill uses."""
    foreign: list[Place] = []
    for name, one in context.catalogue.experiments.items():
        users = [drill for drill in context.catalogue.drills.values() if drill.experiment == name]
        proven = [{proof.activity for proof in drill.proofs} for drill in users]
        place = context.reading.place(EXPERIMENT, name)
        ours = not is_foreign(one.content)
        if ours:
            check_experiment(place)
        elif users or unused:
            foreign.append(place)
        check_undoing(place if ours or users else place.lenient(), set.intersection(*proven) if proven else set())
    _check_foreign(foreign)
    for name, drill in context.catalogue.drills.items():
        place = context.reading.place("Drill", name)
        if not context.known(place.at("experiment"), EXPERIMENT, drill.experiment):
            continue
        experiment = context.catalogue.experiments.get(drill.experiment)
        if experiment is None:
            continue
        content = experiment.content
        _check_variables(place, drill, content)
        _check_proofs(place.at("proofs"), drill, content)
        if not _breaks_something(content):
            place.at("experiment").report(f"experiment {drill.experiment} breaks nothing", "its method has a fault")
        _check_lasts(place.at("experiment"), drill.experiment, content)
        check_use(context, place, drill, context.environment_of(drill))


def _check_foreign(places: list[Place]) -> None:
    """Of somebody else's experiment Chaos Toolkit's own check decides; where ours is stricter, that is a warning."""
    answers = chaoslibcheck.ask([place.written() for place in places]) if places else []
    for place, answer in zip(places, answers, strict=True):
        check_experiment(place.lenient() if answer.asked else place, foreign=True)
        if not answer.asked:
            place.report(f"Chaos Toolkit's own check could not be asked: {answer.refused}", "what it takes")
        elif answer.refused is not None:
            spot, written = _where_refused(place, answer.refused), answer.refused.rstrip(". ")
            spot.report(f"Chaos Toolkit refuses it: {written}", "what `chaos validate` takes")
        for path, what in answer.missing:
            place.at(*path).warn(what, "a drill that uses it needs it (PYTHONPATH and PATH count)")


def _where_refused(place: Place, words: str) -> Place:
    """The activity that the words name, or the whole experiment."""
    content = place.written()
    hypothesis = content.get("steady-state-hypothesis")
    sections: list[tuple[tuple[str, ...], Any]] = [(("method",), content.get("method"))]
    sections.append((("rollbacks",), content.get("rollbacks")))
    if isinstance(hypothesis, dict):
        sections.append((("steady-state-hypothesis", "probes"), hypothesis.get("probes")))
    for path, activities in sections:
        for number, one in enumerate(activities if isinstance(activities, list) else ()):
            if isinstance(one, dict) and one.get("name") and f"'{one['name']}'" in words:
                return place.at(*path, number)
    return place


def excuse_unused_experiments(reading: Reading) -> None:
    """What is wrong with an experiment that no drill uses is told, and keeps nobody from anything."""
    used = {drill.experiment for drill in reading.catalogue.drills.values()}
    unused = {path for path, name in reading.experiments.items() if name not in used}
    reading.catalogue.excused.extend(one for one in reading.problems if one.path in unused)
    reading.problems[:] = [one for one in reading.problems if one.path not in unused]


def _breaks_something(content: Mapping[str, Any]) -> bool:
    """Whether the method has an action that is more than the undo of a fault of ours; not if it cannot be told."""
    method = content.get("method")
    undos = {call.index for call in calls(content) if call.section == "method" and call.func not in ACTIONS}
    return not isinstance(method, list) or any(
        not isinstance(one, dict) or (one.get("type") != "probe" and number not in undos)
        for number, one in enumerate(method)
    )


def _check_lasts(place: Place, name: str, content: Mapping[str, Any]) -> None:
    """One of our faults as the last thing of the method, without a pause, is undone as soon as it is there."""
    method = content.get("method")
    last = method[-1] if isinstance(method, list) and method else None
    used = [call for call in calls(content) if call.section == "method" and call.func in ACTIONS]
    if not isinstance(last, dict) or not used or used[-1].index != len(method or ()) - 1:
        return
    pauses = last.get("pauses")
    if "ref" not in last and not (isinstance(pauses, dict) and pauses.get("after")):
        place.report(
            f"experiment {name} undoes {used[-1].func} at once",
            "a pause follows it: pauses: {after: ${fault_seconds}}, which the run sets from phases.fault",
        )


def check_use(context: Context, place: Place, drill: Drill, environment: Environment | None) -> None:
    """What a drill with these variables breaks in this environment: is it there, not too much, and not protected?

    `place` has the `variables` that are at fault: the drill's own, or those that a calendar lays over them.
    """
    experiment = context.catalogue.experiments.get(drill.experiment)
    inventory = context.inventory_of(environment, drill.load)
    if experiment is None or environment is None:
        return
    values = experiment_values(experiment.content, drill.variables)
    used = filled_calls(experiment.content, values)
    for call, written in zip(used, calls(experiment.content), strict=True):
        if call.section != "method":
            continue

        def at(name: str, call: Call = call) -> Place:
            return _where(place, drill, call, (name,))

        if inventory is not None and "" not in call.words:
            check_names(call.fault, call.arguments, inventory, at)
        # What is written in the experiment itself is told there.
        filled = {name: one for name, one in call.arguments.items() if "${" in str(written.arguments[name])}
        check_bounds(call.fault, filled, at)
    for call, problem in violations(used, environment, inventory):
        _where(place, drill, call, call.fault.identity).report(problem.found, problem.allowed)


def _check_variables(place: Place, drill: Drill, content: Mapping[str, Any]) -> None:
    configuration = content.get("configuration")
    known = set(configuration) if isinstance(configuration, dict) else set()
    mentioned = references({name: place.at(name).written() for name in ("expect", "sabotages", "guardrails", "proofs")})
    for name in drill.variables:
        spot = place.at("variables", name)
        if name in GIVEN_BY_RUN:
            spot.report(f"variable {name}", "the run sets it from phases.fault", "phases: {fault: ...}", key=True)
        elif name not in known and name not in mentioned:
            free = known - set(drill.variables) - set(GIVEN_BY_RUN)
            spot.report(
                f"variable {shown(name)} is used nowhere",
                f"experiment {drill.experiment} has {listed(sorted(known))}",
                nearest(name, free),
                key=True,
            )


def _check_proofs(place: Place, drill: Drill, content: dict[str, Any]) -> None:
    activities, probes = activity_names(content), probe_names(content)
    for number, proof in enumerate(drill.proofs):
        spot = place.at(number)
        spot.at("activity").known(proof.activity, f"activity in the method of {drill.experiment}", activities)
        spot.at("landed").known(proof.landed, f"probe in {drill.experiment}", probes)
        spot.at("gone").known(proof.gone, f"probe in {drill.experiment}", probes)
        shortest = min(drill.phases.fault, drill.phases.recovery)
        if not 0 < proof.within <= shortest:
            spot.at("within").report(
                f"a proof within {show_duration(proof.within)}",
                f"above 0 and within the fault and the recovery phase, {show_duration(shortest)}",
            )


def _where(place: Place, drill: Drill, call: Call, names: tuple[str, ...]) -> Place:
    """The drill's variable that sets one of the call's arguments, or else the name of the experiment."""
    written = call.arguments
    for name in names:
        if name in drill.variables and str(drill.variables[name]) == str(written.get(name)):
            return place.at("variables", name)
    return place.at("experiment")
