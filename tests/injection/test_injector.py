"""One life of a fault: whoever injects it, ledger and history tell the same, and the kill switch is looked at last."""

from __future__ import annotations

import ast
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import tierdrill
from tests.judge.build import shipped
from tierdrill.chaos.actions import inject_fault, undo_faults
from tierdrill.chaos.context import Context
from tierdrill.conductor.plan import make_plan
from tierdrill.conductor.sabotage import apply_sabotage
from tierdrill.conductor.stock_faults import ForeignFaults, Proofs
from tierdrill.documents.models.drill import Sabotage, SabotageAction
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.history.sealed import SealedHistory, sealed_order
from tierdrill.injection import injector as injector_module
from tierdrill.injection.injector import Injector, NotInjected, Refused
from tierdrill.monitoring.pagerduty import PagerStub
from tierdrill.recovery.cleanup import undo_all
from tierdrill.targets.base import FaultOrder, Inventory, Mechanism, NodeState, Proof, ReplicaState, TargetError
from tierdrill.targets.lab.fault_port import MECHANISMS
from tierdrill.training.facilitator.facilitator_actions import ExerciseFaults

RUN = "r1"
CRASH = {"replica": "assistant-1"}
LIFE = ["intended", "confirmed", "landed", "reverting", "gone"]
TOLD = ["intended", "injected", "landed", "reverting", "gone"]


