"""A ledger that an earlier version wrote is read, and brought up to this version: all of it or nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tierdrill.history import ledger_tables
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.ledger_tables import LEDGER_VERSION
from tierdrill.process.identity import me

VERSION_1 = """
CREATE TABLE faults (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, fault_order TEXT NOT NULL, place TEXT NOT NULL, state TEXT NOT NULL,
  intended_at REAL NOT NULL, lease_s REAL NOT NULL, lease_until REAL NOT NULL, boot TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE processes (run TEXT NOT NULL, role TEXT NOT NULL, pid INTEGER NOT NULL, pgid INTEGER NOT NULL,
  created REAL NOT NULL, PRIMARY KEY (run, pid, created)) STRICT;
CREATE TABLE halts (at REAL NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL, lifted_at REAL, lifted_by TEXT,
  lift_reason TEXT) STRICT;
CREATE TABLE locks (environment TEXT PRIMARY KEY, run TEXT NOT NULL, pid INTEGER NOT NULL, created REAL NOT NULL,
  owner TEXT NOT NULL, at REAL NOT NULL) STRICT;
CREATE TABLE stops (run TEXT PRIMARY KEY, at REAL NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
PRAGMA user_version=1;
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose ledger is of version 1: an open fault, a halt, and processes that live and that have died."""
    pid, created = os.getpid(), psutil.Process().create_time()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as database:
        database.executescript(VERSION_1)
        database.execute("INSERT INTO faults VALUES ('f1', 'r1', '{}', '{}', 'landed', 1, 5, 1, 'another', '')")
        database.execute("INSERT INTO halts VALUES (1, 'ann', 'incident 7', NULL, NULL, NULL)")
        for number, started in enumerate((created, created - 60.0, created - 90.0)):
            database.execute("INSERT INTO processes VALUES ('r1', 'load', ?, ?, ?)", (pid, pid, started))
            database.execute(
                "INSERT INTO locks VALUES (?, ?, ?, ?, 'ann', 1)", (f"lab-{number}", f"r{number}", pid, started)
            )
    return tmp_path


def version_of(home: Path) -> int:
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_what_it_holds_is_kept_and_the_living_are_found(home: Path) -> None:
    for _ in range(2):
        with closing(Ledger(home)) as ledger:
            assert [fault.id for fault in ledger.open_faults()] == ["f1"]
            assert ledger.halted() is not None
            assert [one.process for one in ledger.processes("r1") if one.process.lives()] == [me()]
            assert [lock[0] for lock in ledger.locks()] == ["lab-0", "lab-1", "lab-2"]
            assert ledger.locks(living=True) == [("lab-0", "r0", os.getpid(), "ann")]
    assert version_of(home) == LEDGER_VERSION


def test_a_change_that_fails_half_way_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(database: sqlite3.Connection, owned: object, locks: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ledger_tables, "_know_by_ticks", full)
        with pytest.raises(LedgerError, match="disk is full"):
            Ledger(home)
    assert version_of(home) == 1
    with closing(Ledger(home)) as ledger:
        assert len(ledger.locks(living=True)) == 1


def test_several_may_bring_it_up_to_date_at_once(home: Path) -> None:
    held = []

    def look() -> None:
        with closing(Ledger(home)) as ledger:
            held.append(ledger.locks(living=True))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [[("lab-0", "r0", os.getpid(), "ann")]] * 8


def test_a_ledger_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute(f"PRAGMA user_version={LEDGER_VERSION + 1}")
    with pytest.raises(LedgerError, match=r"ledger\.db: written by a newer tierdrill"):
        Ledger(tmp_path)
