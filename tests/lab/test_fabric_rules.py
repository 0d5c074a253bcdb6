"""Which rules concern an edge, and what they add up to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.network.delay_line import retransmissions_s
from tierdrill.lab.network.link_rules import (
    CLEAR,
    Edge,
    LinkRule,
    RuleError,
    behaviour,
    matches,
    parse_edge,
    parse_rule,
)

HOSTS = ["node-1", "node-2", "gateway-a", "controller"]
hosts = st.sampled_from(HOSTS)
patterns = st.sampled_from([*HOSTS, "*"])
edges = st.builds(Edge, st.just("e"), hosts, hosts, st.just("127.0.0.1:1"))
rules = st.builds(
    LinkRule, patterns, patterns, st.sampled_from(["delay", "blackhole", "reset"]), delay_ms=st.floats(0, 1000)
)


@given(rules, edges)
def test_a_rule_has_no_direction(rule: LinkRule, edge: Edge) -> None:
    turned_rule = LinkRule(rule.destination, rule.source, rule.mode, rule.delay_ms)
    turned_edge = Edge(edge.id, edge.destination, edge.source, edge.target)
    assert matches(rule, edge) == matches(turned_rule, edge) == matches(rule, turned_edge)
    assert rule.key == turned_rule.key


@given(st.lists(rules, max_size=5), edges)
def test_delays_add_up_and_order_does_not_matter(several: list[LinkRule], edge: Edge) -> None:
    result = behaviour(edge, several, [])
    concerning = [rule for rule in several if matches(rule, edge)]
    assert result.delay_ms == pytest.approx(sum(rule.delay_ms for rule in concerning if rule.mode == "delay"))
    assert result.held == any(rule.mode == "blackhole" for rule in concerning)
    turned = behaviour(edge, several[::-1], [])
    assert (turned.held, turned.refused, turned.dark) == (result.held, result.refused, result.dark)
    assert turned.delay_ms == pytest.approx(result.delay_ms)


def test_a_host_without_power_darkens_its_edges_only() -> None:
    edge = Edge("e", "gateway-a", "node-1", "127.0.0.1:1")
    assert behaviour(edge, [], ["node-1"]).dark
    assert behaviour(edge, [], ["gateway-a"]).silent
    assert behaviour(edge, [], ["node-2"]) == CLEAR


def test_stars() -> None:
    rule = parse_rule({"source": "*", "destination": "node-1", "mode": "blackhole"})
    assert matches(rule, Edge("e", "gateway-a", "node-1", "127.0.0.1:1"))
    assert matches(rule, Edge("e", "node-1", "controller", "127.0.0.1:1"))
    assert not matches(rule, Edge("e", "gateway-a", "node-2", "127.0.0.1:1"))


@pytest.mark.parametrize(
    "document",
    [
        {"source": "a", "destination": "b", "mode": "slow"},
        {"source": "a", "destination": "b", "mode": "delay"},
        {"source": "a", "destination": "b", "mode": "delay", "delay_ms": float("nan")},
        {"source": "a", "destination": "b", "mode": "delay", "delay_ms": -1},
        {"source": "a", "destination": "b", "mode": "pass", "leas_s": 3},
        {"source": "", "destination": "b", "mode": "pass"},
        {"source": "a", "destination": "b", "mode": "delay", "bandwidth_kbps": True},
    ],
)
def test_nonsense_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(RuleError):
        parse_rule(document)


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":1", "x:y"])
def test_bad_targets_are_refused(target: str) -> None:
    with pytest.raises(RuleError):
        parse_edge("e", {"source": "a", "destination": "b", "target": target})


def test_loss_goes_one_way_where_it_is_so_said_and_adds_up_as_probabilities_do() -> None:
    edge = Edge("e", "gateway-a", "node-1", "127.0.0.1:1")
    said = {"source": "gateway-a", "destination": "node-1", "mode": "delay", "loss_percent": 50}
    both, out = parse_rule(said), parse_rule({**said, "one_way": True})
    back = parse_rule({**said, "source": "node-1", "destination": "*", "one_way": True})
    assert [(one.loss_out, one.loss_in) for one in (behaviour(edge, [rule], []) for rule in (both, out, back))] == [
        (0.5, 0.5), (0.5, 0.0), (0.0, 0.5),
    ]  # fmt: skip
    assert behaviour(edge, [both, out], []).loss_out == pytest.approx(0.75)


def test_what_is_lost_comes_by_tcps_timeouts() -> None:
    draws = iter([0.1, 0.1, 0.9])
    assert retransmissions_s(0.5, 0.2, lambda: next(draws)) == pytest.approx(0.2 + 0.4)
    assert retransmissions_s(0.0, 0.2) == 0
    assert 120 < retransmissions_s(1.0, 0.2) < 300, "nothing comes while everything is lost"
