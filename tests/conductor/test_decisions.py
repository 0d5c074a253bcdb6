"""Small parts that decide or pass on: guardrails, the stop box, the recorder, preflight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.conductor.guardrails import GuardrailWatch
from tierdrill.conductor.preflight import check_alerts, check_inventory, settle
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.run_start import holder_of_lab
from tierdrill.documents.models.drill import Guardrail
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.targets.base import Finding, GpuState, Inventory, NodeState, ReplicaState

WINDOW = 3.0
FLOOR = 0.5
LEAST = 20
GUARDRAIL = Guardrail.model_validate(
    {"tier": "critical", "availability_below": "50%", "window": "3s", "requests_at_least": LEAST}
)

ends = st.lists(st.tuples(st.floats(0, 0.4), st.booleans()), max_size=120)


def in_order(steps: list[tuple[float, bool]]) -> list[tuple[float, bool]]:
    at, made = 1000.0, []
    for step, ok in steps:
        at += step
        made.append((at, ok))
    return made


@given(ends)
def test_a_guardrail_breaks_exactly_when_a_full_window_shows_it(steps: list[tuple[float, bool]]) -> None:
    requests = in_order(steps)
    seen = GuardrailWatch(GUARDRAIL).feed(requests) is not None
    expected = False
    for number, (at, _) in enumerate(requests, 1):
        recent = [ok for when, ok in requests[:number] if when >= at - WINDOW]
        full = at - requests[0][0] >= WINDOW
        expected |= full and len(recent) >= LEAST and sum(recent) / len(recent) < FLOOR
    assert seen is expected


@given(ends, st.integers(1, 10))
def test_batches_make_no_difference(steps: list[tuple[float, bool]], size: int) -> None:
    requests = in_order(steps)
    whole = GuardrailWatch(GUARDRAIL).feed(requests)
    watch, first = GuardrailWatch(GUARDRAIL), None
    for begin in range(0, len(requests), size):
        if first is None:
            first = watch.feed(requests[begin : begin + size])
    assert first == whole


@given(st.lists(st.floats(0, 0.4), max_size=120))
def test_a_tier_without_failures_never_breaks(steps: list[float]) -> None:
    assert GuardrailWatch(GUARDRAIL).feed(in_order([(step, True) for step in steps])) is None


def test_a_breach_says_what_was_seen() -> None:
    breach = GuardrailWatch(GUARDRAIL).feed(in_order([(0.1, False)] * 60))
    assert breach is not None and "critical availability under 50%" in breach.guardrail
    assert "requests failed in the last 3s" in breach.seen


def test_a_listener_that_fails_is_dropped_and_the_run_goes_on(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.begin("r1", "d", "drill", 1.0)
    recorder = Recorder(store, "r1")
    heard: list[Event] = []

    def broken(item: Event) -> None:
        raise ValueError("no terminal")

    recorder.listen(broken)
    recorder.listen(heard.append)
    first = recorder.note(RunNote(text="one"), "test")
    recorder.note(RunNote(text="two"), "test")
    assert [event.data["text"] for event in heard] == ["one", "two"]
    assert first.sequence == 1 and heard[0] == first, "a listener is shown what was stored"
    assert recorder.dropped_listeners == ["ValueError: no terminal"]
    assert [event.data["text"] for event in store.events("r1")] == ["one", "two"]
    store.close()


def test_preflight_names_what_is_not_well() -> None:
    inventory = Inventory(
        nodes=(NodeState("node-1", True, False, "b"), NodeState("node-2", True, True, "b")),
        gpus=(GpuState("node-1/0", "node-1", 0, "u", "lost", True),),
        replicas=(ReplicaState("a-0", "a", "critical", 1, None, None, "unplaced", False, 0, 0),),
        gateways=(),
    )
    findings = {finding.name: finding for finding in check_inventory(inventory)}
    assert not any(finding.ok for finding in findings.values())
    assert "node-2" in findings["nodes"].seen and "node-1" not in findings["nodes"].seen
    assert "a-0" in findings["replicas"].seen and "node-1/0" in findings["gpus"].seen


@pytest.mark.parametrize(("severity", "ok"), [("page", False), ("ticket", False), ("none", True), ("info", True)])
def test_only_alerts_that_call_somebody_keep_a_run_from_starting(severity: str, ok: bool) -> None:
    alert = {"labels": {"alertname": "X", "severity": severity}, "status": {"state": "active"}}
    assert check_alerts([alert]).ok is ok


def test_settling_ends_with_the_first_good_look() -> None:
    looks = iter([[Finding("a", False, "")], [Finding("a", True, "")], [Finding("a", False, "")]])

    async def look() -> list[Finding]:
        return next(looks)

    assert [finding.ok for finding in asyncio.run(settle(look, 5.0))] == [True]


def test_settling_waits_for_nothing_that_waiting_does_not_mend() -> None:
    looks = iter([[Finding("a", False, ""), Finding("b", True, "")], [Finding("a", False, "", final=True)]])

    async def look() -> list[Finding]:
        return next(looks)

    assert [finding.final for finding in asyncio.run(settle(look, 60.0))] == [True]


def test_a_kept_lab_is_one_lab_whatever_environment_it_is_used_by() -> None:
    held = [("lab/own/r1", "r1", 1, "ann"), ("lab/dev", "r2", 2, "ann"), ("wide/dev", "r3", 3, "bob")]
    assert holder_of_lab(held, "dev", "r2") == "by run r3 (pid 3, bob)"
    assert holder_of_lab(held[:2], "dev", "r2") == holder_of_lab(held, "r1", "r2") == ""
