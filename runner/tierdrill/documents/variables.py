"""Fills `${variable}` references of a drill from its own variables, so that expectations name real targets.

A plain look-up of whole names in string values; nothing is executed. An unknown name is left as it is (the checker
reports it).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tierdrill.did_you_mean import did_you_mean, nearest
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Drill, Guardrail, Sabotage, SabotageAction, Scalar
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.protections import FLAGS
from tierdrill.documents.models.staged_rollout import Reach
from tierdrill.documents.models.units import parse_duration, parse_ratio, show_duration, show_ratio
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.fault_actions import Call, calls
from tierdrill.text import either, listed

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


def paced_waits(experiment: Mapping[str, Any], variables: Mapping[str, Any], pace: float) -> dict[str, float]:
    """The variables that say how long an experiment waits between its actions, with their seconds at that pace."""
    waits = references([activity.get("pauses") or {} for activity in experiment.get("method", [])])
    values = experiment_values(experiment, variables)
    return {name: float(values[name]) * pace for name in sorted(waits & values.keys())} if pace != 1 else {}


def filled_calls(experiment: Mapping[str, Any], values: Mapping[str, Any]) -> list[Call]:
    """The uses of our faults in an experiment, with these values for its variables."""
    return [replace(call, arguments=fill(call.arguments, values)) for call in calls(experiment)]


def references(value: Any) -> set[str]:
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


PREFIX = "without-"
ANY_PROMISE = "any promise"
"""In place of a check's pattern: any objective of a tier, any invariant. A missing alert or playbook is no promise."""


def ablation_name(part: str) -> str:
    """The sabotage that goes without a protection (`priority_queue`) or a playbook (`reschedule-critical`)."""
    return PREFIX + part.replace("_", "-")


def find_sabotage(setting: DrillSetting, name: str) -> Sabotage | None:
    """A sabotage that the drill has written, or the run without one protection or playbook; None if it is neither."""
    for one in setting.drill.sabotages:
        if one.name == name:
            return one
    for part in parts_of(setting):
        if ablation_name(part) == name:
            do = SabotageAction(flags_off=(part,)) if part in FLAGS else SabotageAction(disable_playbook=part)
            why = f"{what(part)} is taken away, and nothing else"
            return Sabotage(name=name, why=why, do=do, fails=(ANY_PROMISE,))
    return None


def parts_of(*settings: DrillSetting) -> tuple[str, ...]:
    """Everything that can be taken away from the platforms of drills, one at a time: the protections that each has,
    then its playbooks.
    """
    parts = ((*one.environment.lab.protections, *(book.metadata.name for book in one.playbooks)) for one in settings)
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def what(part: str) -> str:
    """A part in words: `protection retries`, `playbook restart-replica`."""
    return f"{'protection' if part in FLAGS else 'playbook'} {part}"


def with_variables(drill: Drill, variables: Mapping[str, Scalar]) -> Drill:
    """The drill with these values in place of its own. A sabotage's wrong target that they make the right one becomes
    the one that was right: it is well now.
    """
    if not variables:
        return drill
    after = {**drill.variables, **variables}
    sabotages = tuple(_still_wrong(one, drill, after) for one in drill.sabotages)
    return drill.model_copy(update={"variables": after, "sabotages": sabotages})


def _still_wrong(sabotage: Sabotage, drill: Drill, variables: Mapping[str, Scalar]) -> Sabotage:
    """A GPU of the right node is no wrong one: what is done with it is done with the node."""
    do = sabotage.do
    for one in drill.expect.playbooks.must_fire:
        if do.to is None or one.target is None or do.retarget_playbook not in (None, one.playbook):
            continue
        right = str(fill(one.target, variables))
        if str(fill(do.to, variables)).partition("/")[0] == right.partition("/")[0]:
            well = str(fill(one.target, drill.variables))
            return sabotage.model_copy(update={"do": do.model_copy(update={"to": well})})
    return sabotage


