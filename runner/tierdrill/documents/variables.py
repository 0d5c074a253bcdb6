"""Fills `${variable}` references of a drill from its own variables, so that expectations name real targets.

A plain look-up of whole names in string values; nothing is executed. An unknown name is left as it is (the checker
reports it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.reading.fault_actions import Call, calls

_REFERENCE = re.compile(r"\$\{([a-zA-Z_][\w.-]*)\}")


def fill(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with every known `${name}` replaced, through lists and mappings."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: str(variables.get(found[1], found[0])), value)
    if isinstance(value, Mapping):
        return {key: fill(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, variables) for item in value]
    return value


def experiment_values(experiment: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment's variables stand for: a drill's over the experiment's own; one that only the machine's
    environment knows is left out.
    """
    own = experiment.get("configuration")
    values: dict[str, Any] = {}
    for name, value in own.items() if isinstance(own, Mapping) else ():
        if not isinstance(value, Mapping) or "type" not in value:
            values[name] = value
        elif "default" in value:
            values[name] = value["default"]
    return {**values, **variables}


def filled_calls(experiment: Mapping[str, Any], values: Mapping[str, Any]) -> list[Call]:
    """The uses of our faults in an experiment, with these values for its variables."""
    return [replace(call, arguments=fill(call.arguments, values)) for call in calls(experiment)]


def references(value: Any) -> set[str]:
    """Every name that a value refers to."""
    if isinstance(value, str):
        return set(_REFERENCE.findall(value))
    if isinstance(value, Mapping):
        return {name for item in value.values() for name in references(item)}
    if isinstance(value, list | tuple):
        return {name for item in value for name in references(item)}
    return set()


def resolve_drill(setting: DrillSetting) -> DrillSetting:
    """The setting with the drill's variables filled into its expectations, sabotages and guardrails."""
    drill = setting.drill
    plain = drill.model_dump(mode="json")
    for part in ("expect", "sabotages", "guardrails", "proofs"):
        plain[part] = fill(plain[part], drill.variables)
    return DrillSetting(
        drill=Drill.model_validate(plain),
        experiment=setting.experiment,
        environment=setting.environment,
        tiers=setting.tiers,
        workloads=setting.workloads,
        playbooks=setting.playbooks,
    )
