"""Sabotages: exactly one thing taken away, and checks named that the verdict will really have."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.loads import PROMISES
from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.models.drill import Drill, Sabotage, SabotageAction
from tierdrill.documents.models.protections import FLAGS
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.variables import fill
from tierdrill.remedies.known_remedies import IN_PLAYBOOKS, REMEDIES
from tierdrill.remedies.remedy import TARGETS
from tierdrill.text import listed

ACTIONS = (
    "disable_playbook",
    "silence_alert",
    "retarget_playbook",
    "flags_off",
    "break_remedy",
    "freeze_exporter",
    "pager_down",
)
# Checks of the run and of the load are the judge's own; any aspect may be named.
OPEN_GROUPS = ("run", "load", "experiment", "fault")


def check_sabotages(context: Context, place: Place, drill: Drill, inventory: Inventory | None) -> None:
    place.unique([sabotage.name for sabotage in drill.sabotages], "sabotage", "name")
    ids = sorted(set(check_ids(context, drill)))
    judged = context.tiers_of(context.environment_of(drill)) is not None
    for number, sabotage in enumerate(drill.sabotages):
        spot = place.at(number)
        _check_action(context, spot.at("do"), sabotage, drill, inventory)
        for index, pattern in enumerate(sabotage.fails):
            if not judged and pattern.startswith("slo/"):
                continue
            if not names_a_check(str(fill(pattern, drill.variables)), ids):
                group = [one for one in ids if one.split("/")[0] == pattern.split("/")[0]]
                spot.at("fails", index).report(
                    f"no check of this drill is named {shown(pattern)}",
                    f"its checks: {listed(group or ids, 12)}",
                    nearest(pattern, ids),
                )


def check_proves(context: Context, place: Place, drill: Drill) -> None:
    """What a drill says it proves: protections that there are, and playbooks that must run in it."""
    proves = drill.proves or ()
    place.unique([*proves], "part")
    due = [one.playbook for one in drill.expect.playbooks.must_fire]
    environment = context.environment_of(drill)
    has = FLAGS if environment is None else environment.lab.protections
    for number, part in enumerate(proves):
        if part in context.reading.named("Playbook") and part not in due:
            place.at(number).report(f"playbook {part} need not run here", f"one that must fire: {listed(due)}")
        else:
            place.at(number).known(part, "protection or playbook", [*has, *due])


def _check_action(
    context: Context, place: Place, sabotage: Sabotage, drill: Drill, inventory: Inventory | None
) -> None:
    do = sabotage.do
    given = [name for name in ACTIONS if getattr(do, name)]
    if len(given) != 1:
        found = f"{listed(given)} together" if given else "a sabotage that does nothing"
        place.report(found, f"exactly one of {listed(ACTIONS)}", key=True)
    _check_broken_remedy(context, place, do, drill, inventory)
    if do.pager_down and not any(one.escalation for one in drill.expect.playbooks.must_fire):
        place.at("pager_down").report(
            "nobody is called in this drill", "a playbook that must call for help: escalation"
        )
    if do.freeze_exporter is not None and inventory is not None:
        node = str(fill(do.freeze_exporter, drill.variables))
        place.at("freeze_exporter").known(node, "node", inventory.of_kind("node"))
    for name in ("disable_playbook", "retarget_playbook"):
        if getattr(do, name) is not None:
            context.known(place.at(name), "Playbook", getattr(do, name))
            playbook = context.catalogue.playbooks.get(getattr(do, name))
            if playbook is None or not playbook.observed:
                continue
            if name == "retarget_playbook":
                place.at(name).report(f"{name} of {playbook.metadata.name}", "a playbook that is not only observed")
            elif playbook.external is None or not playbook.external.opt_out:
                place.at(name).report(
                    f"{name} of {playbook.metadata.name}, which is only observed",
                    "external.opt_out in its document: the labels by which its tool leaves a node alone",
                )
    if do.retarget_playbook is not None:
        _check_retarget(context, place, do.retarget_playbook, do.to, drill, inventory)
    if do.silence_alert is not None:
        _check_silence(context, place.at("silence_alert"), do.silence_alert, drill)
    environment = context.environment_of(drill)
    if environment is not None and environment.target == "lab":
        for number, flag in enumerate(do.flags_off):
            place.at("flags_off", number).known(flag, "flag", environment.lab.protections)


def _check_broken_remedy(
    context: Context, place: Place, do: SabotageAction, drill: Drill, inventory: Inventory | None
) -> None:
    astray = do.break_remedy is not None and do.how == "wrong-target"
    if do.to is not None and do.retarget_playbook is None and not astray:
        place.at("to").report(
            "to without a wrong target", "retarget_playbook has it, and how: wrong-target with break_remedy", key=True
        )
    if "late_by" in do.model_fields_set and (do.how != "late" or do.late_by <= 0):
        place.at("late_by").report("late_by", "a time above 0, with how: late", key=do.how != "late")
    if do.break_remedy is None:
        if do.how is not None:
            place.at("how").report("how without break_remedy", "it says how a remedy is broken", key=True)
        return
    if do.how is None:
        place.report("break_remedy without how", "nothing, half, twice, late or wrong-target", key=True)
        return
    remedy = REMEDIES[do.break_remedy]
    target = TARGETS[remedy.target].astray
    if (do.how == "half" and not remedy.halves) or (do.how == "twice" and not remedy.repeats):
        able = [name for name in IN_PLAYBOOKS if getattr(REMEDIES[name], "halves" if do.how == "half" else "repeats")]
        place.at("how").report(f"{do.how} with {do.break_remedy}", f"{do.how} is something else with {listed(able)}")
    if astray and not target:
        place.at("how").report(f"wrong-target with {do.break_remedy}", "a remedy that has a target")
    elif astray and do.to is None:
        place.report("how: wrong-target without to", "to names the wrong target", key=True)
    elif astray and inventory is not None:
        place.at("to").known(str(fill(do.to, drill.variables)), target, inventory.of_kind(target))
    names = [one.playbook for one in drill.expect.playbooks.must_fire]
    used = {
        step.do for name in names if (one := context.catalogue.playbooks.get(name)) is not None for step in one.steps
    }
    if used and do.break_remedy not in used:
        place.at("break_remedy").report(
            f"no playbook that must run here does {do.break_remedy}", f"they do {listed(sorted(used))}"
        )


def _check_retarget(
    context: Context, place: Place, name: str, to: str | None, drill: Drill, inventory: Inventory | None
) -> None:
    if to is None:
        place.report("retarget_playbook without to", "to names the wrong target", key=True)
        return
    target = str(fill(to, drill.variables))
    right = [fill(one.target, drill.variables) for one in drill.expect.playbooks.must_fire if one.playbook == name]
    if target in right:
        place.at("to").report(f"{target} is the right target of {name}", "a wrong one")
        return
    playbook = context.catalogue.playbooks.get(name)
    if playbook is not None and inventory is not None and playbook.target_kind != "service" and "${" not in target:
        place.at("to").known(target, playbook.target_kind, inventory.of_kind(playbook.target_kind))


def _check_silence(context: Context, place: Place, alert: str, drill: Drill) -> None:
    context.known_alert(place, alert, context.environment_of(drill))
    expected = {one.alert for one in drill.expect.alerts.must_fire}
    for one in drill.expect.playbooks.must_fire:
        if (playbook := context.catalogue.playbooks.get(one.playbook)) is not None:
            expected.add(playbook.match.alert)
    if alert not in expected and (context.alerts is None or alert in context.alerts):
        place.report(
            f"alert {alert} is not expected here",
            f"one that must fire: {listed(sorted(expected))}",
            nearest(alert, expected),
        )


def names_a_check(pattern: str, ids: list[str]) -> bool:
    """Whether a pattern names one of these checks, or one of a group whose checks are the judge's own."""
    parts = pattern.split("/")
    if parts[0] in OPEN_GROUPS and len(parts) in (2, 3) and all(parts):
        return True
    return any(len(parts) == len(one.split("/")) and all(map(fnmatchcase, one.split("/"), parts)) for one in ids)


