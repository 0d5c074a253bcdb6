"""Checks of a Chaos Toolkit experiment by itself: its structure, and that it cannot leave its fault in place.

chaoslib's own check imports every module that an experiment names and stops at the first error (chaoslibcheck.py asks
it); what it would refuse is found here without it, with its place. Stricter than chaoslib where its leniency hides
mistakes: an unknown `${variable}`, which it passes on as text, a misspelled key, which it ignores, and text as process
arguments, which it gives to a shell. In other people's experiments that is a warning (check/experiments.py).
"""

import re
from collections.abc import Collection
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.experiment_activities import check_activity, check_configuration, check_type, misspelled
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.fault_actions import MODULE, calls
from tierdrill.documents.reading.reading_state import Place
from tierdrill.faults.known_kinds import ACTIONS
from tierdrill.text import either, listed

TOP_KEYS = (
    "version", "title", "description", "tags", "configuration", "secrets", "steady-state-hypothesis", "method",
    "rollbacks", "controls", "extensions", "runtime", "contributions",
)  # fmt: skip
ROLLBACK_STRATEGIES = ("default", "always", "never", "deviated")
TOLERANCES = ("probe", "regex", "jsonpath", "range")
# As Python's string.Template: two dollars are one that is written.
_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)(\}|\Z)")


def check_experiment(place: Place, *, foreign: bool = False) -> None:
    """Reports everything wrong with the experiment's form; of a `foreign` one not what tierdrill sees to itself."""
    content = place.written()
    misspelled(place, TOP_KEYS)
    for name in ("title", "description"):
        if name not in content:
            place.report(f"no key '{name}'", f"an experiment has a {name}", key=True)
        elif not isinstance(content[name], str) or not content[name].strip():
            place.at(name).report(f"{name}: got {shown(content[name])}", "expected text that says something")
    if "dry" in content:
        place.at("dry").report("key 'dry'", "from a file it is ignored and the experiment runs for real", key=True)
    _check_tags(place.at("tags"))
    for name in ("configuration", "secrets", "runtime"):
        check_type(place.at(name), dict)
    for name in ("rollbacks", "controls", "extensions"):
        check_type(place.at(name), list)
    if content.get("method") is None:
        place.report("no key 'method'", "an experiment has a method, a list of activities", key=True)
    check_type(place.at("method"), list)
    _check_extensions(place.at("extensions"))
    check_configuration(place.at("configuration"))
    _check_hypothesis(place.at("steady-state-hypothesis"))
    names = _names(content)
    for section in ("method", "rollbacks"):
        if isinstance(content.get(section), list):
            for number in range(len(content[section])):
                check_activity(place.at(section, number), names)
    _check_variables(place)
    _check_strategy(place, foreign=foreign)


def activity_names(content: dict[str, Any]) -> list[str]:
    return [name for name, kind in _named(content.get("method")) if kind]


def probe_names(content: dict[str, Any]) -> list[str]:
    """The names of all probes: of the method, the rollbacks, the hypothesis and the extension named tierdrill."""
    hypothesis = content.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    found = [*_named(content.get("method")), *_named(content.get("rollbacks")), *_named(probes)]
    extensions = content.get("extensions")
    for one in extensions if isinstance(extensions, list) else []:
        if isinstance(one, dict) and one.get("name") == "tierdrill":
            found += _named(one.get("probes"))
    return [name for name, kind in found if kind == "probe"]


def _named(activities: Any) -> list[tuple[str, str]]:
    if not isinstance(activities, list):
        return []
    return [
        (one["name"], str(one.get("type", "")))
        for one in activities
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]


def _names(content: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys((*activity_names(content), *probe_names(content))))


def _check_tags(place: Place) -> None:
    if check_type(place, list):
        for number, tag in enumerate(place.written()):
            if not isinstance(tag, str) or not tag:
                place.at(number).report(f"tag: got {shown(tag)}", "tags are text")


def _check_extensions(place: Place) -> None:
    extensions = place.written()
    for number, extension in enumerate(extensions if isinstance(extensions, list) else []):
        name = extension.get("name") if isinstance(extension, dict) else None
        if not isinstance(name, str) or not name.strip():
            place.at(number).report(f"got {shown(extension)}", "an extension is a mapping with a name")


def _check_hypothesis(place: Place) -> None:
    if not check_type(place, dict):
        return
    hypothesis = place.written()
    misspelled(place, ("title", "probes", "controls"))
    if not hypothesis.get("title"):
        place.report("no key 'title'", "a steady-state hypothesis has a title", key=True)
    if not check_type(place.at("probes"), list):
        return
    for number, probe in enumerate(hypothesis["probes"]):
        spot = place.at("probes", number)
        check_activity(spot, [])
        if isinstance(probe, dict) and "ref" not in probe:
            if "tolerance" not in probe:
                spot.report("no key 'tolerance'", "a probe of the hypothesis has a tolerance", key=True)
            else:
                _check_tolerance(spot.at("tolerance"))


def _check_tolerance(place: Place) -> None:
    tolerance = place.written()
    allowed = "expected a whole number, text, true or false, a list (of two: a range), or a mapping with a type"
    if isinstance(tolerance, float):
        place.report(f"tolerance: got {tolerance:g}", f"{allowed}; not a float", f"[{tolerance:g}, {tolerance:g}]")
    elif tolerance is None:
        place.report("tolerance: got nothing", allowed)
    elif tolerance == []:
        place.report("tolerance: got a list of nothing", "two values are a range, more are those that are taken")
    elif isinstance(tolerance, dict):
        _check_tolerance_type(place, tolerance)


