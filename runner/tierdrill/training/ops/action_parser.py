"""From what a trainee types to a remedy with checked arguments, and what would take it back. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import parse_rate, parse_ratio
from tierdrill.faults.store_names import STATE_STORE
from tierdrill.remedies.facts import A_SHARE, YES_OR_NO
from tierdrill.remedies.known_remedies import COMMANDS, REMEDIES
from tierdrill.remedies.remedy import A_RATE, TARGETS, RemedyKind
from tierdrill.targets.base import Inventory
from tierdrill.training.ops.tier_rules import Situation

Arguments = dict[str, Any]


class BadOrder(ValueError):
    """It cannot be meant: the message says what was found and what is allowed."""


@dataclass(frozen=True)
class Order:
    """A remedy by the name that playbooks and scenarios use, its target as they write it, and its arguments."""

    action: str
    target: str
    arguments: Arguments


@dataclass(frozen=True)
class Settings:
    """What the gateways have now: flags, weights and shed fractions by gateway, caps by tier."""

    flags: Mapping[str, Mapping[str, bool]]
    weights: Mapping[str, Mapping[str, float]]
    shed: Mapping[str, Mapping[str, float]]
    caps: Mapping[str, Mapping[str, float]]


def order_of(do: str, said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    """The order that a command means; BadOrder names what is not there."""
    flags = sorted({flag for one in settings.flags.values() for flag in one})

    def names(kind: str) -> list[str]:
        return names_of(kind, now.inventory, now.tiers, flags)

    kinds, target = COMMANDS[do], str(said.get("target", ""))
    if kinds[0].target == "flag":
        target = target.replace("-", "_")
    gateway, arrow, where = target.rpartition(">") if kinds[0].target == "link" else ("", "", target)
    if arrow:
        _known(gateway, names("gateway"), "gateway")
    kind = next((one for one in kinds if where in names(one.target)), kinds[0])
    if kind.target:
        there = [name for one in kinds for name in names(one.target)]
        _known(where, there, " or ".join(TARGETS[one.target].word for one in kinds))
    arguments: Arguments = {}
    for one in kind.settings_arguments:
        if one.many or (not one.required and said.get(one.name) is None):
            continue
        if one.kind in _VALUES:
            arguments[one.name] = _VALUES[one.kind](said.get(one.name), one.name)
        else:
            arguments[one.name] = _known(said[one.name], names(one.kind), one.kind)
    return Order(kind.name, target if kind.target else "", {**_target_arguments(kind, target), **arguments})


def _target_arguments(kind: RemedyKind, target: str) -> Arguments:
    if not kind.target:
        return {}
    gateway, _, where = target.rpartition(">")
    first, _, gpu = where.partition("/")
    named = {TARGETS[kind.target].arguments[0].name: first}
    return {**named, **({"gpu": int(gpu)} if gpu else {}), **({"gateway": gateway} if gateway else {})}


def names_of(kind: str, inventory: Inventory, tiers: Tiers, flags: list[str]) -> list[str]:
    """Every name of a kind of target that there is; a link's are its far ends."""
    nodes, gpus = [one.name for one in inventory.nodes], [one.name for one in inventory.gpus]
    named = {
        "replica": [one.name for one in inventory.replicas],
        "gateway": list(inventory.gateways),
        "node": nodes,
        "place": nodes + gpus,
        "link": nodes + gpus,
        "tier": [one.name for one in tiers.by_rank()],
        "store": [STATE_STORE],
        "flag": flags,
    }
    return named.get(kind, [])


def way_back(order: Order, settings: Settings) -> list[Order] | None:
    """What takes an order back, as things are before it is carried out; None for what cannot be taken back."""
    undo = REMEDIES[order.action].undo if order.action in REMEDIES else ()
    return [back for name in undo for back in _back(REMEDIES[name], order.arguments, settings)] or None


def _back(undo: RemedyKind, done: Arguments, settings: Settings) -> list[Order]:
    arguments = {one.name: done[one.name] for one in undo.arguments if one.name in done}
    value = next((one for one in undo.settings_arguments if one.kind in _VALUES), None)
    if value is None:
        return [Order(undo.name, undo.target_of(arguments), arguments)]
    [setting] = undo.settings(done)
    before: Mapping[str, Mapping[str, Any]] = getattr(settings, setting.kind)
    if setting.kind in _OVER_ALL:
        known = [one[setting.name] for one in before.values() if one.get(setting.name) is not None]
        whole = _OVER_ALL[setting.kind](known) if known else value.neutral
        return [Order(undo.name, undo.target_of(arguments), {**arguments, value.name: whole})]
    each = [
        {**arguments, "gateway": gateway, value.name: before.get(gateway, {}).get(setting.name, value.neutral)}
        for gateway in ([setting.gateway] if setting.gateway else before)
    ]
    return [Order(undo.name, undo.target_of(one), one) for one in each]


_OVER_ALL: Mapping[str, Callable[[list[float]], float]] = {"shed": max, "caps": sum}
"""Settings that a remedy makes at all gateways together, and what they come to."""


def _known(name: Any, names: list[str], what: str) -> str:
    if str(name) not in names:
        raise BadOrder(f"no {what} {str(name)!r}, expected one of: {', '.join(names) or 'none'}")
    return str(name)


def _share(value: Any, what: str) -> float:
    text = str(value)
    try:
        share = float(text) if re.fullmatch(r"\d*\.?\d+", text) else parse_ratio(text)
    except ValueError as error:
        raise BadOrder(f"{what}: got {text!r}, expected 0 to 1, or 0% to 100%") from error
    if not 0.0 <= share <= 1.0:
        raise BadOrder(f"{what}: got {text!r}, expected 0 to 1, or 0% to 100%")
    return share


def _rate(value: Any, what: str) -> float | None:
    text = str(value)
    if text in ("off", "none"):
        return None
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else parse_rate(text)
    except ValueError as error:
        raise BadOrder(
            f"rate: got {text!r}, expected a number of requests a second, such as 20/s, or off"
        ) from error


def _on(value: Any, what: str) -> bool:
    if str(value) not in ("on", "off"):
        raise BadOrder(f"got {str(value)!r}, expected on and off")
    return str(value) == "on"


_VALUES: Mapping[str, Callable[[Any, str], Any]] = {A_SHARE: _share, A_RATE: _rate, YES_OR_NO: _on}
