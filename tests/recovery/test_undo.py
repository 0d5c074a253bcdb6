"""Undoing a fault from the ledger: tried again, stuck and named, safe to repeat, by several at once."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.injection import undo
from tierdrill.injection.undo import await_proof, undo_fault
from tierdrill.recovery.cleanup import undo_all
from tierdrill.targets.base import FaultOrder, Inventory, Mechanism, Proof, TargetError


@dataclass
class FakePort:
    """A deployment with faults in a set; `refusals` reverts are refused, `deaf` ones change nothing."""

    refusals: int = 0
    deaf: int = 0
    faults: set[str] = field(default_factory=set)
    reverted: list[str] = field(default_factory=list)

    def mechanisms(self) -> dict[str, Mechanism]:
        return {}

    def inventory(self) -> Inventory:
        return Inventory((), (), (), ())

    def bind(self, order: FaultOrder) -> FaultOrder:
        return order

    def inject(self, order: FaultOrder) -> None:
        self.faults.add(order.fault)

    def revert(self, order: FaultOrder) -> None:
        self.reverted.append(order.fault)
        if self.refusals > 0:
            self.refusals -= 1
            raise TargetError("busy")
        if self.deaf > 0:
            self.deaf -= 1
            return
        self.faults.discard(order.fault)

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return Proof(order.fault in self.faults, time.time(), "w", "")

    def gone(self, order: FaultOrder) -> Proof:
        gone = order.fault not in self.faults
        return Proof(gone, time.time(), "a witness", "gone" if gone else "still there")


def inject(home: Path, port: FakePort, *faults: str, run: str = "r1") -> None:
    ledger = Ledger(home)
    for fault in faults:
        order = FaultOrder(fault, "replica-hang", "a-0", "replica", Mechanism("m"), {}, 5.0)
        ledger.intend(fault, run, order.plain(), {"target": "fake"}, 5.0)
        port.inject(order)
        ledger.mark(fault, "landed")
    ledger.close()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> FakePort:
    made = FakePort()
    monkeypatch.setattr(undo, "open_place", lambda place: made)
    return made


def entry(ledger: Ledger, fault: str = "f1") -> LedgerFault:
    return next(one for one in ledger.open_faults() if one.id == fault)


def test_an_undo_is_proven_and_written_down(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    ledger, told = Ledger(tmp_path), []
    assert undo_fault(ledger, entry(ledger), "runner", told.append)
    assert [event.kind for event in told] == ["fault.reverting", "fault.gone"]
    assert told[1].data["witness"] == "a witness" and told[0].data["by"] == "runner"
    assert ledger.open_faults() == []
    ledger.close()


def test_an_undo_that_is_refused_is_tried_again(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    port.refusals = 3
    ledger = Ledger(tmp_path)
    assert undo_fault(ledger, entry(ledger), "runner", lambda item: None)
    assert len(port.reverted) == 4
    ledger.close()


def test_an_undo_without_effect_is_tried_again(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    port.deaf = 1
    ledger = Ledger(tmp_path)
    assert undo_fault(ledger, entry(ledger), "runner", lambda item: None)
    assert len(port.reverted) == 2 and ledger.open_faults() == []
    ledger.close()


def test_what_would_not_go_is_stuck_named_and_can_be_mended(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    port.deaf = 1_000_000
    ledger, told = Ledger(tmp_path), []
    assert not undo_fault(ledger, entry(ledger), "runner", told.append, within_s=0.1)
    assert told[-1].kind == "fault.not_gone" and told[-1].data["seen"] == "still there"
    assert (entry(ledger).state, entry(ledger).note) == ("stuck", "still there")
    port.deaf = 0
    assert undo_fault(ledger, entry(ledger), "recover", lambda item: None)
    assert ledger.open_faults() == []
    ledger.close()


def test_a_place_that_cannot_be_opened_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    inject(tmp_path, FakePort(), "f1")
    ledger = Ledger(tmp_path)
    assert not undo_fault(ledger, entry(ledger), "runner", lambda item: None, within_s=0.05)
    assert "got target 'fake'" in entry(ledger).note
    ledger.close()


def test_the_newest_goes_first_and_one_that_stays_does_not_keep_the_others(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1", "f2", "f3")
    inject(tmp_path, port, "other", run="r2")
    real = port.revert

    def revert(order: FaultOrder) -> None:
        if order.fault == "f2":
            port.reverted.append("f2")
            raise TargetError("no")
        real(order)

    port.revert = revert  # type: ignore[method-assign]
    ledger = Ledger(tmp_path)
    assert undo_all(ledger, "r1", "runner", lambda item: None, within_s=0.05) == ["f2"]
    assert list(dict.fromkeys(port.reverted)) == ["f3", "f2", "f1"]
    assert {one.id for one in ledger.open_faults()} == {"f2", "other"}
    assert undo_all(ledger, None, "runner", lambda item: None, within_s=0.05) == ["f2"]
    ledger.close()


def test_undoing_again_changes_nothing(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    ledger = Ledger(tmp_path)
    stale = entry(ledger)
    assert undo_fault(ledger, stale, "runner", lambda item: None)
    assert undo_fault(ledger, stale, "reaper", lambda item: None)
    assert ledger.open_faults() == [] and port.faults == set()
    assert undo_all(ledger, "r1", "runner", lambda item: None) == []
    ledger.close()


def test_several_undo_at_once(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1", "f2")
    told: list[Event] = []
    results: list[Any] = []

    def work(by: str) -> None:
        ledger = Ledger(tmp_path)
        results.append(undo_all(ledger, "r1", by, told.append))
        ledger.close()

    threads = [threading.Thread(target=work, args=(by,)) for by in ("runner", "reaper", "recover")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [[], [], []] and port.faults == set()
    ledger = Ledger(tmp_path)
    assert ledger.open_faults() == []
    ledger.close()


def test_a_listener_that_breaks_does_not_keep_a_fault(tmp_path: Path, port: FakePort) -> None:
    inject(tmp_path, port, "f1")
    ledger = Ledger(tmp_path)

    def broken(item: Event) -> None:
        raise BrokenPipeError

    assert undo_fault(ledger, entry(ledger), "runner", broken)
    assert ledger.open_faults() == [] and port.faults == set()
    ledger.close()


def test_an_order_of_an_earlier_version_has_its_mechanisms_text_alone() -> None:
    order = FaultOrder("f", "replica-hang", "a-0", "replica", Mechanism("SIGSTOP", gone_within_s=60.0), {}, 5.0)
    assert FaultOrder.from_plain(json.loads(json.dumps(order.plain()))) == order
    earlier = FaultOrder.from_plain({**order.plain(), "mechanism": "SIGSTOP"})
    assert earlier.mechanism == Mechanism("SIGSTOP")


def test_a_proof_is_awaited_and_no_longer() -> None:
    answers = iter([False, False, True, False])
    assert await_proof(lambda: Proof(next(answers), 0.0, "w", ""), 5.0).seen
    assert not await_proof(lambda: Proof(False, 0.0, "w", ""), 0.1).seen
