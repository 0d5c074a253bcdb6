"""What the agent is asked to do in which host's network, for a link's rule. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.lab.network.link_rules import ANY, LinkRule
from tierdrill.lab.network.namespace_hosts import INTERFACE

Parameters = dict[str, Any]


@dataclass(frozen=True)
class HostOrder:
    """One fault of the agent: of this kind, in this host's network."""

    host: str
    kind: str
    parameters: Parameters = field(hash=False)


def host_orders(rule: LinkRule, addresses: Mapping[str, str]) -> list[HostOrder]:
    """All of a rule. One end does what both directions are to feel; only a rate is kept at both ends.

    A delay is that of a round trip, and all of it is put on what leaves that end.
    """
    orders = []
    for host, peers in _ends(rule, addresses).items():
        there = [addresses[peer] for peer in peers]
        orders += [HostOrder(host, kind, {**what, "peers": there}) for kind, what in _faults(rule, host)]
        if rule.mode == "delay" and rule.bandwidth_kbps is not None:
            back = _shape({"rate_kbit": rule.bandwidth_kbps})
            orders += [HostOrder(peer, "shape", {**back, "peers": [addresses[host]]}) for peer in peers]
    return orders


def _ends(rule: LinkRule, addresses: Mapping[str, str]) -> dict[str, list[str]]:
    """Where the rule is put in force, and towards whom: at its source, or its destination where the source is any."""
    found: dict[str, list[str]] = {}
    for number, one in enumerate(addresses):
        for other in list(addresses)[number + 1 :]:
            for source, destination in ((one, other), (other, one)):
                if rule.source in (ANY, source) and rule.destination in (ANY, destination):
                    at_source = rule.source != ANY or rule.destination == ANY
                    host, peer = (source, destination) if at_source else (destination, source)
                    found.setdefault(host, []).append(peer)
                    break
    return found


def _faults(rule: LinkRule, host: str) -> Iterator[tuple[str, Parameters]]:
    if rule.mode == "blackhole":
        comes = {"period_ms": rule.period_ms, "down_percent": rule.down_percent} if rule.period_ms else {}
        yield "drop", comes
    elif rule.mode == "reset":
        yield "drop", {"reject": True}
    elif rule.mode == "delay":
        if rule.loss_percent:
            direction = "both" if not rule.one_way else "in" if host == rule.destination else "out"
            yield "drop", {"percent": rule.loss_percent, "direction": direction}
        if rule.handshake_ms:
            yield "shape", _shape({"delay_ms": rule.handshake_ms, "syn": True})
        # Up or down by half of the jitter, as the round trips of the proxy.
        shape = {"delay_ms": rule.delay_ms, "jitter_ms": rule.jitter_ms / 2, "rate_kbit": rule.bandwidth_kbps or 0}
        if any(shape.values()):
            yield "shape", _shape({name: value for name, value in shape.items() if value})


def _shape(what: Parameters) -> Parameters:
    return {**what, "device": INTERFACE}
