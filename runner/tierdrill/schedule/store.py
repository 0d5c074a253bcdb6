"""The durable store of the schedule: one row for each slot with its decision, so that none runs twice and none is lost.

`schedule.db` in the home, WAL, synchronous FULL: what a call has written is on the disk when it returns. A slot is
claimed by the insertion of its row; of two schedulers one gets it. Every later write names its claimant and fails if
the slot is no longer that scheduler's. Times are Unix seconds; leases and heartbeats are CLOCK_BOOTTIME.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tierdrill.schedule.identity import ProcessId
from tierdrill.schedule.records import (
    Attempt,
    EnvironmentLock,
    Gap,
    Note,
    SlotName,
    SlotRecord,
    SlotState,
)
from tierdrill.schedule.tables import SCHEMA, SCHEMA_VERSION, attempt_of, lock_of, slot_of

BUSY_S = 1.0
"""How long a call waits for another writer; the event loop waits with it."""

BEATS_FRESH_S = 90.0
"""A scheduler that cannot be looked for (another PID namespace) lives while its heartbeat is not older."""

_PROCESS = "claim_pid IS ? AND claim_ticks IS ? AND claim_boot IS ? AND claim_space IS ?"


class StoreError(Exception):
    """The store cannot be read or written now (locked, full, no permission); the message names file and reason."""


class StoreCorrupt(StoreError):
    """The file is not, or no longer, a whole database of this kind."""


class StoreMoved(StoreError):
    """The file is no longer the one that was opened: somebody set it aside, or removed it."""


class NotOurs(StoreError):
    """The slot is in the hands of another scheduler, or decided."""


class ScheduleStore:
    """The store of one home. Safe for several processes; one instance per thread."""

    def __init__(self, home: Path) -> None:
        self.path = home / "schedule.db"
        with self._explained():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            try:
                self._open()
                self._file = self.path.stat().st_ino
            except BaseException:
                self._database.close()
                raise

    def check_place(self) -> None:
        """StoreMoved if another file, or none, is where this one was opened: what is written here, nobody reads."""
        try:
            found = self.path.stat().st_ino
        except OSError as error:
            raise StoreMoved(f"{self.path}: {error.strerror}") from error
        if found != self._file:
            raise StoreMoved(f"{self.path}: another file is in its place")

    def _open(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: written by a newer tierdrill (schema {version}; known are up to {SCHEMA_VERSION})"
            )
        if version == 0:
            self._database.executescript(SCHEMA + f"PRAGMA user_version={SCHEMA_VERSION};")
        self._database.execute("SELECT count(*) FROM slots WHERE state IN ('claimed', 'running')").fetchone()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            if self._is_corruption(error):
                raise StoreCorrupt(f"{self.path}: {error}") from error
            raise StoreError(f"{self.path}: {error}") from error

    @staticmethod
    def _is_corruption(error: Exception) -> bool:
        if isinstance(error, ValueError):
            return True
        # The low byte is the primary code.
        code = getattr(error, "sqlite_errorcode", None) or 0
        foreign = str(error).startswith(("no such table", "no such column"))
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or foreign

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def check(self) -> None:
        """Look through the whole file; StoreCorrupt if it is damaged."""
        with self._explained():
            found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreCorrupt(f"{self.path}: {found}")

    # Claims and decisions.

    def claim(self, slot: SlotName, claimant: ProcessId, at: float, lateness_s: float) -> bool:
        """Take a slot that nobody has; False if it has a row already.

        A slot that was recorded as missed from a later time than now (the clock was ahead then) can be taken.
        """
        self.check_place()
        with self._transaction() as database:
            changed = database.execute(
                "INSERT INTO slots (key, calendar, entry, nominal, due, state, claim_pid, claim_ticks, claim_boot, "
                "claim_space, claimed_at, lateness_s) VALUES (?, ?, ?, ?, ?, 'claimed', ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET state = 'claimed', outcome = '', reason = '', decided_at = NULL, "
                "claim_pid = excluded.claim_pid, claim_ticks = excluded.claim_ticks, claim_boot = excluded.claim_boot, "
                "claim_space = excluded.claim_space, claimed_at = excluded.claimed_at, "
                "lateness_s = excluded.lateness_s WHERE slots.state = 'missed' AND slots.decided_at > ?",
                (*_slot(slot), *_process(claimant), at, lateness_s, at),
            )
            return changed.rowcount == 1

    def take_over(self, key: str, dead: ProcessId | None, claimant: ProcessId) -> bool:
        """Take an open slot from a claimant that was found dead; False if somebody else was first."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE slots SET claim_pid = ?, claim_ticks = ?, claim_boot = ?, claim_space = ?, "
                f"takeovers = takeovers + 1 WHERE key = ? AND state IN ('claimed', 'running') AND {_PROCESS}",
                (*_process(claimant), key, *_process(dead)),
            )
            return changed.rowcount == 1

    def release(self, key: str, claimant: ProcessId) -> None:
        """Give back a slot for which nothing was started: the next scheduler may take it, or record it as missed."""
        with self._transaction() as database:
            database.execute(
                "UPDATE slots SET claim_pid = NULL, claim_ticks = NULL, claim_boot = NULL, claim_space = NULL "
                f"WHERE key = ? AND state = 'claimed' AND {_PROCESS}",
                (key, *_process(claimant)),
            )
            database.execute("DELETE FROM locks WHERE key = ?", (key,))

    def finish(
        self, key: str, claimant: ProcessId, state: SlotState, outcome: str, reason: str, at: float
    ) -> None:
        """Record the final decision on a slot in hand and free its environment; NotOurs if it is not in hand."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE slots SET state = ?, outcome = ?, reason = ?, decided_at = ? "
                f"WHERE key = ? AND state IN ('claimed', 'running') AND {_PROCESS}",
                (state.value, outcome, reason, at, key, *_process(claimant)),
            )
            if changed.rowcount != 1:
                raise NotOurs(f"{self.path}: slot {key} is not in the hands of process {claimant.pid}")
            database.execute("DELETE FROM locks WHERE key = ?", (key,))

    def miss(self, slots: Sequence[tuple[SlotName, str]], at: float) -> list[SlotName]:
        """Record slots as missed, each with its reason; those that had no row before."""
        recorded = []
        with self._transaction() as database:
            for slot, reason in slots:
                changed = database.execute(
                    "INSERT OR IGNORE INTO slots (key, calendar, entry, nominal, due, state, reason, decided_at) "
                    "VALUES (?, ?, ?, ?, ?, 'missed', ?, ?)",
                    (*_slot(slot), reason, at),
                )
                if changed.rowcount == 1:
                    recorded.append(slot)
        return recorded

    def miss_many(self, gap: Gap) -> None:
        """Record a long row of missed slots as one."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO gaps (calendar, entry, first, last, count, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (gap.calendar, gap.entry, gap.first, gap.last, gap.count, gap.reason, gap.at),
            )

    # Attempts: the drills of a slot.

    def prepare(self, attempt: Attempt, claimant: ProcessId) -> None:
        """Write down a drill that is about to start, or that a gate holds; NotOurs if the slot is not in hand."""
        with self._transaction() as database:
            changed = database.execute(
                f"UPDATE slots SET state = 'running' WHERE key = ? AND state IN ('claimed', 'running') AND {_PROCESS}",
                (attempt.key, *_process(claimant)),
            )
            if changed.rowcount != 1:
                raise NotOurs(f"{self.path}: slot {attempt.key} is not in the hands of process {claimant.pid}")
            database.execute(
                "INSERT INTO attempts (key, number, member, drill, run, state, started_at, ended_at, status, "
                "exit_code, reason, gates) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    attempt.key, attempt.number, attempt.member, attempt.drill, attempt.run, attempt.state,
                    attempt.started_at, attempt.ended_at, attempt.status, attempt.exit_code, attempt.reason,
                    json.dumps(list(attempt.gates), sort_keys=True),
                ),
            )  # fmt: skip

    def started(self, key: str, number: int, child: ProcessId, claimant: ProcessId, at: float) -> None:
        """Write down the process of a prepared drill, before it is let go; its environment's lock goes over to it.

        NotOurs if the slot is not in hand any more.
        """
        with self._transaction() as database:
            mine = f"SELECT count(*) FROM slots WHERE key = ? AND {_PROCESS}"  # noqa: S608 - a constant
            if database.execute(mine, (key, *_process(claimant))).fetchone()[0] != 1:
                raise NotOurs(f"{self.path}: slot {key} is not in the hands of process {claimant.pid}")
            database.execute(
                "UPDATE attempts SET state = 'running', child_pid = ?, child_ticks = ?, child_boot = ?, "
                "child_space = ?, started_at = ? WHERE key = ? AND number = ?",
                (*_process(child), at, key, number),
            )
            database.execute(
                "UPDATE locks SET pid = ?, ticks = ?, boot = ?, space = ? WHERE key = ?", (*_process(child), key)
            )

    def ended(self, key: str, number: int, status: str, exit_code: int | None, reason: str, at: float) -> None:
        """Write down what a drill came to; its environment's lock goes back to the slot's claimant."""
        with self._transaction() as database:
            database.execute(
                "UPDATE locks SET (pid, ticks, boot, space) = (SELECT claim_pid, claim_ticks, claim_boot, claim_space "
                "FROM slots WHERE slots.key = locks.key) WHERE key = ? "
                "AND (SELECT claim_pid FROM slots WHERE slots.key = locks.key) IS NOT NULL",
                (key,),
            )
            database.execute(
                "UPDATE attempts SET state = 'ended', status = ?, exit_code = ?, reason = ?, ended_at = ? "
                "WHERE key = ? AND number = ?",
                (status, exit_code, reason, at, key, number),
            )

    def attempts(self, key: str) -> list[Attempt]:
        """The drills of a slot, in the order they were tried."""
        with self._explained():
            rows = self._database.execute(
                "SELECT * FROM attempts WHERE key = ? ORDER BY number", (key,)
            ).fetchall()
            return [attempt_of(row) for row in rows]

    # Looking.

    def slot(self, key: str) -> SlotRecord | None:
        """The row of a slot."""
        with self._explained():
            row = self._database.execute("SELECT * FROM slots WHERE key = ?", (key,)).fetchone()
            return slot_of(row) if row else None

    def open_slots(self) -> list[SlotRecord]:
        """Slots on the way, oldest first."""
        with self._explained():
            rows = self._database.execute(
                "SELECT * FROM slots WHERE state IN ('claimed', 'running') ORDER BY due, key"
            ).fetchall()
            return [slot_of(row) for row in rows]

    def decided(self, calendar: str, entry: str, since: float) -> set[str]:
        """The keys of an entry's slots due at or after `since` that have a row."""
        with self._explained():
            rows = self._database.execute(
                "SELECT key FROM slots WHERE calendar = ? AND entry = ? AND due >= ?", (calendar, entry, since)
            ).fetchall()
            return {str(row[0]) for row in rows}

    def missed_ahead(self, calendar: str, entry: str, now: float) -> set[str]:
        """The keys of slots that were recorded as missed at a later time than now: the clock was ahead then."""
        with self._explained():
            rows = self._database.execute(
                "SELECT key FROM slots WHERE calendar = ? AND entry = ? AND state = 'missed' AND decided_at > ?",
                (calendar, entry, now),
            ).fetchall()
            return {str(row[0]) for row in rows}

    def latest(
        self, limit: int, *, calendar: str | None = None, entry: str | None = None, state: str | None = None
    ) -> list[SlotRecord]:
        """The newest slots first."""
        with self._explained():
            rows = self._database.execute(
                "SELECT * FROM slots WHERE (?1 IS NULL OR calendar = ?1) AND (?2 IS NULL OR entry = ?2) "
                "AND (?3 IS NULL OR state = ?3) ORDER BY due DESC, key LIMIT ?4",
                (calendar, entry, state, limit),
            ).fetchall()
            return [slot_of(row) for row in rows]

    def gaps(self, limit: int) -> list[Gap]:
        """The newest rows of missed slots first."""
        with self._explained():
            rows = self._database.execute(
                "SELECT calendar, entry, first, last, count, reason, at FROM gaps ORDER BY at DESC LIMIT ?", (limit,)
            ).fetchall()
            return [Gap(*row) for row in rows]

    def last_success(self) -> dict[tuple[str, str], float]:
        """For each calendar and entry, when a slot of it last finished as passed."""
        return self._last("state = 'finished' AND outcome = 'passed'")

    def last_fired(self) -> dict[tuple[str, str], float]:
        """For each calendar and entry, the due time of the newest slot that was run or held."""
        with self._explained():
            rows = self._database.execute(
                "SELECT calendar, entry, max(due) FROM slots WHERE state != 'missed' GROUP BY calendar, entry"
            ).fetchall()
            return {(row[0], row[1]): row[2] for row in rows}

    def _last(self, condition: str) -> dict[tuple[str, str], float]:
        with self._explained():
            rows = self._database.execute(
                f"SELECT calendar, entry, max(decided_at) FROM slots WHERE {condition} "  # noqa: S608
                "GROUP BY calendar, entry"
            ).fetchall()
            return {(row[0], row[1]): row[2] for row in rows}

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many slots have been decided, by calendar, state and outcome (for held ones: the gate)."""
        with self._explained():
            rows = self._database.execute(
                "SELECT calendar, state, outcome, count(*) FROM slots GROUP BY calendar, state, outcome"
            ).fetchall()
            return {(row[0], row[1], row[2]): int(row[3]) for row in rows}

    # Entries: until when their slots have been considered.

    def considered(self, calendar: str, entry: str, timing: str, now: float) -> tuple[float, bool]:
        """Until when slots of an entry have been considered, and whether it is new or its timing has changed.

        An entry that is new, or whose timing (any text that changes with it) is not the one known, is considered from
        now on: slots that it would have had before are nobody's.
        """
        with self._transaction() as database:
            row = database.execute(
                "SELECT timing, until FROM entries WHERE calendar = ? AND entry = ?", (calendar, entry)
            ).fetchone()
            if row is not None and row[0] == timing:
                return float(row[1]), False
            database.execute(
                "INSERT OR REPLACE INTO entries (calendar, entry, timing, until) VALUES (?, ?, ?, ?)",
                (calendar, entry, timing, now),
            )
            return now, True

    def consider(self, calendar: str, entry: str, until: float) -> None:
        """All slots of an entry due before or at `until` have a decision."""
        with self._transaction() as database:
            database.execute(
                "UPDATE entries SET until = ? WHERE calendar = ? AND entry = ?", (until, calendar, entry)
            )

    # Environments.

    def lock(self, wanted: EnvironmentLock, now_boottime: float, alive: Any) -> EnvironmentLock | None:
        """Take an environment for a slot; who has it, if somebody else does.

        A lock is free once its holder is dead (`alive(process)`), whatever its lease says. One whose lease has run out
        while the holder lives is still held: its drill goes on in there.
        """
        with self._transaction() as database:
            row = database.execute("SELECT * FROM locks WHERE environment = ?", (wanted.environment,)).fetchone()
            if row is not None:
                held = lock_of(row)
                if held.key != wanted.key and alive(held.holder):
                    return held
            database.execute(
                "INSERT OR REPLACE INTO locks (environment, key, owner, pid, ticks, boot, space, taken_at, lease_s, "
                "lease_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    wanted.environment, wanted.key, wanted.owner, *_process(wanted.holder), wanted.taken_at,
                    wanted.lease_s, now_boottime + wanted.lease_s,
                ),
            )  # fmt: skip
        return None

    def locks(self) -> list[EnvironmentLock]:
        """Every environment in use."""
        with self._explained():
            return [lock_of(row) for row in self._database.execute("SELECT * FROM locks ORDER BY environment")]

    # The schedulers themselves.

    def beat(self, scheduler: ProcessId, at: float, boottime: float, calendars: Sequence[str]) -> None:
        """This scheduler lives."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO schedulers (pid, ticks, boot, space, started_at, seen_at, seen_boottime, calendars) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pid, ticks, boot, space) DO UPDATE SET "
                "seen_at = excluded.seen_at, seen_boottime = excluded.seen_boottime, calendars = excluded.calendars",
                (*_process(scheduler), at, at, boottime, json.dumps(list(calendars))),
            )

    def retire(self, scheduler: ProcessId) -> None:
        """This scheduler has ended, or was found dead."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM schedulers WHERE pid = ? AND ticks = ? AND boot = ? AND space = ?", _process(scheduler)
            )

    def schedulers(self) -> list[tuple[ProcessId, float, float, float, list[str]]]:
        """Those that have not retired: who, since when, last seen (wall clock, boot time), with which calendars."""
        with self._explained():
            rows = self._database.execute(
                "SELECT pid, ticks, boot, space, started_at, seen_at, seen_boottime, calendars FROM schedulers "
                "ORDER BY started_at"
            ).fetchall()
            return [(ProcessId(*row[:4]), row[4], row[5], row[6], json.loads(row[7])) for row in rows]

    def lives(self, process: ProcessId, claimant: ProcessId | None, boottime: float) -> bool:
        """Whether a process lives; one that cannot be looked for, while its scheduler's heartbeat is fresh."""
        if process.visible():
            return process.lives()
        beats = {scheduler: seen for scheduler, _, _, seen, _ in self.schedulers()}
        seen = beats.get(claimant or process)
        return seen is not None and 0 <= boottime - seen <= BEATS_FRESH_S

    def note(self, at: float, kind: str, text: str) -> None:
        """Write down something that happened to the scheduler itself."""
        with self._transaction() as database:
            database.execute("INSERT INTO notes (at, kind, text) VALUES (?, ?, ?)", (at, kind, text))

    def notes(self, limit: int) -> list[Note]:
        """The newest first."""
        with self._explained():
            rows = self._database.execute(
                "SELECT at, kind, text FROM notes ORDER BY at DESC, rowid DESC LIMIT ?", (limit,)
            )
            return [Note(*row) for row in rows]


def _slot(slot: SlotName) -> tuple[str, str, str, float, float]:
    return slot.key, slot.calendar, slot.entry, slot.nominal, slot.due


def _process(process: ProcessId | None) -> tuple[int | None, int | None, str | None, str | None]:
    return (process.pid, process.ticks, process.boot, process.space) if process else (None, None, None, None)