def with_guardrails(drill: Drill, guardrails: Iterable[Guardrail]) -> Drill:
    """The drill with more guardrails besides its own, each once."""
    added = tuple(one for one in guardrails if one not in drill.guardrails)
    return drill.model_copy(update={"guardrails": (*drill.guardrails, *added)}) if added else drill


def changed(setting: DrillSetting, variables: Mapping[str, Scalar], guardrails: Iterable[Guardrail]) -> DrillSetting:
    """The setting with the drill changed for one run."""
    return replace(setting, drill=with_guardrails(with_variables(setting.drill, variables), guardrails))


def narrowed(environment: Environment, reach: Reach) -> Environment:
    """The environment with its blast radius cut down to the reach; never widened."""
    radius = environment.blast_radius
    caps = {kind: most for kind, most in reach.model_dump().items() if most is not None}
    least = {kind: min(getattr(radius, kind), most) for kind, most in caps.items()}
    return environment.model_copy(update={"blast_radius": radius.model_copy(update=least)}) if least else environment


def wrong_value(drill: Drill, name: str, value: Scalar) -> str:
    """What keeps a variable from being set to this, as `found; allowed`; empty if nothing does."""
    if name not in drill.variables:
        hint = did_you_mean(nearest(name, drill.variables))
        known = listed(sorted(drill.variables)) if drill.variables else "none"
        return f"drill {drill.metadata.name} has no variable {shown(name)}; its variables: {known}{hint}"
    own = drill.variables[name]
    if _kind(own) != _kind(value):
        return f"{name}: got {shown(value)}, expected {_kind(own)}, such as {shown(own)}"
    return ""


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "text"


def parse_set(drill: Drill, text: str) -> tuple[str, Scalar]:
    """A variable from "node=node-3", its value read as the drill's own is written; ValueError says what is allowed."""
    name, equals, word = text.partition("=")
    if not equals or not name:
        raise ValueError(f"got {shown(text)}, expected NAME=VALUE")
    value: Scalar = word
    own = drill.variables.get(name)
    if isinstance(own, bool) and word in ("true", "false"):
        value = word == "true"
    elif isinstance(own, int | float) and not isinstance(own, bool):
        try:
            value = float(word) if isinstance(own, float) or not word.lstrip("-").isdigit() else int(word)
        except ValueError:
            value = word
    if wrong := wrong_value(drill, name, value):
        raise ValueError(wrong)
    return name, value


def parse_reach(texts: Iterable[str]) -> Reach:
    """A reach from "nodes=1" and the like; ValueError says what is allowed."""
    caps: dict[str, int] = {}
    for text in texts:
        kind, _, most = text.partition("=")
        if kind not in Reach.model_fields or not (most.isascii() and most.isdigit() and len(most) < 7):
            raise ValueError(f"got {shown(text)}, expected KIND=N, where KIND is {either(Reach.model_fields)}")
        caps[kind] = int(most)
    return Reach(**caps)


def parse_guardrail(text: str) -> Guardrail:
    """A guardrail from "critical:90%:3s" or "critical:90%:3s:20" (tier, floor, window, requests at least)."""
    parts = text.split(":")
    if len(parts) not in (3, 4) or not parts[0] or (len(parts) == 4 and not parts[3].isdigit()):
        raise ValueError(f"got {shown(text)}, expected TIER:SHARE:WINDOW[:REQUESTS], such as critical:90%:3s")
    requests = {"requests_at_least": max(1, int(parts[3]))} if len(parts) == 4 else {}
    return Guardrail(
        tier=parts[0], availability_below=parse_ratio(parts[1]), window=parse_duration(parts[2]), **requests
    )


def show_guardrail(guardrail: Guardrail) -> str:
    """A guardrail as `parse_guardrail` reads it."""
    floor, window = show_ratio(guardrail.availability_below), show_duration(guardrail.window)
    return f"{guardrail.tier}:{floor}:{window}:{guardrail.requests_at_least}"
