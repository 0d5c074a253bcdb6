"""The configuration of a Chaos Toolkit experiment: constants, and values from the environment with their defaults.

Chaos Toolkit takes a mapping of any type but `env` for a constant, so that a misspelled one fills `${name}` with the
mapping itself; and it converts a default only when the experiment runs.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tierdrill.documents.check.experiment_activities import check_activity, misspelled
from tierdrill.documents.problems import either, nearest, shown
from tierdrill.documents.reading.reading_state import Place

TYPES = ("env", "probe")
ENV_KEYS = ("type", "key", "default", "env_var_type")
ENV_TYPES = ("str", "int", "float", "bytes", "bool", "json")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check_configuration(place: Place) -> None:
    """Reports everything wrong with the configuration."""
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
        place.at("env_var_type").report(
            f"got {shown(kind)}", f"expected {either(ENV_TYPES)}", nearest(kind, ENV_TYPES)
        )
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
