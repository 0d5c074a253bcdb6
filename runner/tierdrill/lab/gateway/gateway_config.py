"""What the gateway is told at start: tiers, routes, flags; and how a request's tier follows from them.

Rank 1 is the most important tier. Everything here is data and pure functions; only flags change while serving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from tierdrill.documents.request_rules import RequestFacts, first_match
from tierdrill.lab.lab_config import ANY_MODEL, LOOPBACK, LabConfigError, RouteConfig, TierConfig, build, check_tiers


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
    stale_answers: bool = True  # while the resolver does not know an address, the last one holds
    identity_check: bool = True  # who answers at a replica's address must be that replica
    poison_quarantine: bool = True  # a prompt under which two replicas ended is sent to none for a while
    connection_reuse: bool = True  # requests are sent on connections that are open, where there are some
    customer_class: bool = True  # a request's x-customer-class has a say in its tier
    keep_last_policy: bool = True  # without a state store that can be read: go by what it said last
    autoscaling: bool = True  # the controller is told how busy models are, where it has an autoscaler
    fail_open: bool = False  # without an endpoint picker: serve without order, instead of refusing

    def as_dict(self) -> dict[str, bool]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def change(self, changes: Mapping[str, Any]) -> dict[str, bool]:
        """Apply all changes or none; returns those that really changed something."""
        known = self.as_dict()
        for name, value in changes.items():
            if name not in known:
                raise LabConfigError(f"flags: unknown flag {name!r}, expected one of: {', '.join(known)}")
            if not isinstance(value, bool):
                raise LabConfigError(f"flags.{name}: {value!r} is not true or false")
        changed = {name: value for name, value in changes.items() if known[name] != value}
        for name, value in changed.items():
            setattr(self, name, value)
        return changed


@dataclass(frozen=True)
class GatewayConfig:
    name: str
    controller: str
    token: str
    tiers: tuple[TierConfig, ...]  # most important first
    routes: tuple[RouteConfig, ...] = ()
    listen: str = "127.0.0.1:0"
    listen_fd: int | None = None  # instead: a socket that its starter has bound
    resolver: str | None = None  # who knows the replicas' addresses; None: the controller's list
    share: int = 1
    trusted_callers: tuple[str, ...] = LOOPBACK
    flags: Flags = field(default_factory=Flags)
    overrides: Mapping[str, float] = field(default_factory=dict)  # TIER/RULE: lifted until then, in Unix seconds
    state_store: tuple[str, ...] = ()  # its members, where flags, policy, overrides and circuits are kept
    autoscaled: bool = False  # the controller wants to hear how busy models are

    def tier(self, name: str) -> TierConfig:
        return next(tier for tier in self.tiers if tier.name == name)

    @cached_property
    def trusted(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the trusted callers; ValueError where one is none."""
        return tuple(ip_network(each) for each in self.trusted_callers)

    def trusts(self, caller: str | None) -> bool:
        """Whether a caller at that address may say of which class a customer is."""
        try:
            address = ip_address(caller or "")
        except ValueError:
            return False
        return any(address in network for network in self.trusted)

    def classify(self, request: RequestFacts) -> TierConfig:
        """The first matching route decides; without one the request is of the least important tier."""
        number = first_match(self.routes, request)
        return self.tiers[-1] if number is None else self.tier(self.routes[number].tier)

    def known_models(self) -> frozenset[str]:
        """Models that exist by configuration, whether or not a replica is up."""
        routed = {route.model for route in self.routes if route.model not in (None, ANY_MODEL)}
        fallbacks = {tier.fallback_model for tier in self.tiers}
        return frozenset(name for name in routed | fallbacks if name is not None)

    def tiers_routed_to(self, model: str) -> tuple[TierConfig, ...]:
        """Tiers a route can send to this model. Only those reserve slots there: a slot kept for nobody is lost."""
        names = {route.tier for route in self.routes if route.model in (None, ANY_MODEL, model)}
        return tuple(tier for tier in self.tiers if tier.name in names)


RETRIES_MAX = 1000


class TierPolicies:
    """What is in force of the tiers' policy: as configured, until somebody rolls out something else while it serves.

    `like` gives a tier the order of another one (rank, reserve, preemption, queue), `retry_ratio` and `retries` another
    retry budget.
    """

    def __init__(self, tiers: Sequence[TierConfig]) -> None:
        self._configured = {tier.name: tier for tier in tiers}
        self._in_force = dict(self._configured)
        self.changed: dict[str, dict[str, Any]] = {}

    def __getitem__(self, tier: str) -> TierConfig:
        return self._in_force[tier]

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change tiers' policy (None: as configured), all that is said or nothing."""
        wanted = {**self.changed, **changes}
        for tier, told in wanted.items():
            known = told is None or (isinstance(told, Mapping) and set(told) <= {"like", "retry_ratio", "retries"})
            if tier not in self._configured or not known:
                raise LabConfigError(f"policy.{tier}: expected a tier, with like, retry_ratio or retries")
            if told and told.get("like", tier) not in [*self._configured]:
                raise LabConfigError(f"policy.{tier}.like: unknown tier {told['like']!r}")
            for name in ("retry_ratio", "retries"):
                number = (told or {}).get(name, 0)
                if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= RETRIES_MAX:
                    raise LabConfigError(f"policy.{tier}.{name}: {number!r} is no number from 0 to {RETRIES_MAX}")
        wanted = {tier: dict(told) for tier, told in wanted.items() if told}
        called = {told["like"]: tier for tier, told in wanted.items() if "like" in told}
        in_force = {name: self._with(name, wanted.get(name, {}), called) for name in self._configured}
        if len({tier.rank for tier in in_force.values()}) < len(in_force):
            raise LabConfigError("policy: two tiers would have the same rank")
        self.changed, self._in_force = wanted, in_force

    def _with(self, name: str, told: Mapping[str, Any], called: Mapping[str, str]) -> TierConfig:
        mine, other = self._configured[name], self._configured[told.get("like", name)]
        return replace(
            other,
            name=name,
            may_preempt=tuple(called.get(each, each) for each in other.may_preempt),
            fallback_model=mine.fallback_model,
            data_residency=mine.data_residency,
            retry_ratio=float(told.get("retry_ratio", mine.retry_ratio)),
            retries=int(told.get("retries", mine.retries)),
        )


def parse_config(raw: Mapping[str, Any]) -> GatewayConfig:
    """Read the JSON configuration, refusing what it does not know."""
    config = build(GatewayConfig, {key: value for key, value in raw.items() if key != "flags"}, "gateway")
    config.flags.change(raw.get("flags") or {})
    if not config.tiers or len({tier.rank for tier in config.tiers}) < len(config.tiers):
        raise LabConfigError("tiers: expected at least one, and unique ranks")
    for tier in config.tiers:
        if tier.rank < 1:
            raise LabConfigError(f"tier {tier.name}: got rank {tier.rank}; 1 is the most important, none is above it")
        if any(isinstance(value, int | float) and value < 0 for value in astuple(tier)):
            raise LabConfigError(f"tier {tier.name}: got a number below 0")
    check_tiers(config.tiers, config.routes)
    if config.share < 1 or not (config.name and config.controller and config.token):
        raise LabConfigError("expected a share of at least 1, and a name, a controller and a token")
    try:
        _ = config.trusted
    except ValueError as error:
        raise LabConfigError(f"trusted_callers: {error}") from error
    tiers = tuple(sorted(config.tiers, key=lambda tier: tier.rank))
    return replace(config, tiers=tiers, controller=config.controller.rstrip("/"))