def _check_tolerance_type(place: Place, tolerance: dict[str, Any]) -> None:
    kind = tolerance.get("type")
    if kind not in TOLERANCES:
        place.at("type").report(
            f"type: got {shown(kind)}", f"expected {either(TOLERANCES)}", nearest(kind, TOLERANCES)
        )
    elif kind == "probe":
        check_activity(place, [])
        if isinstance(tolerance.get("provider"), dict) and "arguments" not in tolerance["provider"]:
            place.at("provider").report("no key 'arguments'", "Chaos Toolkit writes the value into them", key=True)
    elif kind == "regex":
        pattern = tolerance.get("pattern")
        try:
            if not isinstance(pattern, str):
                raise re.error("not text")
            re.compile(pattern)
        except re.error as error:
            place.at("pattern").report(f"pattern: got {shown(pattern)}", f"a regular expression ({error})")
    elif kind == "range":
        ends = tolerance.get("range")
        if not (isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)):
            place.at("range").report(f"range: got {shown(ends)}", "a range is a list of two numbers")
    elif not isinstance(tolerance.get("path"), str) or not tolerance["path"].strip():
        place.at("path").report(f"path: got {shown(tolerance.get('path'))}", "a JSON path such as $.items[*]")


def _check_variables(place: Place) -> None:
    content = place.written()
    if content.get("controls"):
        # A control may add to the configuration what it likes.
        return
    configuration, secrets = content.get("configuration"), content.get("secrets")
    known = set(configuration) if isinstance(configuration, dict) else set()
    if isinstance(secrets, dict):
        known |= {name for group in secrets.values() if isinstance(group, dict) for name in group}
    for section in ("steady-state-hypothesis", "method", "rollbacks", "controls"):
        if section in content:
            _look_for_unknown(place.at(section), content[section], known)


def _look_for_unknown(place: Place, value: Any, known: set[str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _look_for_unknown(place.at(key), item, known)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _look_for_unknown(place.at(number), item, known)
    elif isinstance(value, str) and "${" in value:
        for found in _REFERENCE.finditer(value):
            name = found[1]
            if name is not None and not found[2]:
                place.report(f"got {shown(value)}", "a reference ends with a brace: ${name}")
            elif name is not None and name not in known:
                place.report(
                    f"${{{name}}} is not defined",
                    f"known from configuration and secrets: {listed(sorted(known))}",
                    nearest(name, known) and f"${{{nearest(name, known)}}}",
                )


def _check_strategy(place: Place, *, foreign: bool) -> None:
    content = place.written()
    runtime = content.get("runtime")
    rollbacks = runtime.get("rollbacks") if isinstance(runtime, dict) else None
    strategy = rollbacks.get("strategy") if isinstance(rollbacks, dict) else None
    spot = place.at("runtime", "rollbacks", "strategy")
    if strategy is not None and strategy not in ROLLBACK_STRATEGIES:
        spot.report(
            f"strategy: got {shown(strategy)}",
            f"expected {either(ROLLBACK_STRATEGIES)} (Chaos Toolkit takes any other word for never)",
            nearest(strategy, ROLLBACK_STRATEGIES),
        )
    if foreign:
        if strategy in ("never", "deviated"):
            spot.report(f"strategy {strategy}", "in a drill the rollbacks are always played")
    elif content.get("rollbacks") and strategy != "always" and strategy in (None, *ROLLBACK_STRATEGIES):
        found = f"strategy {strategy}" if strategy else "no rollbacks strategy"
        spot.report(
            f"{found}: an interrupted run would keep its fault", "runtime.rollbacks.strategy is always", "always"
        )


def check_undoing(place: Place, proven: Collection[str]) -> None:
    """Reports faults that could be left in place; `proven` are activities whose end every drill has a proof for."""
    content = place.written()
    used, foreign = list(calls(content)), _foreign_actions(content)
    for call in used:
        if call.section != "method" or call.func not in ACTIONS or "" in call.words:
            continue
        undo = ACTIONS[call.func].undo
        if not any(
            other.section == "rollbacks" and other.func == undo and other.identity == call.identity for other in used
        ):
            place.at("method", call.index).report(
                f"{call.func} of {call.target or 'nothing'} would be left in place",
                f"its undo {undo} with the same {listed(ACTIONS[call.func].identity)} stands in rollbacks",
            )
    first: dict[str, int] = {}
    for number, name in foreign:
        if content["method"][first.setdefault(name, number)] != content["method"][number]:
            line, column = place.source.value_at(("method", first[name]))
            place.at("method", number, "name").report(
                f"a second action {shown(name)}, which would have no intent of its own",
                f"each action of the method has a name of its own; the first is at {line}:{column}",
            )
    if not content.get("rollbacks"):
        for number, name in foreign:
            if name not in proven:
                place.at("method", number).report(
                    f"action {shown(name)} has no rollback: its fault could be left in place",
                    "a foreign action has rollbacks, or every drill that uses it has a proof that it is gone",
                )


def _foreign_actions(content: dict[str, Any]) -> list[tuple[int, str]]:
    method = content.get("method")
    found = []
    for number, activity in enumerate(method if isinstance(method, list) else []):
        if not isinstance(activity, dict) or activity.get("type") != "action":
            continue
        provider = activity.get("provider")
        if isinstance(provider, dict) and provider.get("module") != MODULE:
            found.append((number, str(activity.get("name", ""))))
    return found
