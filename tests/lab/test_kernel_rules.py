"""What the agent is asked to do for a link's rule."""

from __future__ import annotations

from tierdrill.lab.network.kernel_rules import HostOrder, host_orders
from tierdrill.lab.network.link_rules import LinkRule

AT = {"gateway-a": "10.0.0.1", "gateway-b": "10.0.0.2", "node-1": "10.0.0.3"}


def orders(source: str, destination: str, mode: str, **settings: object) -> list[HostOrder]:
    return host_orders(LinkRule(source, destination, mode, **settings), AT)  # type: ignore[arg-type]


def test_a_round_trip_is_delayed_at_one_end_and_a_rate_is_kept_at_both() -> None:
    (delay,) = orders("gateway-a", "node-1", "delay", delay_ms=100.0, jitter_ms=40.0)
    assert delay.host == "gateway-a" and delay.kind == "shape"
    assert delay.parameters == {"delay_ms": 100.0, "jitter_ms": 20.0, "device": "eth0", "peers": ["10.0.0.3"]}
    there, back = orders("gateway-a", "node-1", "delay", bandwidth_kbps=64.0)
    assert (there.host, there.parameters["peers"]) == ("gateway-a", ["10.0.0.3"])
    assert (back.host, back.parameters["peers"]) == ("node-1", ["10.0.0.1"])
    assert there.parameters["rate_kbit"] == back.parameters["rate_kbit"] == 64.0


def test_loss_one_way_is_what_the_source_sends() -> None:
    (both,) = orders("gateway-a", "node-1", "delay", loss_percent=20.0)
    assert both.parameters == {"percent": 20.0, "direction": "both", "peers": ["10.0.0.3"]}
    (out,) = orders("gateway-a", "node-1", "delay", loss_percent=100.0, one_way=True)
    assert out.host == "gateway-a" and out.parameters["direction"] == "out"
    (into,) = orders("*", "node-1", "delay", loss_percent=100.0, one_way=True)
    assert into.host == "node-1" and into.parameters["direction"] == "in"


def test_a_slow_handshake_is_that_of_syn_packets_and_a_flapping_link_is_a_black_hole_by_turns() -> None:
    (slow,) = orders("gateway-a", "node-1", "delay", handshake_ms=300.0)
    assert slow.parameters == {"delay_ms": 300.0, "syn": True, "device": "eth0", "peers": ["10.0.0.3"]}
    (flap,) = orders("gateway-a", "node-1", "blackhole", period_ms=1000.0, down_percent=40.0)
    assert (flap.kind, flap.parameters) == ("drop", {"period_ms": 1000.0, "down_percent": 40.0, "peers": ["10.0.0.3"]})


def test_any_is_everybody_else_and_each_pair_is_hit_once() -> None:
    (one,) = orders("*", "node-1", "blackhole")
    assert one == HostOrder("node-1", "drop", {"peers": ["10.0.0.1", "10.0.0.2"]})
    (one,) = orders("gateway-b", "*", "reset")
    assert one.host == "gateway-b" and one.parameters == {"reject": True, "peers": ["10.0.0.1", "10.0.0.3"]}
    found = {(one.host, peer) for one in orders("*", "*", "blackhole") for peer in one.parameters["peers"]}
    assert {frozenset(pair) for pair in found} == {
        frozenset({"gateway-a", "10.0.0.2"}),
        frozenset({"gateway-a", "10.0.0.3"}),
        frozenset({"gateway-b", "10.0.0.3"}),
    }
    assert orders("gateway-a", "nowhere", "blackhole") == []
