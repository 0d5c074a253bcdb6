"""What the gateway is told at start: tiers, routes, flags; and how a request's tier follows from them.

Rank 1 is the most important tier. Everything here is data and pure functions; only flags change while serving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeVar

from tierdrill.lab.lab_config import LOOPBACK

ANY_MODEL = "*"

_T = TypeVar("_T")


class ConfigError(ValueError):
    """The gateway's configuration cannot be used; the message says which key and why."""


@dataclass(frozen=True, slots=True)
class TierPolicy:
    """One tier as the gateway enforces it."""

    name: str
    rank: int
    reserved_slots: int = 0
    may_preempt: tuple[str, ...] = ()
    shed_order: int = 1
    queue_limit: int = 64
    queue_wait_s: float = 1.0
    deadline_s: float = 10.0
    attempt_timeout_s: float = 1.0
    retries: int = 1
    retry_ratio: float = 0.1
    retry_burst: float = 10.0
    fallback_model: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Requests that match all its conditions belong to its tier."""

    tier: str
    model: str | None = None
    customer_class: str | None = None
    prompt_tokens_at_least: int | None = None
    prompt_tokens_at_most: int | None = None
    max_tokens_at_least: int | None = None
    max_tokens_at_most: int | None = None

    def matches(self, model: str, customer_class: str | None, prompt_tokens: int, max_tokens: int) -> bool:
        """A condition that is None does not restrict; the case of a class does not matter."""
        return (
            self.model in (None, ANY_MODEL, model)
            and (self.customer_class is None or self.customer_class.casefold() == (customer_class or "").casefold())
            and (self.prompt_tokens_at_least is None or prompt_tokens >= self.prompt_tokens_at_least)
            and (self.prompt_tokens_at_most is None or prompt_tokens <= self.prompt_tokens_at_most)
            and (self.max_tokens_at_least is None or max_tokens >= self.max_tokens_at_least)
            and (self.max_tokens_at_most is None or max_tokens <= self.max_tokens_at_most)
        )


@dataclass(slots=True)
class Flags:
    """The protective mechanisms, each of which can be switched while serving. One object, shared by all."""

    priority_queue: bool = True
    reserved_slots: bool = True
    preemption: bool = True
    shedding: bool = True
    retries: bool = True
    ejection: bool = True
    circuit_breaker: bool = True
    fallback: bool = True
    latency_routing: bool = True
    health_checks: bool = True
    customer_class: bool = True  # a request's x-customer-class has a say in its tier
    fail_open: bool = False  # without an endpoint picker: serve without order, instead of refusing

    def as_dict(self) -> dict[str, bool]:
        """Every flag by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def change(self, changes: Mapping[str, Any]) -> dict[str, bool]:
        """Apply all changes or none; returns those that really changed something."""
        known = self.as_dict()
        for name, value in changes.items():
            if name not in known:
                raise ConfigError(f"flags: unknown flag {name!r}; allowed: {', '.join(known)}")
            if not isinstance(value, bool):
                raise ConfigError(f"flags.{name}: {value!r} is not true or false")
        changed = {name: value for name, value in changes.items() if known[name] != value}
        for name, value in changed.items():
            setattr(self, name, value)
        return changed


