"""Staged rollouts: what each stage puts in the place of its entry's drill, environment, variables and reach."""

from __future__ import annotations

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.experiments import check_use
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.staged_rollout import Reach, Rollout, Stage
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.overrides import narrowed, with_variables
from tierdrill.documents.problems import listed, nearest, shown
from tierdrill.documents.reading.reading_state import Place

REACHES = ("nodes", "gpus", "replicas", "links")


def check_rollout(context: Context, place: Place, rollout: Rollout, drill: str | None, environment: str | None) -> None:
    """The rollout at this place, of an entry that runs `drill` in `environment` (the drill's own where None).

    `drill` is None for an entry of several drills: its stages can then only change the environment, the variant and the
    reach.
    """
    stages = place.at("stages")
    stages.unique([stage.name for stage in rollout.stages], "stage", "name")
    if rollout.stale_after <= 0:
        place.at("stale_after").report(f"stale_after {show_duration(rollout.stale_after)}", "a time above 0")
    for number, stage in enumerate(rollout.stages):
        spot = stages.at(number)
        known = True
        if stage.drill is not None:
            known = context.known(spot.at("drill"), "Drill", stage.drill)
        if stage.environment is not None:
            known = context.known(spot.at("environment"), "Environment", stage.environment) and known
        if number and _same(stage, rollout.stages[number - 1]):
            spot.at("name").report(
                f"stage {stage.name} does what {rollout.stages[number - 1].name} does",
                "another drill, environment, variant, variables or reach",
            )
        if known:
            _check_stage(context, spot, stage, stage.drill or drill, stage.environment or environment)


def _same(one: Stage, other: Stage) -> bool:
    alike = {"name": "x", "clean_runs": 1}
    return one.model_copy(update=alike) == other.model_copy(update=alike)


def _check_stage(context: Context, place: Place, stage: Stage, name: str | None, environment_name: str | None) -> None:
    drill = context.catalogue.drills.get(name) if name is not None else None
    if name is None and stage.variables:
        place.at("variables").report(
            "variables of a stage without a drill", "a stage of an entry of several drills names its drill", key=True
        )
    environment = None
    if environment_name is not None:
        environment = context.catalogue.environments.get(environment_name)
    elif drill is not None:
        environment = context.environment_of(drill)
    _check_reach(place.at("reach"), stage.reach, environment)
    if drill is None:
        return
    if stage.variant == "blip" and drill.blip is None:
        place.at("variant").report(f"drill {name} has no blip twin", "variant: drill", "drill")
    unknown = [word for word in stage.variables if word not in drill.variables]
    for word in unknown:
        place.at("variables", word).report(
            f"drill {name} has no variable {shown(word)}",
            f"its variables: {listed(sorted(drill.variables))}",
            nearest(word, drill.variables),
            key=True,
        )
    if environment is not None and not unknown:
        # What is wrong with the drill itself is told at the drill.
        own = Place(place.source, [], place.path)
        check_use(context, own, drill, context.environment_of(drill))
        known = {(problem.found, problem.allowed) for problem in own.problems}
        here = Place(place.source, [], place.path)
        check_use(context, here, with_variables(drill, stage.variables), narrowed(environment, stage.reach))
        place.problems.extend(one for one in here.problems if (one.found, one.allowed) not in known)


def _check_reach(place: Place, reach: Reach, environment: Environment | None) -> None:
    for kind in REACHES:
        asked = getattr(reach, kind)
        allowed = getattr(environment.blast_radius, kind) if environment is not None else None
        if asked is not None and allowed is not None and environment is not None and asked > allowed:
            place.at(kind).report(
                f"a reach of {asked} {kind}",
                f"at most {allowed}, as environment {environment.metadata.name} allows (blast_radius.{kind})",
            )

