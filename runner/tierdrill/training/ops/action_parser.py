"""From what a trainee types to a remedy with checked arguments, and what would take it back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.units import parse_rate, parse_ratio
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
    return _BUILDERS[do](said, now, settings)


def _replica(action: str) -> Callable[..., Order]:
    def build(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
        name = _known(said["target"], [one.name for one in now.inventory.replicas], "replica")
        return Order(action, name, {"replica": name})

    return build


def _restart(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    """A replica, or a gateway: that one keeps its address, and loses the flags and weights that it was told."""
    gateways = list(now.inventory.gateways)
    if str(said["target"]) in gateways:
        return Order("restart-gateway", str(said["target"]), {"gateway": str(said["target"])})
    name = _known(said["target"], [one.name for one in now.inventory.replicas] + gateways, "replica or gateway")
    return Order("restart-replica", name, {"replica": name})


def _node(action: str, *, gpus: bool = False) -> Callable[..., Order]:
    def build(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
        names = [one.name for one in now.inventory.nodes]
        if gpus:
            names += [one.name for one in now.inventory.gpus]
        name = _known(said["target"], names, "node or GPU" if gpus else "node")
        return Order(action, name, _place(name))

    return build


def _rebalance(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    return Order("rebalance", "", {})


def _weight(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    target = str(said["target"])
    gateway, arrow, where = target.rpartition(">")
    if arrow:
        _known(gateway, list(now.inventory.gateways), "gateway")
    names = [one.name for one in now.inventory.nodes] + [one.name for one in now.inventory.gpus]
    _known(where, names, "node or GPU")
    weight = _share(said.get("weight"), "weight")
    arguments = {**_place(where), "weight": weight, **({"gateway": gateway} if arrow else {})}
    return Order("set-weight", target, arguments)


def _shed(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    tier = _known(said["target"], [one.name for one in now.tiers.by_rank()], "tier")
    return Order("shed", tier, {"tier": tier, "fraction": _share(said.get("fraction"), "fraction")})


def _cap(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    tier = _known(said["target"], [one.name for one in now.tiers.by_rank()], "tier")
    text = str(said.get("rate"))
    if text in ("off", "none"):
        return Order("cap", tier, {"tier": tier, "rate": None})
    try:
        rate = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else parse_rate(text)
    except ValueError as error:
        raise BadOrder(
            f"found rate {text!r}; allowed is a number of requests a second, such as 20/s, or off"
        ) from error
    return Order("cap", tier, {"tier": tier, "rate": rate})


def _flag(said: Mapping[str, Any], now: Situation, settings: Settings) -> Order:
    known = sorted({flag for flags in settings.flags.values() for flag in flags})
    flag = _known(str(said["target"]).replace("-", "_"), known, "flag")
    value = str(said.get("value"))
    if value not in ("on", "off"):
        raise BadOrder(f"found {value!r}; allowed are on and off")
    arguments: Arguments = {"flag": flag, "value": value == "on"}
    if said.get("gateway") is not None:
        arguments["gateway"] = _known(said["gateway"], list(now.inventory.gateways), "gateway")
    return Order("set-flag", flag, arguments)


_BUILDERS: dict[str, Callable[[Mapping[str, Any], Situation, Settings], Order]] = {
    "restart": _restart,
    "replace": _replica("replace-replica"),
    "drain": _node("drain", gpus=True),
    "cordon": _node("cordon", gpus=True),
    "uncordon": _node("uncordon", gpus=True),
    "reschedule": _node("reschedule"),
    "power-cycle": _node("power-cycle"),
    "restart-exporter": _node("restart-exporter"),
    "rebalance": _rebalance,
    "set-weight": _weight,
    "shed": _shed,
    "cap": _cap,
    "flag": _flag,
}
REMEDIES = tuple(_BUILDERS)
"""The commands that are remedies of their own."""


def way_back(order: Order, settings: Settings) -> list[Order] | None:
    """What takes an order back, as things are before it is carried out; None for what cannot be taken back."""
    a = order.arguments
    if order.action in ("drain", "cordon"):
        place: Arguments = {str(key): a[key] for key in ("node", "gpu") if key in a}
        back = [Order("uncordon", order.target, place)]
        return [*back, Order("rebalance", "", {})] if order.action == "drain" else back
    if order.action == "uncordon":
        return [Order("cordon", order.target, dict(a))]
    if order.action == "shed":
        before = max((float(one.get(a["tier"], 0.0)) for one in settings.shed.values()), default=0.0)
        return [Order("shed", order.target, {"tier": a["tier"], "fraction": before})]
    if order.action == "cap":
        rates = [one.get(a["tier"]) for one in settings.caps.values()]
        known = [rate for rate in rates if rate is not None]
        return [Order("cap", order.target, {"tier": a["tier"], "rate": sum(known) if known else None})]
    if order.action == "set-flag":
        gateways = [a["gateway"]] if "gateway" in a else list(settings.flags)
        return [
            Order("set-flag", order.target, {**a, "gateway": each, "value": bool(settings.flags[each][a["flag"]])})
            for each in gateways
        ]
    if order.action == "set-weight":
        where = str(a["node"]) + (f"/{a['gpu']}" if "gpu" in a else "")
        gateways = [a["gateway"]] if "gateway" in a else list(settings.weights)
        return [
            Order(
                "set-weight", f"{gateway}>{where}", {**a, "gateway": gateway, "weight": float(weights.get(where, 1.0))}
            )
            for gateway in gateways
            for weights in [settings.weights.get(gateway, {})]
        ]
    return None


def _place(name: str) -> Arguments:
    node, _, gpu = name.partition("/")
    return {"node": node, "gpu": int(gpu)} if gpu else {"node": node}


def _known(name: Any, names: list[str], what: str) -> str:
    if str(name) not in names:
        raise BadOrder(f"found {what} {str(name)!r}; there are: {', '.join(names) or 'none'}")
    return str(name)


def _share(value: Any, what: str) -> float:
    text = str(value)
    try:
        share = float(text) if re.fullmatch(r"\d*\.?\d+", text) else parse_ratio(text)
    except ValueError as error:
        raise BadOrder(f"found {what} {text!r}; allowed is 0 to 1, or 0% to 100%") from error
    if not 0.0 <= share <= 1.0:
        raise BadOrder(f"found {what} {text!r}; allowed is 0 to 1, or 0% to 100%")
    return share