@dataclass(frozen=True)
class GatewayConfig:
    """All of a gateway's configuration."""

    name: str
    controller: str
    token: str
    tiers: tuple[TierPolicy, ...]  # most important first
    routes: tuple[Route, ...] = ()
    listen: str = "127.0.0.1:0"
    share: int = 1
    trusted_callers: tuple[str, ...] = LOOPBACK
    flags: Flags = field(default_factory=Flags)

    def tier(self, name: str) -> TierPolicy:
        """The tier of that name."""
        return next(tier for tier in self.tiers if tier.name == name)

    @cached_property
    def _trusted(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(each) for each in self.trusted_callers)

    def trusts(self, caller: str | None) -> bool:
        """Whether a caller at that address may say of which class a customer is."""
        try:
            address = ip_address(caller or "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def classify(self, model: str, customer_class: str | None, prompt_tokens: int, max_tokens: int) -> TierPolicy:
        """The first matching route decides; without one the request is of the least important tier."""
        for route in self.routes:
            if route.matches(model, customer_class, prompt_tokens, max_tokens):
                return self.tier(route.tier)
        return self.tiers[-1]

    def known_models(self) -> frozenset[str]:
        """Models that exist by configuration, whether or not a replica is up."""
        routed = {route.model for route in self.routes if route.model not in (None, ANY_MODEL)}
        fallbacks = {tier.fallback_model for tier in self.tiers}
        return frozenset(name for name in routed | fallbacks if name is not None)

    def tiers_routed_to(self, model: str) -> tuple[TierPolicy, ...]:
        """Tiers a route can send to this model. Only those reserve slots there: a slot kept for nobody is lost."""
        names = {route.tier for route in self.routes if route.model in (None, ANY_MODEL, model)}
        return tuple(tier for tier in self.tiers if tier.name in names)


def parse_config(raw: Mapping[str, Any]) -> GatewayConfig:
    """Read the JSON configuration, refusing what it does not know."""
    _refuse_unknown(raw, GatewayConfig, "config")
    tiers = tuple(sorted((_tier(each, index) for index, each in enumerate(_items(raw, "tiers"))), key=lambda t: t.rank))
    if not tiers:
        raise ConfigError("tiers: at least one tier is needed")
    names = {tier.name for tier in tiers}
    if len(names) != len(tiers) or len({tier.rank for tier in tiers}) != len(tiers):
        raise ConfigError("tiers: names and ranks must be unique")
    for tier in tiers:
        if tier.rank < 1:
            raise ConfigError(f"tier {tier.name}: rank {tier.rank}; 1 is the most important, none is above it")
        for victim in tier.may_preempt:
            if victim not in names:
                raise ConfigError(f"tier {tier.name}: may_preempt names the unknown tier {victim!r}")
    routes = tuple(_build(Route, each, f"routes[{index}]") for index, each in enumerate(_items(raw, "routes")))
    for route in routes:
        if route.tier not in names:
            raise ConfigError(f"routes: unknown tier {route.tier!r}")
    flags = Flags()
    flags.change(raw.get("flags") or {})
    share = _number(raw.get("share", 1), int, "share")
    if share < 1:
        raise ConfigError("share: must be at least 1")
    callers = tuple(map(str, _items(raw, "trusted_callers"))) if "trusted_callers" in raw else LOOPBACK
    try:
        for caller in callers:
            ip_network(caller)
    except ValueError as error:
        raise ConfigError(f"trusted_callers: {error}") from error
    return GatewayConfig(
        name=_text(raw, "name"),
        controller=_text(raw, "controller").rstrip("/"),
        token=_text(raw, "token"),
        tiers=tiers,
        routes=routes,
        listen=str(raw.get("listen") or "127.0.0.1:0"),
        share=share,
        trusted_callers=callers,
        flags=flags,
    )


_TIER_NUMBERS: dict[str, Callable[[Any], float]] = {
    "rank": int,
    "reserved_slots": int,
    "shed_order": int,
    "queue_limit": int,
    "queue_wait_s": float,
    "deadline_s": float,
    "attempt_timeout_s": float,
    "retries": int,
    "retry_ratio": float,
    "retry_burst": float,
}


def _tier(raw: Any, index: int) -> TierPolicy:
    where = f"tiers[{index}]"
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected an object")
    values = {key: value for key, value in raw.items() if value is not None}
    for key, kind in _TIER_NUMBERS.items():
        if key in values:
            values[key] = _number(values[key], kind, f"{where}.{key}")
            if values[key] < 0:
                raise ConfigError(f"{where}.{key}: must not be negative")
    values["may_preempt"] = tuple(values.get("may_preempt", ()))
    return _build(TierPolicy, values, where)


def _build(kind: type[_T], raw: Any, where: str) -> _T:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected an object")
    _refuse_unknown(raw, kind, where)
    try:
        return kind(**raw)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _refuse_unknown(raw: Mapping[str, Any], kind: type[Any], where: str) -> None:
    allowed = {each.name for each in fields(kind)}
    unknown = sorted(set(raw) - allowed)
    if unknown:
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}")


def _items(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key) or []
    if not isinstance(value, list):
        raise ConfigError(f"{key}: expected a list")
    return value


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key}: expected a text")
    return value


def _number(value: Any, kind: Callable[[Any], Any], where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {value!r} is not a number")
    return kind(value)