@dataclass
class Place:
    """A deployment in which what is injected is there at once, unless it is `blind` or refuses."""

    there: set[str] = field(default_factory=set)
    injected: int = 0
    refuses: bool = False
    blind: bool = False

    def mechanisms(self) -> dict[str, Mechanism]:
        return dict.fromkeys(KINDS, Mechanism("a set", emulated=True, landed_within_s=0.1, gone_within_s=0.5))

    def inventory(self) -> Inventory:
        nodes = tuple(NodeState(f"node-{number}", True, False, "b") for number in (1, 2, 3))
        replica = ReplicaState("assistant-1", "assistant", "critical", 1, "node-1", 0, "ready", True, 0, 1)
        return Inventory(nodes, (), (replica,), ("gateway-a",))

    def bind(self, order: FaultOrder) -> FaultOrder:
        return order

    def inject(self, order: FaultOrder) -> None:
        if self.refuses:
            raise TargetError("it refuses")
        self.injected += 1
        self.there.add(order.fault)

    def revert(self, order: FaultOrder) -> None:
        self.there.discard(order.fault)

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(order.fault in self.there and not self.blind, time.time(), "a witness", "looked")

    def gone(self, order: FaultOrder) -> Proof:
        return Proof(order.fault not in self.there, time.time(), "a witness", "looked")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place()
    for module in ("injector", "undo"):
        monkeypatch.setattr(f"tierdrill.injection.{module}.open_place", lambda _: made)
    return made


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every state that the ledger was told, in order."""
    told: list[str] = []

    def after(name: str, state: Callable[..., str]) -> None:
        real = getattr(Ledger, name)

        def traced(self: Ledger, *given: Any, **named: Any) -> Any:
            answer = real(self, *given, **named)
            told.append(state(*given))
            return answer

        monkeypatch.setattr(Ledger, name, traced)

    after("intend", lambda *_: "intended")
    after("confirm", lambda *_: "confirmed")
    after("mark", lambda _, state, note="": state)
    after("close_entry", lambda *_: "gone")
    return told


def a_drill(home: Path, emit: Callable[[Event], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(home))
    monkeypatch.setenv("TIERDRILL_RUN", RUN)
    monkeypatch.setenv("TIERDRILL_PLACE", "{}")
    monkeypatch.setattr(Context, "emit", lambda self, item: emit(item))
    inject_fault("replica-crash", CRASH)
    undo_faults(("replica-crash",), CRASH)


def an_exercise(home: Path, emit: Callable[[Event], object], monkeypatch: pytest.MonkeyPatch) -> None:
    faults = exercise_faults(home, emit)
    assert asyncio.run(faults.inject("an-incident", "replica-crash", [CRASH], "critical")) == ["assistant-1"]
    with closing(Ledger(home)) as ledger:
        assert undo_all(ledger, RUN, "runner", emit) == []


def exercise_faults(home: Path, emit: Callable[[Event], object]) -> ExerciseFaults:
    seal = partial(sealed_order, home, RUN, SealedHistory.create(home, RUN).seal)
    return ExerciseFaults(Injector(home, RUN, {}, "exercise", emit, seal), 5.0)


def a_stock_experiment(home: Path, emit: Callable[[Event], object], monkeypatch: pytest.MonkeyPatch) -> None:
    marker = home / "marker"
    exists = {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": str(marker)}}
    probes = [
        {"type": "probe", "name": name, "tolerance": there, "provider": exists}
        for name, there in (("is-there", True), ("is-gone", False))
    ]
    proof = {"activity": "make", "landed": "is-there", "gone": "is-gone", "within": 5.0}
    experiment = {"method": [], "extensions": [{"name": "tierdrill", "probes": probes}]}
    proofs = Proofs({"experiment": experiment, "proofs": [proof], "variables": {}})
    monkeypatch.setattr(Context, "emit", lambda self, item: emit(item))
    faults = ForeignFaults(Context(home, RUN, {}, True, None, None, 5.0), proofs, {})
    faults.begin({"type": "action", "name": "make"})
    faults.acted("make", "succeeded")
    marker.touch()
    faults.settle()
    marker.unlink()
    faults.close()
    assert faults.undone()["make"].seen


def a_sabotage(home: Path, emit: Callable[[Event], object], monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage = Sabotage(name="bare", do=SabotageAction(flags_off=("retries",)), fails=("slo/*",))
    plan = replace(make_plan(shipped(), RUN, "drill", MECHANISMS), sabotage=sabotage)
    monkeypatch.setattr("tierdrill.conductor.sabotage.open_place", lambda _: injector_module.open_place({}))
    recorder = SimpleNamespace(take=emit, note=lambda *given, **named: None)
    session: Any = SimpleNamespace(place={})
    asyncio.run(apply_sabotage(plan, session, cast(Any, recorder), PagerStub(), home))
    with closing(Ledger(home)) as ledger:
        assert undo_all(ledger, RUN, "runner", emit) == []


@pytest.mark.parametrize("caller", [a_drill, an_exercise, a_stock_experiment, a_sabotage])
def test_a_fault_has_one_life_whoever_injects_it(
    tmp_path: Path, place: Place, states: list[str], monkeypatch: pytest.MonkeyPatch, caller: Callable[..., None]
) -> None:
    events: list[Event] = []
    caller(tmp_path, events.append, monkeypatch)
    assert states == LIFE
    assert [one.kind for one in events if one.kind != "exercise.incident"] == [f"fault.{what}" for what in TOLD]
    (intended,) = [one.data for one in events if one.kind == "fault.intended"]
    assert intended["emulated"] is (caller in (a_drill, an_exercise)), "the mechanism says so, and nothing else"
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.open_faults() == []


def injector(home: Path, events: list[Event]) -> Injector:
    return Injector(home, RUN, {}, "test", events.append)


@pytest.mark.parametrize("fails", ["refuses", "blind"])
def test_what_does_not_land_is_undone_at_once(tmp_path: Path, place: Place, states: list[str], fails: str) -> None:
    setattr(place, fails, True)
    events: list[Event] = []
    with pytest.raises(NotInjected, match="it refuses" if fails == "refuses" else "not seen to land"):
        injector(tmp_path, events).inject("replica-crash", CRASH, 5.0)
    assert place.there == set() and states == ["intended", "confirmed", "reverting", "gone"]
    failed = ["failed"] if fails == "refuses" else ["injected", "not_landed"]
    assert [one.kind.removeprefix("fault.") for one in events] == ["intended", *failed, "reverting", "gone"]


def throw(home: Path) -> None:
    with closing(Ledger(home)) as ledger:
        throw_kill_switch(ledger.home, "somebody", "a reason")


@pytest.fixture
def thrown_at_the_last_moment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr("tierdrill.injection.injector.wait_until", lambda at: throw(tmp_path))
    yield


@pytest.mark.usefixtures("thrown_at_the_last_moment")
@pytest.mark.parametrize("caller", [a_drill, an_exercise, a_sabotage])
def test_the_kill_switch_is_looked_at_again_at_the_instant_of_injection(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, caller: Callable[..., None]
) -> None:
    events: list[Event] = []
    with pytest.raises(Exception, match=r"was not injected: the kill switch is on: a reason \(somebody\)"):
        caller(tmp_path, events.append, monkeypatch)
    assert place.injected == 0
    told = [one.kind for one in events if one.kind.startswith("fault.")]
    assert told == ["fault.intended", "fault.failed", "fault.reverting", "fault.gone"]


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, place: Place) -> None:
    events: list[Event] = []
    with pytest.raises(Refused, match="expected"):
        injector(tmp_path, events).inject("replica-crush", CRASH, 5.0)
    throw(tmp_path)
    with pytest.raises(Refused, match="the kill switch is on"):
        injector(tmp_path, events).inject("replica-crash", CRASH, 5.0)
    assert events == [] and place.injected == 0
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.open_faults() == []


def test_of_a_sealed_fault_the_ledger_tells_nothing(tmp_path: Path, place: Place) -> None:
    asyncio.run(exercise_faults(tmp_path, lambda item: None).inject("i", "replica-crash", [CRASH], "critical"))
    with closing(Ledger(tmp_path)) as ledger:
        (entry,) = ledger.open_faults()
    assert entry.note == "" and "assistant-1" not in json.dumps(entry.order)


PORT_CALLS = {"bind", "inject", "revert", "landed", "gone"}
DEFERRED = {"partial", "functools.partial", "asyncio.to_thread"}
NO_PORTS = {
    "listener",
    "names",
    "probe",
    "Signature.from_callable(act)",
    "self.proofs",
    "past",
    "self.faults",
    "injector",
    "replace(injector, emit=emit)",
}
"""Receivers of methods of these names that are sockets, signatures and the like."""


def test_only_injection_calls_a_targets_fault_port() -> None:
    root = Path(tierdrill.__file__).parent
    found = [
        f"{path.relative_to(root)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0] not in ("injection", "targets")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for one in (node.func, *(node.args if ast.unparse(node.func) in DEFERRED else ()))
        if isinstance(one, ast.Attribute) and one.attr in PORT_CALLS and ast.unparse(one.value) not in NO_PORTS
    ]
    assert found == []
