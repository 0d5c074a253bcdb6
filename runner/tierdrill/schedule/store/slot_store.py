"""The durable store of the schedule: one row for each slot with its decision, so that none runs twice and none is lost.

`schedule.db` in the home, WAL, synchronous FULL: what a call has written is on the disk when it returns. A slot is
claimed by the insertion of its row; of two schedulers one gets it. Every later write names its claimant and fails if
the slot is no longer that scheduler's. Times are Unix seconds; leases and heartbeats are CLOCK_BOOTTIME.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from tierdrill.process.identity import ProcessId
from tierdrill.schedule.store.slot_queries import BEATS_FRESH_S, Lookups
from tierdrill.schedule.store.slot_records import Attempt, EnvironmentLock, Gap, SlotName, SlotState, lock_of
from tierdrill.schedule.store.store_file import NotOurs, StoreCorrupt, StoreError, StoreMoved

__all__ = ["NotOurs", "ScheduleStore", "StoreCorrupt", "StoreError", "StoreMoved"]

KEEP_S = 400 * 86400.0
KEEP_GATES_S = 90 * 86400.0
"""A year and a month of slots, so that a year can be compared; a quarter of what their gates said."""

RELEASED = "the scheduler exited before the slot started; the next one decides"


class ScheduleStore(Lookups):
    """The store of one home. Safe for several processes; one instance per thread."""

    def _claimed_by(self, database: sqlite3.Connection, key: str, claimant: ProcessId | None) -> str | None:
        """The state of an open slot if it is in these hands (None: in nobody's)."""
        row = database.execute(
            "SELECT state FROM slots WHERE key = ? AND state IN ('claimed', 'running') AND claim_pid IS ? "
            "AND claim_ticks IS ? AND claim_boot IS ? AND claim_space IS ?",
            (key, *_process(claimant)),
        ).fetchone()
        return str(row[0]) if row else None

    def _in_hand(self, database: sqlite3.Connection, key: str, claimant: ProcessId) -> str:
        state = self._claimed_by(database, key, claimant)
        if state is None:
            raise NotOurs(f"{self.path}: slot {key} is not in the hands of process {claimant.pid}", self.path)
        return state

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
            if self._claimed_by(database, key, dead) is None:
                return False
            database.execute(
                "UPDATE slots SET claim_pid = ?, claim_ticks = ?, claim_boot = ?, claim_space = ?, "
                "takeovers = takeovers + 1 WHERE key = ?",
                (*_process(claimant), key),
            )
            return True

    def release(self, key: str, claimant: ProcessId) -> None:
        """Give back a slot for which nothing was started: the next scheduler may take it, or record it as missed."""
        with self._transaction() as database:
            self._in_hand(database, key, claimant)
            database.execute(
                "UPDATE slots SET claim_pid = NULL, claim_ticks = NULL, claim_boot = NULL, claim_space = NULL, "
                "reason = ? WHERE key = ?",
                (RELEASED, key),
            )
            database.execute("DELETE FROM locks WHERE key = ?", (key,))

    def finish(
        self, key: str, claimant: ProcessId, state: SlotState, outcome: str, reason: str, at: float
    ) -> None:
        """Record the final decision on a slot in hand and free its environment; NotOurs if it is not in hand."""
        with self._transaction() as database:
            self._in_hand(database, key, claimant)
            database.execute(
                "UPDATE slots SET state = ?, outcome = ?, reason = ?, decided_at = ? WHERE key = ?",
                (state.value, outcome, reason, at, key),
            )
            database.execute("DELETE FROM locks WHERE key = ?", (key,))

    def pass_over(self, slots: Sequence[tuple[SlotName, SlotState, str, str]], at: float) -> list[str]:
        """Record slots that do not run: missed or held, outcome and reason; the keys of those that had no row before.
        """
        recorded = []
        self.check_place()
        with self._transaction() as database:
            for slot, state, outcome, reason in slots:
                changed = database.execute(
                    "INSERT OR IGNORE INTO slots (key, calendar, entry, nominal, due, state, outcome, reason, "
                    "decided_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*_slot(slot), state.value, outcome, reason, at),
                )
                if changed.rowcount == 1:
                    recorded.append(slot.key)
        return recorded

    def pass_over_many(self, gap: Gap) -> None:
        """Record a long row of slots that do not run as one."""
        self._do(
            "INSERT INTO gaps (calendar, entry, first, last, count, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(gap.calendar, gap.entry, gap.first, gap.last, gap.count, gap.reason, gap.at),
        )

    # Attempts: the drills of a slot.

    def prepare(self, attempt: Attempt, claimant: ProcessId) -> None:
        """Write down a drill that is about to start, or that a gate holds; NotOurs if the slot is not in hand."""
        with self._transaction() as database:
            self._in_hand(database, attempt.key, claimant)
            database.execute("UPDATE slots SET state = 'running' WHERE key = ?", (attempt.key,))
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
            self._in_hand(database, key, claimant)
            database.execute(
                "UPDATE attempts SET state = 'running', child_pid = ?, child_ticks = ?, child_boot = ?, "
                "child_space = ?, started_at = ? WHERE key = ? AND number = ?",
                (*_process(child), at, key, number),
            )
            database.execute(
                "UPDATE locks SET pid = ?, ticks = ?, boot = ?, space = ? WHERE key = ?", (*_process(child), key)
            )

    def ended(self, key: str, number: int, status: str, exit_code: int | None, reason: str, at: float) -> None:
        with self._transaction() as database:
            self._lock_back(database, key)
            database.execute(
                "UPDATE attempts SET state = 'ended', status = ?, exit_code = ?, reason = ?, ended_at = ? "
                "WHERE key = ? AND number = ?",
                (status, exit_code, reason, at, key, number),
            )

    def died(self, key: str) -> None:
        """A drill's process has gone; its environment is the slot's claimant's until it is known to be well again."""
        with self._transaction() as database:
            self._lock_back(database, key)

    @staticmethod
    def _lock_back(database: sqlite3.Connection, key: str) -> None:
        database.execute(
            "UPDATE locks SET (pid, ticks, boot, space) = (SELECT claim_pid, claim_ticks, claim_boot, claim_space "
            "FROM slots WHERE slots.key = locks.key) WHERE key = ? "
            "AND (SELECT claim_pid FROM slots WHERE slots.key = locks.key) IS NOT NULL",
            (key,),
        )

    # Entries: until when their slots have been considered.

    def considered(
        self, timings: Mapping[tuple[str, str], str], now: float, marks: Mapping[tuple[str, str], float] | None = None
    ) -> tuple[dict[tuple[str, str], float], list[tuple[str, str]]]:
        """Until when slots of each entry (calendar, name) have been considered; and those that are new or changed.

        `timings` is any text that changes with an entry's moments. One that is new, or whose text is not the one known,
        is considered from now on: slots that it would have had before are nobody's. `marks` are those of a scheduler
        that has followed entries already, for a store that has just been begun.
        """
        found: dict[tuple[str, str], float] = {}
        fresh = []
        with self._transaction() as database:
            rows = database.execute("SELECT calendar, entry, timing, until FROM entries").fetchall()
            known = {(row[0], row[1]): (row[2], float(row[3])) for row in rows}
            for name, timing in timings.items():
                if name in known and known[name][0] == timing:
                    found[name] = known[name][1]
                    continue
                database.execute(
                    "INSERT INTO entries (calendar, entry, timing, since, until) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (calendar, entry) DO UPDATE SET timing = excluded.timing, until = excluded.until",
                    (*name, timing, now, (marks or {}).get(name, now)),
                )
                found[name] = (marks or {}).get(name, now)
                fresh.append(name)
        return found, fresh

    def consider(self, calendar: str, entry: str, until: float) -> None:
        """All slots of an entry due before or at `until` have a decision."""
        self._do("UPDATE entries SET until = ? WHERE calendar = ? AND entry = ?", until, calendar, entry)

    # Environments.

    def lock(
        self, wanted: EnvironmentLock, now_boottime: float, alive: Callable[[ProcessId], bool]
    ) -> EnvironmentLock | None:
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

    # The schedulers themselves.

    def beat(self, scheduler: ProcessId, at: float, boottime: float, calendars: Sequence[str]) -> None:
        self._do(
            "INSERT INTO schedulers (pid, ticks, boot, space, started_at, seen_at, seen_boottime, calendars) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pid, ticks, boot, space) DO UPDATE SET "
            "seen_at = excluded.seen_at, seen_boottime = excluded.seen_boottime, calendars = excluded.calendars",
            *(*_process(scheduler), at, at, boottime, json.dumps(list(calendars))),
        )

    def slept(self, boottime: float, slept_s: float) -> None:
        """The machine slept for so long until now: no scheduler could beat, so that its silence says nothing."""
        self._do(
            "UPDATE schedulers SET seen_boottime = ?1 WHERE seen_boottime BETWEEN ?1 - ?2 - ?3 AND ?1",
            *(boottime, slept_s, BEATS_FRESH_S),
        )

    def retire(self, scheduler: ProcessId) -> None:
        self._do("DELETE FROM schedulers WHERE pid = ? AND ticks = ? AND boot = ? AND space = ?", *_process(scheduler))

    def forget(self, now: float) -> None:
        """Remove what is long past: what gates said after 90 days, slots, gaps and notes after 400.

        The last run and the last success of each entry stay, whatever their age.
        """
        with self._transaction() as database:
            database.execute(
                "UPDATE attempts SET gates = '[]' WHERE ended_at < ? AND gates != '[]'", (now - KEEP_GATES_S,)
            )
            # Of a group with max(), SQLite gives the other columns of the row that has it (lang_select.html).
            rows = database.execute(
                "SELECT key, max(decided_at) FROM slots WHERE state = 'finished' AND outcome = 'passed' "
                "GROUP BY calendar, entry UNION SELECT key, max(decided_at) FROM slots WHERE state = 'finished' "
                "AND outcome IN ('passed', 'failed', 'inconclusive') GROUP BY calendar, entry"
            ).fetchall()
            kept = {row[0] for row in rows}
            old = database.execute("SELECT key FROM slots WHERE decided_at < ?", (now - KEEP_S,)).fetchall()
            gone = [(row[0],) for row in old if row[0] not in kept]
            database.executemany("DELETE FROM attempts WHERE key = ?", gone)
            database.executemany("DELETE FROM slots WHERE key = ?", gone)
            database.execute("DELETE FROM gaps WHERE at < ?", (now - KEEP_S,))
            database.execute("DELETE FROM notes WHERE at < ?", (now - KEEP_S,))

    def note(self, at: float, kind: str, text: str) -> None:
        """Write down something that happened to the scheduler itself."""
        self._do("INSERT INTO notes (at, kind, text) VALUES (?, ?, ?)", at, kind, text)



def _slot(slot: SlotName) -> tuple[str, str, str, float, float]:
    return slot.key, slot.calendar, slot.entry, slot.nominal, slot.due


def _process(process: ProcessId | None) -> tuple[int | None, int | None, str | None, str | None]:
    return (process.pid, process.ticks, process.boot, process.space) if process else (None, None, None, None)
