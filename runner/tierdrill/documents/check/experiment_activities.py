"""The configuration of a Chaos Toolkit experiment: constants, and values from the environment with their defaults.

Chaos Toolkit takes a mapping of any type but `env` for a constant, so that a misspelled one fills `${name}` with the
mapping itself; and it converts a default only when the experiment runs.
"""

import json
import math
import re
from collections.abc import Collection
from typing import Any

from tierdrill.did_you_mean import nearest
from tierdrill.documents.models.environment import LONGEST_LEASE_S, SHORTEST_LEASE_S
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.fault_actions import FUNCTIONS, LEASE, MODULE, OUR_MODULES
from tierdrill.documents.reading.reading_state import Place
from tierdrill.faults.known_kinds import ACTIONS, arguments_of
from tierdrill.text import either, listed

TYPES = ("env", "probe")
ENV_KEYS = ("type", "key", "default", "env_var_type")
ENV_TYPES = ("str", "int", "float", "bytes", "bool", "json")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check_configuration(place: Place) -> None:
    configuration = place.written()
    for name, value in configuration.items() if isinstance(configuration, dict) else ():
        if not isinstance(value, dict):
            continue
        spot = place.at(name)
        kind = value.get("type")
        if kind == "env":
            _check_env(spot, value)
        elif kind == "probe":
            check_activity(spot, [], named=False)
        elif "key" in value or "env_var_type" in value or nearest(kind, TYPES):
            found = f"type: got {shown(kind)}" if "type" in value else "no key 'type'"
            (spot.at("type") if "type" in value else spot).report(
                found, f"expected {either(TYPES)}", nearest(kind, TYPES) or "env", key="type" not in value
            )


def _check_env(place: Place, value: dict[str, Any]) -> None:
    misspelled(place, ENV_KEYS)
    if not isinstance(value.get("key"), str):
        place.report("no key 'key'", "type env names the environment variable as key", key=True)
    elif not _VARIABLE.match(value["key"]):
        place.at("key").report(f"key: got {shown(value['key'])}", "the name of an environment variable")
    kind = value.get("env_var_type", "str")
    if kind not in ENV_TYPES:
        place.at("env_var_type").report(f"got {shown(kind)}", f"expected {either(ENV_TYPES)}", nearest(kind, ENV_TYPES))
    elif "default" in value and not _converts(value["default"], kind):
        place.at("default").report(f"default: got {shown(value['default'])}", f"a value of env_var_type {kind}")


def _converts(default: Any, kind: str) -> bool:
    """Whether Chaos Toolkit would make a value of that type of the default."""
    if default is None:
        return True
    if isinstance(default, dict | list):
        return False
    try:
        if kind == "int":
            int(default)
        elif kind == "float":
            return math.isfinite(float(default))
        elif kind == "json":
            json.loads(default)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False
    return True


KEYS = (
    "type", "name", "provider", "background", "pauses", "timeout", "tolerance", "controls", "ref", "extensions",
    "description", "tags", "secrets", "configuration", "contributions", "dry",
)  # fmt: skip
PROVIDER_KEYS = {
    "python": ("type", "module", "func", "arguments", "secrets", "configuration"),
    "process": ("type", "path", "arguments", "timeout", "secrets", "configuration"),
    "http": (
        "type", "url", "method", "headers", "timeout", "arguments", "verify_tls", "max_retries", "expected_status",
        "secrets", "configuration", "auth", "json", "data",
    ),
}  # fmt: skip
_KINDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}


def check_type(place: Place, wanted: type) -> bool:
    """Whether the value is there and of that type; a wrong type is reported, an absent value is not."""
    value = place.written()
    if value is None:
        return False
    if isinstance(value, wanted):
        return True
    place.report(f"{place.path[-1]}: got {shown(value)}", f"expected {_KINDS[wanted]}")
    return False


def misspelled(place: Place, known: Collection[str]) -> None:
    """Reports keys that look like a known one but are not; others are Chaos Toolkit's or an extension's business."""
    for key in place.written():
        if key not in known and (hint := nearest(key, known)):
            place.at(key).report(f"unknown key {shown(key)}", f"known here: {listed(known, 20)}", hint, key=True)


def check_activity(place: Place, names: Collection[str], *, named: bool = True) -> None:
    """Reports everything wrong with an activity; `names` are those that a `ref` may name.

    A value of the configuration need not be `named`.
    """
    activity = place.written()
    if not isinstance(activity, dict) or not activity:
        place.report(f"got {shown(activity)}", "an activity is a mapping with type, name and provider")
        return
    misspelled(place, KEYS)
    if "ref" in activity:
        ref = activity["ref"]
        if not isinstance(ref, str) or (names and ref not in names):
            place.at("ref").report(f"no activity named {shown(ref)}", f"expected {either(names)}", nearest(ref, names))
        return
    if activity.get("type") not in ("probe", "action"):
        _report_choice(place, "type", activity.get("type"), ("probe", "action"))
    if (named or "name" in activity) and (not isinstance(activity.get("name"), str) or not activity["name"]):
        _report_missing(place, "name", "text", activity)
    if "dry" in activity:
        place.at("dry").report("key 'dry'", "from a file it is ignored and the activity runs for real", key=True)
    if "background" in activity and not isinstance(activity["background"], bool):
        place.at("background").report(f"got {shown(activity['background'])}", "expected true or false")
    _check_seconds(place.at("timeout"), "timeout", references=False)
    if check_type(place.at("pauses"), dict):
        for side in ("before", "after"):
            _check_seconds(place.at("pauses", side), f"pause {side}", references=True)
        misspelled(place.at("pauses"), ("before", "after"))
    if not isinstance(activity.get("provider"), dict):
        _report_missing(place, "provider", "a mapping with a type", activity)
    else:
        _check_provider(place.at("provider"), activity["provider"])


