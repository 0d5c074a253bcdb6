"""One rule of blast radius and protection: for patterns, for the sum of faults, for what falls with a target."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conductor.test_plan import plan
from tests.documents.support import DRILL, ENVIRONMENT, changed, good_catalogue, lines
from tests.injection.test_injector import Place, injector, place
from tests.judge.build import shipped

from tierdrill.conductor.plan import PlanError
from tierdrill.faults.blast_radius import ConcurrentFaults, Layout, Limits, affected, links_of, touched
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.injection.injector import Injector, Refused
from tierdrill.report.run.touched_targets import blast_of
from tierdrill.report.run_state import fold

__all__ = ["place"]

NODES, GATEWAYS = ("node-1", "node-2", "node-3"), ("gateway-a", "gateway-b")
GPUS = tuple(f"{node}/{gpu}" for node in NODES for gpu in (0, 1))
LAYOUT = Layout(
    links_of(GATEWAYS, NODES),
    {node: (f"{node}/0", f"{node}/1", f"assistant-{node[-1]}") for node in NODES},
    {f"assistant-{node[-1]}": "critical" for node in NODES},
)
HOSTS = st.sampled_from((*NODES, *GATEWAYS, "controller", "prometheus", "*"))
TARGETS = {
    "node": st.sampled_from(NODES),
    "gpu": st.sampled_from(GPUS),
    "replica": st.sampled_from(["assistant-1", "assistant-2", "assistant-3"]),
    "gateway": st.sampled_from(GATEWAYS),
    "link": st.tuples(HOSTS, HOSTS).map(">".join),
    "stream": st.just("batch"),
    "tier": st.just("critical"),
    "prometheus": st.just("prometheus"),
    "alertmanager": st.just("alertmanager"),
    "store": st.sampled_from(["state-store", "state-store-1", "store-a"]),
    "engine": st.just("engine"),
}
FAULTS = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), TARGETS[KINDS[kind].target_kind]))
LIMITS = st.fixed_dictionaries({kind: st.integers(0, 3) for kind in ("node", "gpu", "replica", "link", "gateway")}).map(
    lambda most: Limits("lab", most)
)


def refused(limits: Limits, faults: list[tuple[str, str]]) -> set[str]:
    reach = ConcurrentFaults(limits, LAYOUT)
    return {str(one) for kind, target in faults for one in reach.add(kind, target)}


def total(faults: list[tuple[str, str]]) -> dict[str, frozenset[str]]:
    reach = ConcurrentFaults(Limits("lab", {}), LAYOUT)
    for kind, target in faults:
        reach.add(kind, target)
    return {what: reach.reach(what) for what in TARGETS}


@given(st.lists(FAULTS, max_size=6).flatmap(lambda faults: st.tuples(st.just(faults), st.permutations(faults))))
def test_the_order_of_faults_changes_nothing(both: tuple[list[tuple[str, str]], list[tuple[str, str]]]) -> None:
    assert total(both[0]) == total(both[1])


@given(st.lists(FAULTS, max_size=5), FAULTS, LIMITS)
def test_more_faults_never_reach_less_far(faults: list[tuple[str, str]], one: tuple[str, str], limits: Limits) -> None:
    before, after = total(faults), total([*faults, one])
    assert all(before[what] <= after[what] for what in TARGETS)
    assert total([*faults, one, one]) == after, "the same fault again is no more"
    assert bool(refused(limits, [*faults, one])) >= bool(refused(limits, faults))


@given(st.lists(FAULTS, max_size=5), FAULTS)
def test_what_is_undone_counts_no_more(faults: list[tuple[str, str]], one: tuple[str, str]) -> None:
    reach = ConcurrentFaults(Limits("lab", {}), LAYOUT)
    others = [each for each in faults if each != one]
    for kind, target in (*others, one):
        reach.add(kind, target)
    kind, target = one
    reach.remove([kind], target)
    kept = [each for each in others if each[0] != kind or sorted(each[1].split(">")) != sorted(target.split(">"))]
    assert {what: reach.reach(what) for what in TARGETS} == total(kept)


@given(st.lists(FAULTS, max_size=4), LIMITS)
def test_exactly_what_is_beyond_a_limit_is_refused(faults: list[tuple[str, str]], limits: Limits) -> None:
    sums = total(faults)
    beyond = {what for what, most in limits.most.items() if len(sums[what]) > most}
    found = refused(limits, faults)
    assert {what for what in limits.most if any(f"blast_radius.{what}s" in one for one in found)} == beyond


@given(FAULTS)
def test_a_protected_target_is_refused_by_its_name_and_by_a_pattern(fault: tuple[str, str]) -> None:
    kind, target = fault
    names = affected(KINDS[kind].target_kind, target, LAYOUT)
    assert target in names
    for pattern in (target.replace("*", "[*]"), *names):
        if "*" not in pattern:
            assert refused(Limits("lab", {}, (pattern,)), [fault]), pattern
    assert not refused(Limits("lab", {}, ("nothing-*",)), [fault])


@pytest.mark.parametrize(
    ("target", "cut"),
    [("gateway-a>node-2", 1), ("node-2>gateway-a", 1), ("*>node-2", 4), ("node-2>*", 4), ("gateway-a>*", 4)],
)
def test_a_link_to_anything_is_every_link_that_it_cuts(target: str, cut: int) -> None:
    assert len(touched("link", target, LAYOUT)) == cut


@pytest.mark.parametrize(
    ("kind", "target", "pattern", "hit"),
    [
        ("node-power-loss", "node-2", "node-*", True),
        ("node-power-loss", "node-2", "node-2/1", True),
        ("node-power-loss", "node-2", "assistant", True),
        ("node-power-loss", "node-2", "critical", True),
        ("node-power-loss", "node-2", "assistant-1", False),
        ("gpu-fallen-off-bus", "node-2/1", "node-2", True),
        ("replica-crash", "assistant-1", "assistant", True),
        ("link-latency", "gateway-a>node-2", "node-2", True),
        ("link-latency", "gateway-a>node-2", "gateway-*", False),
        ("link-latency", "gateway-a>node-2", "gateway-a>*", True),
        ("link-latency", "node-2>*", "prom*", True),
        ("link-latency", "*>node-2", "prom*", False),
        ("load-surge", "batch", "batch", True),
    ],
)
def test_what_falls_with_a_target_is_protected_with_it(kind: str, target: str, pattern: str, hit: bool) -> None:
    assert bool(refused(Limits("lab", {}, (pattern,)), [(kind, target)])) is hit


def test_limits_reach_another_process_as_they_are() -> None:
    limits = shipped().environment.limits
    assert Limits(**json.loads(json.dumps(vars(limits)))) == replace(limits, protected=list(limits.protected))


def test_check_plan_and_injection_refuse_a_protected_pattern_in_the_same_words(tmp_path: Path, place: Place) -> None:
    words = "node-power-loss of node-2; environment lab protects node-*"
    root = good_catalogue(tmp_path / "documents")
    changed(root, ENVIRONMENT, ("protected: [gateway-a, gateway-b]", 'protected: ["node-*"]'))
    assert f"{DRILL}:7:19: {words}" in lines(root)
    setting = shipped()
    guarded = replace(setting, environment=setting.environment.model_copy(update={"protected": ("node-*",)}))
    with pytest.raises(PlanError, match=f"^{re.escape(words)}$"):
        plan(guarded)
    with pytest.raises(Refused, match=f"^{re.escape(words)}$"):
        limited(tmp_path, guarded.environment.limits).inject("node-power-loss", {"node": "node-2"}, 5.0)
    assert place.injected == 0


def limited(home: Path, limits: Limits) -> Injector:
    return replace(injector(home, []), limits=limits)


def test_at_injection_everything_that_stands_in_the_place_counts(tmp_path: Path, place: Place) -> None:
    one = limited(tmp_path, Limits("lab", {"replica": 1}))
    one.inject("replica-crash", {"replica": "assistant-1"}, 5.0)
    one.inject("replica-hang", {"replica": "assistant-1"}, 5.0)
    with pytest.raises(Refused, match=r"2 replicas at a time .*; environment lab allows 1 \(blast_radius.replicas\)"):
        one.inject("replica-crash", {"replica": "assistant-2"}, 5.0)
    with pytest.raises(Refused, match=r"2 replicas at a time .* environment narrowed allows 0"):
        limited(tmp_path, Limits("narrowed", {"replica": 0})).inject("replica-crash", {"replica": "assistant-2"}, 5.0)
    replace(one, place={"target": "another"}).inject("replica-crash", {"replica": "assistant-2"}, 5.0)
    assert place.injected == 3


def test_at_injection_it_is_known_what_lives_on_a_node(tmp_path: Path, place: Place) -> None:
    one = limited(tmp_path, Limits("lab", {}, ("assistant-1",)))
    with pytest.raises(Refused, match="node-power-loss of node-1; environment lab protects assistant-1"):
        one.inject("node-power-loss", {"node": "node-1"}, 5.0)
    one.inject("node-power-loss", {"node": "node-2"}, 5.0)


def test_a_report_counts_what_was_touched_by_the_same_rule() -> None:
    about = {"fault": "r/f", "kind": "link-partition", "target": "*>node-2", "target_kind": "link"}
    events = [Event(1.0, "fault.intended", "experiment", about), Event(9.0, "run.ended", "runner", {})]
    (links,) = [one for one in blast_of(shipped(), fold(events), events, []).reaches if one.kind == "link"]
    assert (links.touched, links.allowed, links.within, links.names) == (4, 2, False, ("*>node-2",))
