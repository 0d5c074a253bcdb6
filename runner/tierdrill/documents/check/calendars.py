"""Staged rollouts: what each stage puts in the place of its entry's drill, environment, variables and reach."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.calendar_times import check_rules, check_slots, known_zone
from tierdrill.documents.check.channels import check_channels, check_notify
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.collisions import check_collisions
from tierdrill.documents.check.experiments import check_use
from tierdrill.documents.check.variables import check_overrides, new_problems
from tierdrill.documents.models.calendar import Calendar, CalendarEntry
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.staged_rollout import Reach, Rollout, Stage
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.timetable import Timetable, timetable_of, trigger_of
from tierdrill.documents.variables import narrowed, with_variables
from tierdrill.text import listed


def check_rollout(
    context: Context, place: Place, rollout: Rollout, drills: Sequence[str], environment: str | None
) -> None:
    """The rollout at this place, of an entry that runs `drills` in `environment` (each drill's own where None).

    Stages of several drills can only change the environment, the variant and the reach.
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
            named = (stage.drill,) if stage.drill is not None else drills
            _check_stage(context, spot, stage, named, stage.environment or environment)


def _same(one: Stage, other: Stage) -> bool:
    alike = {"name": "x", "clean_runs": 1}
    return one.model_copy(update=alike) == other.model_copy(update=alike)


def _check_stage(
    context: Context, place: Place, stage: Stage, names: Sequence[str], environment_name: str | None
) -> None:
    drills = {name: context.catalogue.drills[name] for name in names if name in context.catalogue.drills}
    for name, one in drills.items():
        if stage.variant == "blip" and one.blip is None:
            place.at("variant").report(f"drill {name} has no blip twin", "variant: drill", "drill")
    drill = next(iter(drills.values())) if len(names) == len(drills) == 1 else None
    if len(names) > 1 and stage.variables:
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
    unknown = [word for word in stage.variables if word not in drill.variables]
    for word in unknown:
        place.at("variables", word).report(
            f"drill {drill.metadata.name} has no variable {shown(word)}",
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
    for kind in Reach.model_fields:
        asked = getattr(reach, kind)
        allowed = getattr(environment.blast_radius, kind) if environment is not None else None
        if asked is not None and allowed is not None and environment is not None and asked > allowed:
            place.at(kind).report(
                f"a reach of {asked} {kind}",
                f"at most {allowed}, as environment {environment.metadata.name} allows (blast_radius.{kind})",
            )


EVERY_MAX_S = 366 * 86400.0
WAIT_MAX_S = 31 * 86400.0


def check_calendars(context: Context, now: datetime | None = None) -> None:
    """Every Calendar document, and all of them together, from now on."""
    now = (now or datetime.now(UTC)).astimezone(UTC)
    ready: list[Timetable] = []
    for name, calendar in context.catalogue.calendars.items():
        place = context.reading.place("Calendar", name)
        _check_references(context, place, calendar)
        timely = check_rules(context, place, calendar)
        for number, entry in enumerate(calendar.entries):
            spot = place.at("entries", number)
            _check_work(context, spot, calendar, entry)
            timely = _check_trigger(spot, calendar, entry) and timely
        place.at("entries").unique([entry.name for entry in calendar.entries], "entry", "name")
        if timely:
            timetable = timetable_of(calendar, context.catalogue.paths["Calendar", name])
            check_slots(place, timetable, now)
            ready.append(timetable)
    check_collisions(context, ready, now)


def _check_references(context: Context, place: Place, calendar: Calendar) -> None:
    if calendar.environment is not None:
        context.known(place.at("environment"), "Environment", calendar.environment)
    for suite, drills in calendar.suites.items():
        for number, drill in enumerate(drills):
            context.known(place.at("suites", suite, number), "Drill", drill)
    owners = {calendar.owner_of(entry) for entry in calendar.entries} - {""}
    check_channels(place.at("channels"), calendar.channels, owners)
    check_notify(place.at("notify"), calendar.notify, calendar.channels)
    for number, entry in enumerate(calendar.entries):
        check_notify(place.at("entries", number, "notify"), entry.notify, calendar.channels)


def _check_work(context: Context, place: Place, calendar: Calendar, entry: CalendarEntry) -> None:
    """What an entry runs, where, and with which variables."""
    if (entry.drill is None) == (entry.suite is None):
        found = "drill and suite" if entry.drill is not None else "neither drill nor suite"
        place.at("suite" if entry.drill is not None else "name").report(
            f"entry {entry.name} with {found}", "one of them", key=entry.drill is not None
        )
        return
    if entry.suite is not None and not place.at("suite").known(entry.suite, "suite", calendar.suites):
        return
    if entry.drill is not None and not context.known(place.at("drill"), "Drill", entry.drill):
        return
    if entry.draw is not None or "seed" in entry.model_fields_set:
        _check_draw(place, calendar, entry)
    environment = calendar.environment_of(entry)
    if entry.environment is not None:
        context.known(place.at("environment"), "Environment", entry.environment)
    _check_variables(context, place.at("variables"), calendar, entry)
    if environment in context.catalogue.environments:
        _check_elsewhere(context, place, calendar, entry, str(environment))
    if entry.rollout is not None:
        check_rollout(context, place.at("rollout"), entry.rollout, calendar.drills_of(entry), environment)
    if entry.retry.attempts and not 0 < entry.retry.after <= WAIT_MAX_S:
        place.at("retry", "after").report(
            f"another try after {show_duration(entry.retry.after)}",
            f"a time above 0 and at most {show_duration(WAIT_MAX_S)}, such as 10m",
        )
    if not 0 < entry.misfire.grace <= WAIT_MAX_S:
        place.at("misfire", "grace").report(
            f"a grace of {show_duration(entry.misfire.grace)}",
            f"a time above 0, for no start is exact, and at most {show_duration(WAIT_MAX_S)}",
        )


def _check_draw(place: Place, calendar: Calendar, entry: CalendarEntry) -> None:
    if entry.draw is None:
        place.at("seed").report("a seed for nothing", "beside it `draw` says how many drills to draw", key=True)
    elif entry.suite is None:
        place.at("draw").report("a draw of one drill", "a suite to draw from", key=True)
    elif entry.draw > (there := len(set(calendar.suites[entry.suite]))):
        place.at("draw").report(f"got {entry.draw}", f"expected at most {there}, all drills of suite {entry.suite}")


def _check_variables(context: Context, place: Place, calendar: Calendar, entry: CalendarEntry) -> None:
    names = calendar.drills_of(entry)
    drills = [context.catalogue.drills[name] for name in names if name in context.catalogue.drills]
    if entry.drill is not None:
        for drill in drills:
            check_overrides(context, place, drill, entry.variables)
        return
    known = {name for drill in drills for name in drill.variables}
    for name in entry.variables:
        if names and len(drills) == len(names) and name not in known:
            place.at(name).report(
                f"no drill of suite {entry.suite} has a variable {shown(name)}",
                f"their variables: {listed(sorted(known))}",
                nearest(name, known),
                key=True,
            )
    for drill in drills:
        mine = {name: value for name, value in entry.variables.items() if name in drill.variables}
        check_overrides(context, place, drill, mine)


def _check_elsewhere(
    context: Context, place: Place, calendar: Calendar, entry: CalendarEntry, environment: str
) -> None:
    """A drill made for one environment must make sense in the one it is sent to."""
    spot = place.at("environment") if entry.environment is not None else place.at("drill" if entry.drill else "suite")
    for name in calendar.drills_of(entry):
        drill = context.catalogue.drills.get(name)
        if drill is None or drill.environment == environment:
            continue
        mine = with_variables(drill, {key: one for key, one in entry.variables.items() if key in drill.variables})
        for problem in new_problems(context, mine, mine.model_copy(update={"environment": environment})):
            spot.report(f"drill {name} in environment {environment}: {problem.found}", problem.allowed, problem.hint)


def _check_trigger(place: Place, calendar: Calendar, entry: CalendarEntry) -> bool:
    """Whether the entry's slots can be worked out."""
    if (entry.cron is None) == (entry.every is None):
        found = "cron and every" if entry.cron is not None else "neither cron nor every"
        place.at("every" if entry.cron is not None else "name").report(
            f"entry {entry.name} with {found}", "one of them", key=entry.cron is not None
        )
        return False
    if entry.every is not None and (not 1 <= entry.every <= EVERY_MAX_S or entry.every % 1):
        place.at("every").report(
            f"every {show_duration(entry.every)}", f"whole seconds, from 1s to {show_duration(EVERY_MAX_S)}"
        )
        return False
    if entry.anchor is not None and entry.every is None:
        place.at("anchor").report("an anchor with cron", "only every has an anchor", key=True)
    if not known_zone(place.at("timezone"), entry.timezone) or not known_zone(None, calendar.timezone):
        return False
    shortest = trigger_of(entry, calendar.timezone).shortest_s()
    if entry.jitter >= shortest:
        place.at("jitter").report(
            f"a jitter of {show_duration(entry.jitter)}",
            f"less than the time between two slots, {show_duration(shortest)}, or they would overtake each other",
        )
        return False
    return True
