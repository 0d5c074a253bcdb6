"""What documents ask for that the target of their environment does not have, each told where it is asked for."""

from collections.abc import Iterable
from functools import partial

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.reading.fault_actions import calls
from tierdrill.documents.reading.reading_state import Place
from tierdrill.remedies.known_remedies import of_gpu


def check_absences(context: Context) -> None:
    """What drills and scenarios need of their environments."""
    for name, drill in context.catalogue.drills.items():
        if (there := context.environment_of(drill)) is not None:
            _check_drill(context, context.reading.place("Drill", name), drill, there)
    for name, scenario in context.catalogue.scenarios.items():
        if (there := context.catalogue.environments.get(scenario.environment)) is not None:
            place = context.reading.place("Scenario", name).at("environment")
            _report(context, there, "use", [("exercise", place)])


def _check_drill(context: Context, place: Place, drill: Drill, environment: Environment) -> None:
    report = partial(_report, context, environment)
    experiment = context.catalogue.experiments.get(drill.experiment)
    if experiment is not None:
        used = dict.fromkeys(call.fault.kind for call in calls(experiment.content) if call.section == "method")
        report("fault", [(kind, place.at("experiment")) for kind in used])
    for number, expectation in enumerate(drill.expect.playbooks.must_fire):
        playbook = context.catalogue.playbooks.get(expectation.playbook)
        spot = place.at("expect", "playbooks", "must_fire", number, "playbook")
        if playbook is not None and playbook.engine == "tierdrill":
            report("remedy", [(step.do, spot) for step in playbook.steps])
            report("remedy", [(of_gpu(step.do), spot) for step in playbook.steps if "gpu" in step.arguments])
    for number, sabotage in enumerate(drill.sabotages):
        spot = place.at("sabotages", number, "do")
        report("sabotage", [(field, spot.at(field)) for field in sabotage.do.model_fields_set])


def _report(context: Context, environment: Environment, what: str, asked: Iterable[tuple[str, Place]]) -> None:
    absent = context.absent(environment).get(what, {})
    for name, place in asked:
        if name in absent:
            place.report(f"{what} {name} in environment {environment.metadata.name}", absent[name])
