"""What the witnesses of each remedy see, and what they do not take for an effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import WATCHDOG_MISSING
from tierdrill.judge.checks.remedy_effects import Effect, Witnesses
from tierdrill.judge.sample_columns import samples_event_data
from tierdrill.judge.samples import collect
from tierdrill.judge.timeline import executions, read_timeline
from tierdrill.judge.verdict import Status
from tierdrill.remedies.known_remedies import REMEDIES

GATEWAYS = ("gateway-a", "gateway-b")
BEGUN, DONE, UNDONE = 10.0, 11.0, 30.0
Row = dict[str, Any]


def state(at: float, *, boot: str = "b1", ready: bool = True, **lives: tuple[str | None, int, int, bool]) -> Event:
    """node-1 and replicas as (node, generation, restarts, ready)."""
    replicas = [
        {
            "name": name.replace("_", "-"),
            "model": name[:-2],
            "tier": "critical",
            "node": node,
            "gpu": int(name[-1]) % 2,
            "generation": generation,
            "restarts": restarts,
            "ready": up,
        }
        for name, (node, generation, restarts, up) in lives.items()
    ]
    nodes = [{"name": "node-1", "ready": ready, "boot_id": boot}, {"name": "node-2", "ready": True, "boot_id": "c1"}]
    return Event(at, "lab.state", "lab", {"nodes": nodes, "replicas": replicas})


def seen(
    remedy: str,
    arguments: dict[str, Any],
    *others: Event,
    rows: Sequence[Row] = (),
    attempts: int = 1,
    of: str = "A",
) -> Effect:
    """What the witness of one remedy saw, done from 10 to 11 s, of a fault that was undone after 30 s."""
    about = {"playbook": "p", "execution": "p-1", "target": "t", "phase": "act"}
    notice = {"alert": of, "labels": {"alertname": of, "source": "node-1"}}
    made = [Event(9.0, "playbook.started", "r", {**about, "alert": of, "notice": notice})]
    for attempt in range(1, attempts + 1):
        step = {**about, "attempt": attempt, "step": "s", "action": remedy}
        at = BEGUN - 0.1 * (attempts - attempt)
        made.append(Event(at, "playbook.step_started", "r", {**step, "arguments": arguments}))
        end = DONE if attempt == attempts else at + 0.01
        made.append(Event(end, "playbook.step", "r", {**step, "ok": attempt == attempts}))
    made.append(Event(40.0, "run.ended", "r", {}))
    if rows:
        made.append(Event(35.0, "load.samples", "load", samples_event_data(rows)))
    events = sorted([*made, *others], key=lambda event: event.at)
    [one] = executions(events)
    found = Witnesses(events, collect(events), read_timeline(events), GATEWAYS).effect(one, one.last_steps[-1], UNDONE)
    assert found is not None and found.witness == REMEDIES[remedy].witness
    return found


def is_(found: Effect, status: Status, what: str) -> None:
    assert found.status is status and what in found.seen, found


RESTART = ("restart-replica", {"replica": "assistant-1"})


@pytest.mark.parametrize(
    ("views", "attempts", "status", "what"),
    [
        ([("node-1", 1, 0, False), ("node-1", 1, 1, True)], 1, Status.PASSED, "started again and ready"),
        ([("node-1", 1, 0, False), ("node-1", 1, 1, False)], 1, Status.FAILED, "never showed"),
        ([("node-1", 1, 0, True), ("node-1", 1, 0, True)], 1, Status.FAILED, "never showed"),
        ([("node-1", 1, 0, False), ("node-1", 1, 2, True)], 1, Status.FAILED, "assistant-1 was started again 2 times"),
        ([("node-1", 1, 0, False), ("node-1", 1, 2, True)], 2, Status.PASSED, "started again and ready"),
        ([("node-1", 1, 0, False), ("node-2", 2, 0, True)], 1, Status.PASSED, "started again and ready"),
    ],
)
def test_a_replica_starts_once(
    views: list[tuple[str, int, int, bool]], attempts: int, status: Status, what: str
) -> None:
    before, after = (state(at, assistant_1=life) for at, life in zip((5.0, 12.0), views, strict=True))
    is_(seen(*RESTART, before, after, attempts=attempts), status, what)


def test_what_comes_back_only_with_the_end_of_the_fault_was_not_brought_back() -> None:
    before, after = state(5.0, assistant_1=("node-1", 1, 0, False)), state(31.0, assistant_1=("node-1", 1, 1, True))
    is_(seen(*RESTART, before, after), Status.FAILED, "only 1.0s after the fault was undone")


HERE = {"assistant_1": ("node-1", 1, 0, True), "assistant_2": ("node-2", 1, 0, True)}
GONE = {**HERE, "assistant_1": (None, 1, 0, False)}
MOVED = {**HERE, "assistant_1": ("node-2", 2, 0, True)}


@pytest.mark.parametrize(
    ("remedy", "after", "status"),
    [
        ("reschedule", MOVED, Status.PASSED),
        ("reschedule", GONE, Status.FAILED),
        ("reschedule", HERE, Status.FAILED),
        ("drain", GONE, Status.PASSED),
        ("drain", HERE, Status.FAILED),
    ],
)
def test_what_was_on_a_node_is_elsewhere(remedy: str, after: dict[str, Any], status: Status) -> None:
    is_(seen(remedy, {"node": "node-1"}, state(5.0, **HERE), state(12.0, **after)), status, "assistant-1")


@pytest.mark.parametrize(
    ("boots", "status", "what"),
    [
        ([("b1", False), ("b2", True)], Status.PASSED, "node-1 booted and ready"),
        ([("b1", True)], Status.FAILED, "never showed"),
        ([("b1", False), ("b2", False)], Status.FAILED, "never showed"),
        ([("b2", True), ("b2", False), ("b3", True)], Status.FAILED, "booted 2 times"),
    ],
)
def test_a_node_boots_once(boots: list[tuple[str, bool]], status: Status, what: str) -> None:
    views = [state(12.0 + number, boot=boot, ready=ready, **HERE) for number, (boot, ready) in enumerate(boots)]
    is_(seen("power-cycle", {"node": "node-1"}, state(5.0, **HERE), *views), status, what)


def test_a_node_of_which_no_boot_is_told_must_have_been_gone() -> None:
    views = [state(at, boot="", ready=ready, **HERE) for at, ready in ((5.0, True), (12.0, False), (13.0, True))]
    is_(seen("power-cycle", {"node": "node-1"}, *views), Status.PASSED, "booted and ready")
    is_(seen("power-cycle", {"node": "node-1"}, views[0], views[2]), Status.FAILED, "never showed")


def test_everything_is_ready_after_a_rebalance() -> None:
    assert seen("rebalance", {}, state(12.0, **GONE), state(14.0, **MOVED)).status is Status.PASSED
    assert seen("rebalance", {}, state(12.0, **GONE)).status is Status.FAILED


def rows(begin: float, end: float, share: float, *, outcome: str = "ok", gateway: int = 0) -> list[Row]:
    """Twenty requests a second, this share of which assistant-1 answers."""
    total = round((end - begin) * 20)
    return [
        {
            "tier": "critical",
            "stream": "s",
            "due": begin + number / 20,
            "latency": 0.01,
            "outcome": outcome,
            "replica": "assistant-1" if int(number * share) != int((number + 1) * share) else "assistant-2",
            "gateway": gateway,
        }
        for number in range(total)
    ]


WEIGHT = {"node": "node-1", "weight": 0, "gateway": "gateway-a"}


@pytest.mark.parametrize(
    ("after", "status", "what"),
    [
        (rows(11, 29, 0.0), Status.PASSED, "0 of 360 requests were answered by node-1 (100 of 200 before)"),
        (rows(11, 29, 0.5), Status.FAILED, "180 of 360"),
        (rows(11, 29, 0.25), Status.FAILED, "90 of 360"),
        (rows(11, 11.5, 0.0), Status.INCONCLUSIVE, "too few to tell"),
        (rows(11, 29, 0.0, gateway=1), Status.INCONCLUSIVE, "too few to tell"),
    ],
)
def test_traffic_leaves_what_weighs_nothing(after: list[Row], status: Status, what: str) -> None:
    is_(seen("set-weight", WEIGHT, state(0.0, **HERE), rows=[*rows(0, 10, 0.5), *after]), status, what)


SLOW = {"fault": "f", "kind": "link-latency", "target": "node-1", "target_kind": "node"}


@pytest.mark.parametrize(
    ("later", "status", "what"),
    [
        (rows(30, 34, 0.0), Status.PASSED, "0 of 360 requests were answered by node-1"),
        (rows(30, 34, 0.5), Status.FAILED, "40 of 80 requests were answered by node-1 once the fault was undone"),
        (rows(30, 30.5, 0.0), Status.INCONCLUSIVE, "the traffic had left before the step: too few to tell"),
    ],
)
def test_traffic_that_had_left_before_is_not_the_weight_s_doing(later: list[Row], status: Status, what: str) -> None:
    fault = [
        Event(4.0, "fault.intended", "e", SLOW),
        Event(5.0, "fault.landed", "e", {"fault": "f", "effective_at": 5.0}),
    ]
    back = {"execution": "p-1", "playbook": "p", "phase": "resolve", "step": "b", "action": "set-weight"}
    given = Event(34.0, "playbook.step_started", "r", {**back, "arguments": {**WEIGHT, "weight": 1}})
    told = [*rows(0, 5, 0.5), *rows(5, 10, 0.0), *rows(11, 29, 0.0), *later]
    is_(seen("set-weight", WEIGHT, state(0.0, **HERE), *fault, given, rows=told), status, what)


def test_what_waited_until_the_weight_was_given_back_is_not_held_against_it() -> None:
    back = {"execution": "p-1", "playbook": "p", "phase": "resolve", "step": "b", "action": "set-weight"}
    given = Event(20.0, "playbook.step_started", "r", {**back, "arguments": {**WEIGHT, "weight": 1}})
    waited = [{**row, "latency": 3.0} for row in rows(18, 20, 1.0)]
    told = [*rows(0, 10, 0.5), *rows(11, 18, 0.0), *waited]
    is_(seen("set-weight", WEIGHT, state(0.0, **HERE), given, rows=told), Status.PASSED, "0 of 140")


def test_of_a_gpu_only_its_own_replicas_count() -> None:
    both = {"assistant_1": ("node-1", 1, 0, True), "assistant_2": ("node-1", 1, 0, True)}
    told = [*rows(0, 10, 0.5), *rows(11, 29, 0.0)]
    one = seen("set-weight", {"node": "node-1", "gpu": "1", "weight": 0}, state(0.0, **both), rows=told)
    is_(one, Status.PASSED, "by node-1/1 (100 of 200 before)")
    other = seen("set-weight", {"node": "node-1", "gpu": "0", "weight": 0}, state(0.0, **both), rows=told)
    assert other.status is Status.FAILED


def exited(at: float) -> Event:
    return Event(at, "process.exited", "lab", {"name": "gateway-a", "exit_code": 0, "expected": True})


GATEWAY = ("restart-gateway", {"gateway": "gateway-a"})


@pytest.mark.parametrize(
    ("ends", "after", "status", "what"),
    [
        ((10.5,), rows(12, 20, 0.5), Status.PASSED, "160 of 160 requests through it were answered since"),
        ((10.5, 10.8), rows(12, 20, 0.5), Status.FAILED, "ended 2 times"),
        ((), rows(12, 20, 0.5), Status.FAILED, "did not end"),
        ((5.0,), rows(12, 20, 0.5), Status.PASSED, "was down, and 160 of 160"),
        ((5.0,), rows(12, 20, 0.5, outcome="error"), Status.FAILED, "was down, and 0 of 160"),
        ((5.0,), (), Status.FAILED, "was down, and 0 of 0"),
        ((5.0,), [*rows(6, 8, 0.5), *rows(12, 20, 0.5)], Status.FAILED, "did not end"),
        ((10.5,), rows(12, 20, 0.5, outcome="error"), Status.FAILED, "0 of 160"),
        ((10.5,), rows(12, 20, 0.5, gateway=1), Status.INCONCLUSIVE, "too few to tell"),
    ],
)
def test_a_gateway_ends_once_and_serves(ends: tuple[float, ...], after: list[Row], status: Status, what: str) -> None:
    is_(seen(*GATEWAY, *map(exited, ends), rows=after), status, what)


def alert(at: float, to: str, source: str = "node-1", via: str = "prometheus", name: str = "A") -> Event:
    data = {"alert": name, "state": to, "labels": {"source": source}, "via": via}
    return Event(at, "alert.state", "monitoring", data)


@pytest.mark.parametrize(
    ("alerts", "status"),
    [
        ((alert(8, "firing"), alert(12, "resolved")), Status.PASSED),
        ((alert(8, "firing"),), Status.FAILED),
        ((alert(8, "firing"), alert(31, "resolved")), Status.FAILED),
        ((alert(8, "firing"), alert(12, "resolved", "node-2")), Status.FAILED),
        ((alert(8, "firing", via="webhook"), alert(12, "resolved", via="webhook")), Status.INCONCLUSIVE),
    ],
)
def test_an_exporter_is_back_when_prometheus_misses_nothing(alerts: tuple[Event, ...], status: Status) -> None:
    assert seen("restart-exporter", {"node": "node-1"}, *alerts).status is status


@pytest.mark.parametrize(("ends", "status"), [(12, Status.PASSED), (31, Status.FAILED)])
def test_that_monitoring_is_back_its_receiver_hears_and_no_prometheus_says(ends: float, status: Status) -> None:
    heard = [alert(at, to, via="webhook", name=WATCHDOG_MISSING) for at, to in ((8, "firing"), (ends, "resolved"))]
    is_(seen("restart-monitoring", {}, *heard, of=WATCHDOG_MISSING), status, WATCHDOG_MISSING)


def test_every_remedy_that_names_a_witness_is_looked_at_and_no_other() -> None:
    assert all(bool(remedy.witness) == hasattr(Witnesses, remedy.look or "none") for remedy in REMEDIES.values())
