"""The ledger's tables, its entries as values, and how a ledger of an earlier version is brought up to this one."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.history.database_file import execute_all
from tierdrill.process.identity import ProcessId, started_about

LEDGER_VERSION = 3

_Rows = Sequence[tuple[Any, ...]]

# None of this loses anything: what the two that are made anew held is read before, and put back.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS faults (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, fault_order TEXT NOT NULL, place TEXT NOT NULL, state TEXT NOT NULL,
  intended_at REAL NOT NULL, lease_s REAL NOT NULL, lease_until REAL NOT NULL, boot TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS halts (
  at REAL NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL, lifted_at REAL, lifted_by TEXT, lift_reason TEXT
) STRICT;
DROP TABLE IF EXISTS processes;
CREATE TABLE processes (
  run TEXT NOT NULL, role TEXT NOT NULL, pid INTEGER NOT NULL, ticks INTEGER NOT NULL, boot TEXT NOT NULL,
  space TEXT NOT NULL, pgid INTEGER NOT NULL, PRIMARY KEY (run, pid, ticks, boot, space)
) STRICT;
DROP TABLE IF EXISTS locks;
CREATE TABLE locks (
  environment TEXT PRIMARY KEY, run TEXT NOT NULL, pid INTEGER NOT NULL, ticks INTEGER NOT NULL, boot TEXT NOT NULL,
  space TEXT NOT NULL, owner TEXT NOT NULL, at REAL NOT NULL
) STRICT;
"""

_HISTORIES = """
CREATE TABLE histories (run TEXT PRIMARY KEY, events INTEGER NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL) STRICT
"""


@dataclass(frozen=True)
class LedgerFault:
    """A fault's entry.

    `place` says how to reach what it is injected into (a lab's home and name, a cluster's context).
    """

    id: str
    run: str
    order: dict[str, Any]
    place: dict[str, Any]
    state: str
    intended_at: float
    lease_s: float
    expired: bool
    note: str


@dataclass(frozen=True)
class OwnedProcess:
    """A process a run started, and its group."""

    run: str
    role: str
    process: ProcessId
    pgid: int

    @property
    def pid(self) -> int:
        return self.process.pid


def change(database: sqlite3.Connection, version: int) -> None:
    """Make a ledger of an earlier version, or a new one (0), into one of this version."""
    if version < 2:
        former = _processes_of_1(database) if version == 1 else ((), ())
        execute_all(database, _SCHEMA)
        _know_by_ticks(database, *former)
    database.execute(_HISTORIES)


def _processes_of_1(database: sqlite3.Connection) -> tuple[_Rows, _Rows]:
    """The owned processes and the locks as version 1 had them: by the wall-clock time of a process's start."""
    return (
        database.execute("SELECT run, role, pid, created, pgid FROM processes").fetchall(),
        database.execute("SELECT environment, run, pid, created, owner, at FROM locks").fetchall(),
    )


def _know_by_ticks(database: sqlite3.Connection, owned: _Rows, locks: _Rows) -> None:
    """Put them back. A process that is not found by its time is written down as dead; of two with one pid, one."""
    for run, role, pid, created, pgid in owned:
        one = started_about(pid, created)
        database.execute(
            "INSERT OR IGNORE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run, role, pid, one.ticks, one.boot, one.space, pgid),
        )
    for environment, run, pid, created, owner, at in locks:
        one = started_about(pid, created)
        database.execute(
            "INSERT INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (environment, run, pid, one.ticks, one.boot, one.space, owner, at),
        )
