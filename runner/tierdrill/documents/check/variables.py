"""Variables that another document sets for a run of a drill: known ones, and only to what the drill could be itself."""

from collections.abc import Mapping
from dataclasses import replace

from tierdrill.documents.check.absences import check_absences
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.drills import check_drills
from tierdrill.documents.check.experiments import check_experiments
from tierdrill.documents.models.drill import Drill, Scalar
from tierdrill.documents.problems import Problem, parted
from tierdrill.documents.reading.reading_state import Place, Reading
from tierdrill.documents.variables import with_variables, wrong_value


def check_overrides(context: Context, place: Place, drill: Drill, variables: Mapping[str, Scalar]) -> None:
    """Reports each value at its place; what it would make wrong in the drill is told in the drill's own words."""
    good = True
    for name, value in variables.items():
        if wrong := wrong_value(drill, name, value):
            found, allowed = parted(wrong)
            place.at(name).report(found, allowed, key=name not in drill.variables)
            good = False
    if good and variables:
        # Which of several values is to blame, the words say; of one, the place can.
        spot = place.at(*variables) if len(variables) == 1 else place
        for found, allowed, hint in override_problems(context, drill, variables):
            spot.report(found, allowed, hint, key=len(variables) > 1)


def override_problems(context: Context, drill: Drill, variables: Mapping[str, Scalar]) -> list[tuple[str, str, str]]:
    """What is wrong with the drill once its variables are set so, and was not before: (found, allowed, hint)."""
    words = ", ".join(f"{name}: {value}" for name, value in variables.items())
    return [
        (f"{drill.metadata.name} with {words}: {one.found}", one.allowed, one.hint)
        for one in new_problems(context, drill, with_variables(drill, variables))
    ]


def new_problems(context: Context, drill: Drill, changed: Drill) -> list[Problem]:
    """The problems that the changed drill has and the drill has not; their places are of the drill's own file."""
    before = {(one.found, one.allowed) for one in _problems(context, drill)}
    return [one for one in _problems(context, changed) if (one.found, one.allowed) not in before]


def _problems(context: Context, drill: Drill) -> list[Problem]:
    """Every problem of this one drill and of its experiment."""
    whole = context.reading
    experiments = {name: one for name, one in whole.catalogue.experiments.items() if name == drill.experiment}
    catalogue = replace(whole.catalogue, drills={drill.metadata.name: drill}, experiments=experiments)
    alone = Reading(catalogue, whole.sources, whole.names, whole.suspects, [])
    part = replace(context, reading=alone)
    check_experiments(part)
    check_drills(part)
    check_absences(part)
    return sorted(set(alone.problems))