def _check_provider(place: Place, provider: dict[str, Any]) -> None:
    kind = provider.get("type")
    if not isinstance(kind, str) or kind not in PROVIDER_KEYS:
        _report_choice(place, "type", kind, PROVIDER_KEYS)
        return
    misspelled(place, PROVIDER_KEYS[kind])
    for name in {"python": ("module", "func"), "process": ("path",), "http": ("url",)}[kind]:
        if not isinstance(provider.get(name), str) or not provider[name]:
            _report_missing(place, name, "text", provider)
    arguments = provider.get("arguments")
    if kind == "process" and isinstance(arguments, str):
        place.at("arguments").report(
            "process arguments as text, which Chaos Toolkit gives to a shell", "expected a list, one item an argument"
        )
    elif kind == "python":
        check_type(place.at("arguments"), dict)
    if kind == "process":
        _check_seconds(place.at("timeout"), "timeout", references=False)
    if kind == "http":
        # One for all, or one to connect and one to read.
        timeout = provider.get("timeout")
        pair = isinstance(timeout, list) and len(timeout) == 2
        for spot in [place.at("timeout", number) for number in (0, 1)] if pair else [place.at("timeout")]:
            _check_seconds(spot, "timeout", references=True)
        check_type(place.at("headers"), dict)
    if kind == "python" and isinstance(provider.get("module"), str) and provider["module"]:
        _check_module(place.at("module"), provider["module"])
    if kind == "python" and provider.get("module") == MODULE:
        _check_call(place, provider.get("func"), arguments if isinstance(arguments, dict) else {})


def _check_module(place: Place, module: str) -> None:
    if "${" not in module and not all(word.isidentifier() for word in module.split(".")):
        place.report(f"module: got {shown(module)}", "the dotted name of a Python module")
    elif module.split(".")[0] == MODULE.split(".")[0] and module not in OUR_MODULES:
        place.report(f"no module named {shown(module)}", f"ours: {listed(OUR_MODULES)}", nearest(module, OUR_MODULES))


def _check_call(place: Place, func: Any, arguments: dict[str, Any]) -> None:
    if func not in FUNCTIONS:
        if isinstance(func, str):
            place.at("func").report(
                f"no action named {shown(func)} in {MODULE}", f"expected {either(FUNCTIONS)}", nearest(func, FUNCTIONS)
            )
        return
    takes = arguments_of(func)
    required = [one.name for one in takes if one.default is None]
    allowed = [*required, *(one.name for one in takes if one.default is not None)]
    if func in ACTIONS:
        allowed.append(LEASE)
    for name in required:
        if name not in arguments:
            place.at("arguments").report(f"no argument '{name}' for {func}", f"it takes {listed(required)}", key=True)
        elif not str(arguments[name] if arguments[name] is not None else "").strip():
            place.at("arguments", name).report(f"nothing for {name}", f"{func} needs to know which")
    for name in arguments:
        if name not in allowed:
            place.at("arguments", name).report(
                f"unknown argument {shown(name)} for {func}",
                f"it takes {listed(allowed)}",
                nearest(name, allowed),
                key=True,
            )
    numbers: list[tuple[str, Any, float, float]] = [(one.name, int, *one.bounds) for one in takes if one.bounds]
    for name, number, least, most in [*numbers, (LEASE, int | float, SHORTEST_LEASE_S, LONGEST_LEASE_S)]:
        value = arguments.get(name)
        if value is None or (isinstance(value, str) and "${" in value):
            continue
        fits = isinstance(value, int | float) and isinstance(value, number) and not isinstance(value, bool)
        if not fits or not least <= value <= most:
            kind = "a whole number" if number is int else "a number"
            place.at("arguments", name).report(
                f"{name}: got {shown(value)}", f"expected {kind} from {least:g} to {most:g}"
            )


def _check_seconds(place: Place, what: str, *, references: bool) -> None:
    value = place.written()
    if value is None:
        return
    if references and isinstance(value, str) and value.startswith("${") and value.endswith("}"):
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        allowed = "expected a number of seconds, 0 or more" + (", or one ${variable}" if references else "")
        place.report(f"{what}: got {shown(value)}", allowed)


def _report_missing(place: Place, name: str, what: str, holder: dict[str, Any]) -> None:
    if name in holder:
        place.at(name).report(f"{name}: got {shown(holder[name])}", f"expected {what}")
    else:
        place.report(f"no key '{name}'", f"{name} is required: {what}", key=True)


def _report_choice(place: Place, name: str, value: Any, allowed: Collection[str]) -> None:
    if value is None:
        place.report(f"no key '{name}'", f"{name} is one of {listed(allowed)}", key=True)
    else:
        place.at(name).report(f"{name}: got {shown(value)}", f"expected {either(allowed)}", nearest(value, allowed))
