"""The pure guards: throttle, concurrency, fuse, conditions, substitution, dedup."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remediation_support import EPOCH, notice, playbook, step

from tierdrill.documents.models.playbook import Concurrency, Condition, Fuse, Match, Throttle
from tierdrill.remediation.fact_reader import judge
from tierdrill.remediation.guards import Go, GroupMemory, GuardMemory, Queue, Refuse, Wait, concurrency, fuse, throttle
from tierdrill.remediation.incident_book import IncidentBook, NoticeError, alert_selector, matches, notices_of
from tierdrill.remediation.substitution import Scope, SubstitutionError, bind, fill, nodes_of, retarget

INSTANTS = st.lists(st.floats(0, 1000, allow_nan=False), min_size=1, max_size=60).map(sorted)
KEYS = st.lists(st.integers(0, 8), min_size=60, max_size=60)


@given(INSTANTS, st.floats(0.1, 200))
def test_once_within_never_starts_twice_in_its_window(instants: list[float], window: float) -> None:
    memory, starts = GuardMemory(), list[float]()
    for number, now in enumerate(instants):
        decision, group = throttle(Throttle(once_within=window), memory.group(()), str(number), now, now)
        memory.remember((), group)
        if isinstance(decision, Go):
            memory.record_start((), frozenset(), now)
            starts.append(now)
    assert starts[0] == instants[0]
    assert all(later - earlier >= window for earlier, later in pairwise(starts))


@given(INSTANTS, KEYS, st.floats(1, 200), st.integers(1, 5))
def test_accumulate_starts_only_after_that_many_incidents(
    instants: list[float], keys: list[int], window: float, threshold: int
) -> None:
    memory, policy = GuardMemory(), Throttle(accumulate_within=window, threshold=threshold)
    seen: list[tuple[float, str]] = []
    for now, key in zip(instants, keys, strict=False):
        recent = {k for at, k in seen if now - at < window}
        if str(key) not in recent:
            seen.append((now, str(key)))
        decision, group = throttle(policy, memory.group(()), str(key), now, now)
        memory.remember((), group)
        assert len(group.arrivals) <= threshold
        distinct = {k for at, k in seen if now - at < window}
        if isinstance(decision, Go):
            assert len(distinct) >= threshold
            memory.record_start((), frozenset(), now)
            seen.clear()
        else:
            assert len(distinct) < threshold


@given(INSTANTS, st.floats(0.1, 200))
def test_once_after_waits_and_runs_once_a_window(instants: list[float], window: float) -> None:
    memory, policy = GuardMemory(), Throttle(once_after=window)
    waiting: list[tuple[float, str, float]] = []
    starts: list[float] = []
    times = sorted({*instants, *(at + window + 0.001 for at in instants)})
    for now in times:
        asked = [*waiting, *((now, f"i{now}", now) for at in instants if at == now)]
        waiting = []
        for arrived, key, until in asked:
            if until > now:
                waiting.append((arrived, key, until))
                continue
            decision, group = throttle(policy, memory.group(()), key, arrived, now)
            memory.remember((), group)
            if isinstance(decision, Wait):
                assert decision.until > now
                waiting.append((arrived, key, decision.until))
            elif isinstance(decision, Go):
                memory.record_start((), frozenset(), now)
                starts.append(now)
    assert starts and starts[0] >= instants[0] + window
    assert all(later - earlier >= window for earlier, later in pairwise(starts))


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 10)), min_size=1, max_size=60).map(sorted),
    st.floats(0.05, 1.0),
    st.floats(1, 300),
    st.integers(1, 10),
)
def test_fuse_never_lets_more_than_its_share_through(
    asks: list[tuple[float, int]], share: float, window: float, nodes_total: int
) -> None:
    memory, through = GuardMemory(), list[tuple[float, str]]()
    for now, number in asks:
        nodes = frozenset({f"node-{number}"})
        if isinstance(fuse(Fuse(max_nodes=share, window=window), memory.touched, nodes, nodes_total, now), Go):
            memory.record_start((), nodes, now)
            through.append((now, f"node-{number}"))
        recent = {node for at, node in through if now - at < window}
        assert len(recent) <= share * nodes_total + 1e-6


def test_fuse_is_nvsentinels() -> None:
    policy = Fuse(max_nodes=0.5, window=300.0)
    assert fuse(policy, {}, frozenset({"node-1"}), 2, 0.0) == Go(), "half of two nodes is not more than half"
    refused = fuse(policy, {"node-1": 0.0}, frozenset({"node-2"}), 3, 10.0)
    assert isinstance(refused, Refuse) and "2 of 3 nodes within 300s (node-1, node-2); at most 50%" in refused.reason
    assert fuse(policy, {"node-1": 0.0}, frozenset({"node-1"}), 3, 10.0) == Go(), "the same node again touches no more"
    assert fuse(policy, {"node-1": 0.0}, frozenset({"node-2"}), 3, 300.0) == Go(), "the window has passed"
    assert fuse(policy, {"node-1": 0.0}, frozenset(), 1, 1.0) == Go(), "a tier is on no node"


@given(st.integers(0, 20), st.integers(1, 10), st.sampled_from(["skip", "queue"]))
def test_concurrency(running: int, limit: int, on_limit: str) -> None:
    decision = concurrency(Concurrency.model_validate({"max": limit, "on_limit": on_limit}), running, 0)
    if running < limit:
        assert decision == Go()
    else:
        assert isinstance(decision, Queue if on_limit == "queue" else Refuse)


def test_slots_are_counted_down_to_nothing() -> None:
    memory = GuardMemory()
    memory.take_slot("a")
    memory.take_slot("a")
    memory.free_slot("a")
    assert memory.running == {"a": 1}
    memory.free_slot("a")
    memory.free_slot("a")
    assert memory.running == {}


def test_a_start_ends_the_count() -> None:
    memory = GuardMemory()
    memory.remember(("g",), GroupMemory(arrivals=((1.0, "a"),), opened_at=1.0))
    memory.record_start(("g",), frozenset({"node-1"}), 5.0)
    assert memory.group(("g",)) == GroupMemory(started_at=5.0)
    assert memory.touched == {"node-1": 5.0}


@pytest.mark.parametrize(
    ("given_", "value", "met"),
    [
        ({"equals": True}, True, True),
        ({"equals": True}, 1, False),
        ({"equals": 1}, True, False),
        ({"equals": 0}, 0.0, True),
        ({"equals": "healthy"}, "healthy", True),
        ({"equals": False}, None, False),
        ({"at_least": 1.0}, 1, True),
        ({"at_least": 1.0}, 0.999, False),
        ({"at_least": 0.0}, math.nan, False),
        ({"at_most": 0.0}, math.nan, False),
        ({"at_least": 0.0}, None, False),
        ({"at_least": 0.0}, True, False),
        ({"at_least": 0.2, "at_most": 0.4}, 0.5, False),
        ({}, True, True),
        ({}, 1, False),
    ],
)
def test_conditions(given_: dict[str, object], value: object, met: bool) -> None:
    outcome = judge(Condition.model_validate({"fact": "f", "subject": "s", **given_}), value)
    assert outcome.met is met
    assert outcome.seen.startswith("f of s is ")


def test_alert_selector() -> None:
    assert alert_selector("Down") == ("Down", {})
    assert alert_selector('Down{node=node-2, gpu="0"}') == ("Down", {"node": "node-2", "gpu": "0"})
    for bad in ("", "a b", "Down{node}", "Down{", "Down}"):
        with pytest.raises(ValueError, match="expected"):
            alert_selector(bad)


SCOPE = Scope("Broken", {"node": "node-2", "tricky": "${labels.node}"}, "node-2/0")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain $5 {x}", "plain $5 {x}"),
        ("${target}", "node-2/0"),
        ("a${labels.node}b${alert}", "anode-2bBroken"),
        ("${labels.tricky}", "${labels.node}"),
    ],
)
def test_fill(text: str, filled: str) -> None:
    assert fill(text, SCOPE) == filled


@pytest.mark.parametrize(
    "text", ["${labels.gpu}", "${}", "${node}", "${target.__class__}", "${target", "${a{b}}", "x${"]
)
def test_fill_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(SubstitutionError, match=r"unknown name|unfinished name"):
        fill(text, SCOPE)


@given(st.text(max_size=60))
def test_fill_says_or_refuses_and_never_breaks(text: str) -> None:
    try:
        assert isinstance(fill(text, SCOPE), str)
    except SubstitutionError as error:
        assert str(error)


def test_retarget_bends_the_labels_that_name_the_target() -> None:
    scope = Scope("A", {"node": "node-2", "gpu": "0", "gateway": "gateway-a", "replica": "r-1"}, "x")
    assert retarget(scope, "gpu", "node-3/1").labels == {**scope.labels, "node": "node-3", "gpu": "1"}
    assert retarget(scope, "link", "gateway-b>node-1").labels["gateway"] == "gateway-b"
    assert retarget(scope, "replica", "r-9").labels["replica"] == "r-9"
    assert retarget(scope, "service", "s").labels == scope.labels


def test_nodes_of_targets() -> None:
    assert nodes_of("node", "node-2", {}) == {"node-2"}
    assert nodes_of("gpu", "node-2/0", {}) == {"node-2"}
    assert nodes_of("link", "gateway-a>node-2", {}) == {"node-2"}
    assert nodes_of("replica", "assistant-0", {"node": "node-1"}) == {"node-1"}
    assert nodes_of("replica", "assistant-0", {}) == nodes_of("tier", "critical", {"node": "n"}) == frozenset()


def test_guards_look_at_the_incident_and_steps_at_the_wrong_target() -> None:
    book = playbook(when=[{"fact": "node.ready", "subject": "${target}"}], steps=[step("a")])
    bound = bind(book, "Broken", {"node": "node-1"}, wrong_target="node-3")
    assert isinstance(bound.when[0], Condition) and bound.when[0].subject == "node-1"
    assert (bound.target, bound.retargeted, bound.nodes) == ("node-3", True, frozenset({"node-3"}))
    assert bound.steps[0].arguments == {"node": "node-3"}


def test_bind_fills_lists_rollbacks_and_checks_and_keeps_numbers() -> None:
    book = playbook(
        steps=[
            {
                "name": "a",
                "do": "reschedule",
                "arguments": {"node": "${target}", "tiers": ["${labels.tier}", "x"], "weight": 0, "on": True},
                "verify": {"fact": "f", "subject": "${target}", "equals": "${labels.tier}"},
                "rollback": {"do": "uncordon", "arguments": {"node": "${labels.node}"}},
            }
        ]
    )
    only = bind(book, "Broken", {"node": "node-1", "tier": "critical"}).steps[0]
    assert only.arguments == {"node": "node-1", "tiers": ["critical", "x"], "weight": 0, "on": True}
    assert only.verify and (only.verify.subject, only.verify.equals) == ("node-1", "critical")
    assert only.rollback and only.rollback.arguments == {"node": "node-1"}


ORDERS = st.lists(
    st.tuples(st.sampled_from(["node-1", "node-2"]), st.integers(0, 3), st.sampled_from(["firing", "resolved"])),
    max_size=40,
)


@given(ORDERS)
def test_an_incident_is_new_once_and_ends_once(notices: list[tuple[str, int, str]]) -> None:
    book, new, ended = IncidentBook(), list[str](), list[str]()
    for node, start, status in notices:
        news = book.take(notice(node, at=EPOCH + start, status=status))  # type: ignore[arg-type]
        if news.superseded:
            assert not news.superseded.firing
            ended.append(news.superseded.key)
        if news.kind == "new" and news.incident:
            new.append(news.incident.key)
        if news.kind == "resolved" and news.incident:
            ended.append(news.incident.key)
    assert len(new) == len(set(new))
    assert len(ended) == len(set(ended))


def test_the_book_forgets_the_oldest_and_answers_what_fires() -> None:
    book = IncidentBook(label_sets_max=2)
    for node in ("node-1", "node-2", "node-3"):
        book.take(notice(node))
    assert [book.firing(f"Broken{{node=node-{n}}}") for n in (1, 2, 3)] == [False, True, True]
    book.take(notice("node-3", status="resolved"))
    assert book.firing("Broken") and not book.firing("Broken{node=node-3}") and not book.firing("Other")


def test_match_needs_every_label() -> None:
    assert matches(Match(alert="Broken"), notice())
    assert matches(Match(alert="Broken", labels={"node": "node-1"}), notice())
    assert not matches(Match(alert="Broken", labels={"node": "node-2"}), notice())
    assert not matches(Match(alert="Other"), notice())


@pytest.mark.parametrize("version", ["3", "5", 4])
def test_a_body_of_another_version_is_refused_by_its_version(version: object) -> None:
    with pytest.raises(NoticeError, match=rf"of version '{version}', expected version '4'"):
        notices_of({"version": version, "alerts": []})


def test_notices_of_an_alertmanager_body() -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "NodeNotReady", "node": "node-2"},
        "annotations": {"summary": "s"},
        "startsAt": "2026-01-02T03:04:05.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "abc",
    }
    (found,) = notices_of({"version": "4", "status": "firing", "alerts": [alert]})
    assert (found.alert, found.fingerprint, found.labels["node"]) == ("NodeNotReady", "abc", "node-2")
    assert found.starts_at == pytest.approx(1767323045.123456)
    assert replace(found, status="resolved").incident == found.incident
    bodies: list[object] = [{}, [], {"alerts": [1]}]
    wrongs: list[dict[str, object]] = [{"status": "x"}, {"labels": {}}, {"labels": [1]}]
    bodies += [{"alerts": [{**alert, **wrong}]} for wrong in wrongs]
    for broken in bodies:
        with pytest.raises(NoticeError, match=r"expected|alertname"):
            notices_of(broken)
    with pytest.raises(NoticeError, match="RFC 3339"):
        notices_of({"alerts": [{**alert, "startsAt": "yesterday"}]})
