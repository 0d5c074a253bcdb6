"""The ledger: intents, leases, locks, the kill switch."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.process.identity import here, me

ORDER = {"fault": "f1", "kind": "replica-crash", "target": "a-1"}
PLACE = {"target": "lab", "home": "/nowhere", "lab": "x"}


def test_an_intent_survives_a_new_reader_and_its_lease_runs_out(tmp_path: Path) -> None:
    Ledger(tmp_path).intend("f1", "r1", ORDER, PLACE, lease_s=0.0)
    Ledger(tmp_path).intend("f2", "r2", ORDER, PLACE, lease_s=60.0)
    entries = {entry.id: entry for entry in Ledger(tmp_path).open_faults()}
    assert entries["f1"].expired and not entries["f2"].expired
    assert entries["f2"].order == ORDER and entries["f2"].place == PLACE
    assert [entry.id for entry in Ledger(tmp_path).open_faults("r2")] == ["f2"]


def test_a_lease_is_renewed_only_while_the_fault_is_meant_to_stay(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=30.0)
    ledger._database.execute("UPDATE faults SET lease_until = 0")
    ledger.renew("r1")
    assert not ledger.open_faults()[0].expired
    ledger.mark("f1", "reverting")
    ledger._database.execute("UPDATE faults SET lease_until = 0")
    ledger.renew("r1")
    assert ledger.open_faults()[0].expired


def test_a_lease_runs_out_while_the_machine_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still then: a fault in what does not sleep would stay for as long as the machine slept."""
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=60.0)
    awake = time.clock_gettime
    slept = {time.CLOCK_BOOTTIME: 3600.0}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: awake(clock) + slept.get(clock, 0.0))
    assert ledger.open_faults()[0].expired
    ledger.renew("r1")
    assert not ledger.open_faults()[0].expired


def test_a_reboot_ends_every_lease(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=3600.0)
    ledger._database.execute("UPDATE faults SET boot = 'another'")
    assert ledger.open_faults()[0].expired


def test_an_intent_is_confirmed_before_it_is_carried_out_and_its_lease_begins_then(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=30.0)
    ledger._database.execute("UPDATE faults SET lease_until = lease_until - 29")
    ledger.confirm("f1")
    (left,) = ledger._database.execute("SELECT lease_until FROM faults").fetchone()
    assert left > time.monotonic() + 20


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE faults SET state = 'gone'",
        "UPDATE faults SET state = 'reverting'",
        "UPDATE faults SET lease_until = 0",
        "UPDATE faults SET boot = 'another'",
        "DELETE FROM faults",
        "INSERT INTO halts VALUES (1.0, 'ann', 'incident 7', NULL, NULL, NULL)",
    ],
)
def test_an_intent_that_lapsed_is_not_carried_out(tmp_path: Path, meanwhile: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=30.0)
    ledger._database.execute(meanwhile)
    with pytest.raises(LedgerError, match=r"lapsed|incident 7"):
        ledger.confirm("f1")


def test_gone_is_gone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("f1", "r1", ORDER, PLACE, lease_s=1.0)
    ledger.mark("f1", "gone", "seen")
    assert ledger.open_faults() == []


def test_the_kill_switch_keeps_author_and_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.halted() is None
    throw_kill_switch(ledger.home, "ann", "incident 7")
    halt = Ledger(tmp_path).halted()
    assert halt is not None and (halt.author, halt.reason) == ("ann", "incident 7")
    assert ledger.resume("bob", "over") == 1
    assert ledger.halted() is None


def test_one_run_holds_an_environment_until_it_dies(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.lock("lab", "r1", me(), "ann")
    with pytest.raises(LedgerError, match="in use by run r1"):
        ledger.lock("lab", "r2", me(), "bob")
    ledger.unlock("lab", "r1")
    ledger.lock("lab", "r2", replace(me(), ticks=me().ticks + 1), "bob")
    assert [lock[1] for lock in ledger.locks()] == ["r2"] and ledger.locks(living=True) == []
    ledger.lock("lab", "r3", me(), "cy")
    ledger.unlock("lab", "r2")
    assert ledger.locks(living=True) == [("lab", "r3", os.getpid(), "cy")]


def test_a_step_of_the_clock_takes_no_environment_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created, now = psutil.Process().create_time(), time.time
    with closing(Ledger(tmp_path)) as ledger:
        ledger.lock("lab", "r1", me(), "ann")
        monkeypatch.setattr(time, "time", lambda: now() + 3600.0)
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: created + 3600.0)
        with pytest.raises(LedgerError, match="in use by run r1"):
            ledger.lock("lab", "r2", me(), "bob")


def test_owned_processes_are_remembered_per_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    process = OwnedProcess("r1", "load", here(42, 1500), 42)
    ledger.own(process)
    assert ledger.processes("r1") == [process] and ledger.processes("r2") == []
    ledger.disown("r1")
    assert ledger.processes() == []


def test_a_file_that_is_no_ledger_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database, but long enough to be read as a header of one, surely" * 20)
    with pytest.raises(LedgerError, match=r"ledger\.db: .*may hold faults to undo"):
        Ledger(tmp_path)
