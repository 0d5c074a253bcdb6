"""Checks of GameDay documents: what they refer to, and whether they make sense."""

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.sabotages import check_ids, names_a_check
from tierdrill.documents.check.variables import check_overrides, new_problems
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.gameday import GameDay, Step
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.variables import fill, with_guardrails, with_variables, wrong_value
from tierdrill.text import listed


def check_gamedays(context: Context) -> None:
    for name, gameday in context.catalogue.gamedays.items():
        place = context.reading.place("GameDay", name)
        context.known(place.at("environment"), "Environment", gameday.environment)
        _check_people(place, gameday)
        _check_communications(place.at("communications"), gameday)
        place.at("steps").unique([step.title for step in gameday.steps], "step")
        for number, step in enumerate(gameday.steps):
            _check_step(context, place.at("steps", number), gameday, step)
        last = len(gameday.steps) - 1
        if gameday.steps[last].pause is not None:
            place.at("steps", last, "pause").report(
                "a pause after the last step", "a pause stands between two steps", key=True
            )
        _check_abort(context, place.at("abort"), gameday)
        if gameday.extend_by <= 0:
            place.at("extend_by").report("an extension of no time", "more than 0, such as 5m")


def _check_people(place: Place, gameday: GameDay) -> None:
    people = gameday.participants
    place.at("participants").unique([one.name for one in people], "participant", "name")
    for role in ("facilitator", "on-call"):
        if not any(one.role == role for one in people):
            roles = listed(dict.fromkeys(one.role for one in people))
            place.at("participants").report(f"nobody is {role} (only {roles})", f"somebody is {role}", key=True)


def _check_communications(place: Place, gameday: GameDay) -> None:
    for number, one in enumerate(gameday.communications):
        if one.when == "ahead" and one.ahead is None:
            place.at(number).report("when: ahead without a time", "ahead says how long before, such as ahead: 1d")
        if one.when != "ahead" and one.ahead is not None:
            place.at(number, "ahead").report(f"ahead with when: {one.when}", "only when: ahead has it", key=True)


def _check_step(context: Context, place: Place, gameday: GameDay, step: Step) -> None:
    known = context.known(place.at("drill"), "Drill", step.drill)
    drill = context.catalogue.drills.get(step.drill)
    if not known or drill is None:
        return
    if drill.environment != gameday.environment and gameday.environment in context.reading.named("Environment"):
        place.at("drill").report(
            f"{step.drill} runs in environment {drill.environment}",
            f"drills of this game day's environment, {gameday.environment}",
        )
    _check_variant(place.at("variant"), drill, step.variant)
    check_overrides(context, place.at("variables"), drill, step.variables)
    if not any(wrong_value(drill, name, value) for name, value in step.variables.items()):
        _check_hypotheses(context, place.at("hypotheses"), with_variables(drill, step.variables), step)


def _check_variant(place: Place, drill: Drill, variant: str) -> None:
    allowed = ["drill", *(["blip"] if drill.blip is not None else [])]
    allowed += [f"sabotage:{sabotage.name}" for sabotage in drill.sabotages]
    if variant not in allowed:
        place.report(
            f"{drill.metadata.name} has no variant {shown(variant)}", f"its variants: {listed(allowed)}",
            nearest(variant, allowed),
        )  # fmt: skip


def _check_hypotheses(context: Context, place: Place, drill: Drill, step: Step) -> None:
    place.unique([one.words for one in step.hypotheses], "hypothesis", "words")
    if step.variant == "blip" or context.tiers_of(context.environment_of(drill)) is None:
        # A blip twin is judged by silence alone, on checks that its drill does not have.
        return
    ids = sorted(set(check_ids(context, drill)))
    for number, hypothesis in enumerate(step.hypotheses):
        for index, pattern in enumerate(hypothesis.checks):
            if not names_a_check(str(fill(pattern, drill.variables)), ids):
                group = [one for one in ids if one.split("/")[0] == pattern.split("/")[0]]
                place.at(number, "checks", index).report(
                    f"no check of {step.drill} is named {shown(pattern)}",
                    f"its checks: {listed(group or ids, 12)}",
                    nearest(pattern, ids),
                )


def _check_abort(context: Context, place: Place, gameday: GameDay) -> None:
    """A guardrail of the game day is one of every run: what makes no sense in a drill makes none here."""
    for number, criterion in enumerate(gameday.abort):
        if criterion.guardrail is None:
            continue
        spot = place.at(number, "guardrail")
        tiers = context.tiers_of(context.catalogue.environments.get(gameday.environment))
        if tiers is None or not spot.at("tier").known(criterion.guardrail.tier, "tier", [t.name for t in tiers.tiers]):
            continue
        for name in dict.fromkeys(step.drill for step in gameday.steps):
            drill = context.catalogue.drills.get(name)
            for one in new_problems(context, drill, with_guardrails(drill, [criterion.guardrail])) if drill else ():
                spot.report(f"in {name}: {one.found}", one.allowed, one.hint)
