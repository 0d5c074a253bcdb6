"""What the extension does where there is no lab: it refuses in words, injects nothing and writes nothing down."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from chaoslib.exceptions import ActivityFailed

from tierdrill.chaos import actions, discover, probes
from tierdrill.chaos.actions import inject_fault as inject
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.targets.base import FaultOrder, Mechanism, Proof

CRASH = {"replica": "assistant-1"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a lab, and a place that names one, so that nothing can start a reaper."""
    monkeypatch.setenv("TIERDRILL_HOME", str(tmp_path))
    monkeypatch.setenv("TIERDRILL_RUN", "a-run")
    monkeypatch.setenv("TIERDRILL_PLACE", json.dumps({"target": "lab", "home": str(tmp_path), "lab": "absent"}))
    for name in ("TIERDRILL_LAB", "TIERDRILL_LEASE", "TIERDRILL_EVENTS_FD", "TIERDRILL_INJECT_AT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def nothing_written(home: Path) -> bool:
    """Whether the ledger has no fault."""
    with closing(Ledger(home)) as ledger:
        return ledger.open_faults() == []


def test_chaos_toolkit_discovers_all_of_it() -> None:
    found = {(activity["type"], activity["name"]) for activity in discover(False)["activities"]}
    assert found == {("action", name) for name in actions.__all__} | {("probe", name) for name in probes.__all__}


def test_a_lab_that_is_not_up_is_named(home: Path) -> None:
    with pytest.raises(ActivityFailed, match="lab absent is not up"):
        inject("replica-crash", CRASH)
    assert nothing_written(home)


@pytest.mark.parametrize("lease", [0.0, -1.0, 0.9, 3601.0, float("nan"), float("inf"), 1e9])
def test_a_lease_that_is_none_is_refused(home: Path, lease: float) -> None:
    with pytest.raises(ActivityFailed, match="lease_s="):
        inject("replica-crash", CRASH, lease)
    assert nothing_written(home)


def test_a_lease_that_is_no_number_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERDRILL_LEASE", "long")
    with pytest.raises(ActivityFailed, match="TIERDRILL_LEASE='long'"):
        inject("replica-crash", CRASH)
    assert nothing_written(home)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("replica-crash", {"replica": ""}, "the replica's name"),
        ("link-latency", {"source": "gateway-a", "destination": "node-2", "delay_ms": "much"}, "whole number"),
        ("gpu-fallen-off-bus", {"node": "node-1", "gpu": 64}, "0 to 63"),
        ("replica-crush", CRASH, "expected one of"),
    ],
)
def test_wrong_arguments_are_refused(home: Path, kind: str, parameters: dict[str, object], said: str) -> None:
    with pytest.raises(ActivityFailed, match=said):
        inject(kind, parameters)
    assert nothing_written(home)


def test_the_kill_switch_comes_first(home: Path) -> None:
    with closing(Ledger(home)) as ledger:
        throw_kill_switch(ledger.home, "someone", "a reason")
    with pytest.raises(ActivityFailed, match="a reason"):
        inject("replica-crash", CRASH)
    assert nothing_written(home)


class Place:
    """A deployment that does as it is told, and says how often it was told to inject."""

    def __init__(self) -> None:
        self.injected = 0

    def mechanisms(self) -> dict[str, Mechanism]:
        return dict.fromkeys(KINDS, Mechanism("none"))

    def bind(self, order: FaultOrder) -> FaultOrder:
        return order

    def inject(self, order: FaultOrder) -> None:
        self.injected += 1

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(True, since, "a witness", "it is there")

    def revert(self, order: FaultOrder) -> None:
        """Nothing stays: `gone` says so."""

    def gone(self, order: FaultOrder) -> Proof:
        return Proof(True, time.time(), "a witness", "it is not there")


def test_what_was_undone_while_it_waited_is_not_injected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine stood still before the planned instant; the reaper found the lease run out and undid the intent."""
    place = Place()
    monkeypatch.setattr("tierdrill.injection.injector.open_place", lambda _: place)
    assert inject("replica-crash", CRASH)["seen"] == "it is there" and place.injected == 1

    def stand_still(at: float | None) -> None:
        with closing(Ledger(home)) as ledger:
            ledger.mark("a-run/replica-crash/assistant-1", "gone", "never there")

    monkeypatch.setattr("tierdrill.injection.injector.wait_until", stand_still)
    with pytest.raises(ActivityFailed, match=r"was not injected.*lapsed"):
        inject("replica-crash", CRASH)
    assert place.injected == 1 and nothing_written(home)


def test_without_a_keeper_nothing_is_injected_under_plain_chaos_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reaper dies at once: another user's module, a broken home, no memory."""
    place = Place()
    monkeypatch.setattr("tierdrill.injection.injector.open_place", lambda _: place)
    monkeypatch.setattr("tierdrill.chaos.actions.program", lambda *_: [sys.executable, "-m", "no_such_module"])
    monkeypatch.delenv("TIERDRILL_RUN")
    with pytest.raises(ActivityFailed, match=r"was not injected: the reaper .* was not ready"):
        inject("replica-crash", CRASH)
    assert place.injected == 0 and nothing_written(home)


def test_a_keeper_is_at_its_post_before_a_fault_under_plain_chaos_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    class Watched(Place):
        def inject(self, order: FaultOrder) -> None:
            run = order.fault.split("/")[0]
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
            seen.extend(line for line in lines if run.encode() in line and b"recovery.reaper" in line)
            super().inject(order)

    place = Watched()
    monkeypatch.setattr("tierdrill.injection.injector.open_place", lambda _: place)
    monkeypatch.delenv("TIERDRILL_RUN")
    inject("replica-crash", CRASH)
    assert place.injected == 1 and len(seen) == 1
    with closing(Ledger(home)) as ledger:
        for entry in ledger.open_faults():
            ledger.mark(entry.id, "gone", "by this test")


def test_undoing_what_is_not_there_is_a_success(home: Path) -> None:
    assert actions.heal_link("gateway-a", "node-2") == {"undone": []}
    assert actions.power_on_node("node-2") == {"undone": []}


def test_a_plain_experiment_undoes_nothing_in_another_lab(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERDRILL_RUN")
    order = {"kind": "node-power-loss", "target": "node-2"}
    other = {"target": "lab", "home": str(home), "lab": "of-the-drill", "id": "x"}
    with closing(Ledger(home)) as ledger:
        ledger.intend("f", "a-drill", order, other, 60.0)
        assert actions.power_on_node("node-2") == {"undone": []}
        assert [entry.state for entry in ledger.open_faults()] == ["intended"]


def test_probes_never_raise(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (probes.nodes_ready(), probes.replicas_ready(), probes.tier_ready_percent("critical")) == (-1, -1, -1)
    monkeypatch.setenv("TIERDRILL_PLACE", "not json")
    assert probes.replicas_ready("assistant") == -1
