"""What the fabric does with an edge, decided purely: link rules, hosts without power, and how they add up."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tierdrill.lab.lab_config import LabConfigError, build

MODES = ("pass", "delay", "blackhole", "reset", "misdirect")
ANY = "*"
RESOLVER = "resolver"
"""Where names are looked up, as the end of a link: `misdirect` is about a replica's name there."""

DELAY_MS_MAX = 60_000.0
_RANGES = {
    "delay_ms": (0.0, DELAY_MS_MAX),
    "jitter_ms": (0.0, DELAY_MS_MAX),
    "bandwidth_kbps": (1.0, 1e9),
    "loss_percent": (0.0, 100.0),
    "handshake_ms": (0.0, DELAY_MS_MAX),
    "period_ms": (0.0, 60_000.0),
    "down_percent": (1.0, 100.0),
    "lease_s": (0.001, 86_400.0),
}
_T = TypeVar("_T")


class RuleError(ValueError):
    """A request to the fabric that makes no sense."""


@dataclass(frozen=True)
class Edge:
    """A connection that components on two hosts may make."""

    id: str
    source: str
    destination: str
    target: str


@dataclass(frozen=True)
class LinkRule:
    """What happens between two hosts, in both directions (of loss, if it is so said, in one)."""

    source: str
    destination: str
    mode: str
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_kbps: float | None = None
    loss_percent: float = 0.0
    one_way: bool = False  # loss only from source to destination
    handshake_ms: float = 0.0  # only of new connections
    period_ms: float = 0.0  # where a black hole comes and goes: how long it takes to come again
    down_percent: float = 100.0  # the share of each period in which it is there
    leads_to: str | None = None  # the replica whose address is given in place of the right one
    lease_s: float | None = None
    lease: str | None = None  # the name by which it is renewed

    @property
    def key(self) -> tuple[str, str]:
        """A link has no direction: a>b and b>a are one rule."""
        first, second = sorted((self.source, self.destination))
        return first, second


@dataclass(frozen=True)
class Behaviour:
    """What an edge does now."""

    dark: bool = False  # no power at one end: nothing passes, and what is open will be reset when power returns
    held: bool = False  # blackhole: nothing passes, but what was sent arrives once the link heals
    refused: bool = False
    delay_ms: float = 0.0  # of a round trip
    jitter_ms: float = 0.0
    bandwidth_kbps: float | None = None
    handshake_ms: float = 0.0  # on top of a round trip, before a new connection is there
    loss_out: float = 0.0  # the share of chunks that are lost on their way to the destination, 0 to 1
    loss_in: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether nothing passes, whatever the reason."""
        return self.dark or self.held

    @property
    def shaped(self) -> bool:
        """Whether data takes the slow path."""
        return any((self.delay_ms, self.jitter_ms, self.bandwidth_kbps is not None, self.loss_out, self.loss_in))


CLEAR = Behaviour()


def matches(rule: LinkRule, edge: Edge) -> bool:
    """Whether a rule concerns an edge, in either direction."""
    return _pair(rule, edge.source, edge.destination) or _pair(rule, edge.destination, edge.source)


def behaviour(edge: Edge, rules: Iterable[LinkRule], hosts_down: Iterable[str]) -> Behaviour:
    """All that concerns an edge, added up: delays add, the narrowest bandwidth holds, silence beats refusal."""
    concerning = [rule for rule in rules if matches(rule, edge)]
    down = set(hosts_down)
    limits = [rule.bandwidth_kbps for rule in concerning if rule.bandwidth_kbps is not None and rule.mode == "delay"]
    lossy = [rule for rule in concerning if rule.mode == "delay" and rule.loss_percent]
    return Behaviour(
        dark=edge.source in down or edge.destination in down,
        held=any(rule.mode == "blackhole" for rule in concerning),
        refused=any(rule.mode == "reset" for rule in concerning),
        delay_ms=sum(rule.delay_ms for rule in concerning if rule.mode == "delay"),
        jitter_ms=sum(rule.jitter_ms for rule in concerning if rule.mode == "delay"),
        bandwidth_kbps=min(limits) if limits else None,
        handshake_ms=sum(rule.handshake_ms for rule in concerning if rule.mode == "delay"),
        loss_out=_lost(rule for rule in lossy if not rule.one_way or _pair(rule, edge.source, edge.destination)),
        loss_in=_lost(rule for rule in lossy if not rule.one_way or _pair(rule, edge.destination, edge.source)),
    )


def parse_rule(document: Mapping[str, Any]) -> LinkRule:
    # None is what a lease, say, is not given as; the other settings keep their defaults too.
    rule = _built(LinkRule, {key: value for key, value in document.items() if value is not None})
    if rule.mode not in MODES:
        raise RuleError(f"mode: {rule.mode!r} is none of {', '.join(MODES)}")
    for key, (low, high) in _RANGES.items():
        value = getattr(rule, key)
        if value is not None and not low <= value <= high:
            raise RuleError(f"{key}: {value!r} is outside {low:g} to {high:g}")
    delays = (rule.delay_ms, rule.jitter_ms, rule.bandwidth_kbps, rule.loss_percent, rule.handshake_ms)
    if rule.mode == "delay" and not any(delays):
        raise RuleError("mode delay needs delay_ms, jitter_ms, bandwidth_kbps, loss_percent or handshake_ms")
    if rule.mode == "misdirect" and (rule.source != RESOLVER or not rule.leads_to):
        raise RuleError(f"mode misdirect needs source {RESOLVER} and leads_to")
    return rule


def parse_edge(edge_id: str, document: Mapping[str, Any]) -> Edge:
    edge = _built(Edge, {**document, "id": edge_id})
    split_address(edge.target)
    return edge


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RuleError(f"target: got {address!r}, expected host:port")
    return host, int(port)


def _lost(rules: Iterable[LinkRule]) -> float:
    return 1.0 - math.prod(1.0 - rule.loss_percent / 100 for rule in rules)


def _pair(rule: LinkRule, source: str, destination: str) -> bool:
    return rule.source in (ANY, source) and rule.destination in (ANY, destination)


def _built(kind: type[_T], document: Mapping[str, Any]) -> _T:
    try:
        built = build(kind, document, kind.__name__)
    except LabConfigError as error:
        raise RuleError(str(error)) from error
    for end in ("source", "destination"):
        if not getattr(built, end):
            raise RuleError(f"{end}: expected a name, found ''")
    return built