def check_ids(context: Context, drill: Drill) -> Iterator[str]:
    """The ids of the checks that a verdict on this drill can have, but for those of the run, the load and the fault."""
    yield "class/failure"
    yield from (f"invariant/{name}" for name in drill.expect.invariants.check)
    tiers = context.tiers_of(context.environment_of(drill))
    objectives = {tier.name: tier.objectives for tier in tiers.tiers} if tiers else {}
    for expectation in drill.expect.tiers:
        promised = objectives.get(expectation.tier)
        if promised is None:
            continue
        # Judged whatever objectives are named: an answer of another model, say, is not what was asked for.
        always = ("fault-phase", "fault-phase-times", "worst-window", "fallback", "retries")
        yield from (f"slo/{expectation.tier}/{name}" for name in always)
        for name in expectation.objectives or PROMISES:
            value = getattr(promised, name)
            if isinstance(value, dict):
                yield from (f"slo/{expectation.tier}/{name}-{quantile}" for quantile in value)
            elif value is not None:
                yield f"slo/{expectation.tier}/{name}"
    for one in drill.expect.alerts.must_fire:
        yield from (f"alert/{one.alert}/{aspect}" for aspect in ("fired", *(("resolved",) if one.resolves else ())))
    if drill.expect.alerts.others != "allowed":
        yield from (f"alert/{one.alert}/elsewhere" for one in drill.expect.alerts.must_fire)
    silent = {one.alert for one in drill.expect.alerts.must_not_fire}
    if drill.expect.alerts.others != "allowed" and context.alerts is not None:
        silent |= set(context.alerts) - {one.alert for one in drill.expect.alerts.must_fire}
    yield from (f"alert/{name}/silent" for name in silent)
    for fired in drill.expect.playbooks.must_fire:
        aspects = ["fired", "cause", "count", "effect", "escalation"]
        aspects += ["attempts"] if fired.escalation is None else []
        aspects += ["target"] if fired.target is not None else []
        aspects += ["deadline"] if fired.within is not None and fired.escalation is None else []
        aspects += ["order"] if fired.after else []
        playbook = context.catalogue.playbooks.get(fired.playbook)
        aspects += ["given-back"] if playbook is not None and playbook.observed else []
        yield from (f"playbook/{fired.playbook}/{aspect}" for aspect in aspects)
    quiet = set(drill.expect.playbooks.must_not_fire)
    if drill.expect.playbooks.others == "forbidden":
        quiet |= context.reading.named("Playbook") - {one.playbook for one in drill.expect.playbooks.must_fire}
    yield from (f"playbook/{name}/silent" for name in quiet)
