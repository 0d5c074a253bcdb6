"""What can be asked of the schedule's store: slots, attempts, gaps, last times, locks, schedulers, notes."""

import json
from typing import Any

from tierdrill.process.identity import ProcessId
from tierdrill.schedule.store.slot_records import (
    Attempt,
    EnvironmentLock,
    Gap,
    Note,
    SlotRecord,
    attempt_of,
    lock_of,
    slot_of,
)
from tierdrill.schedule.store.store_file import StoreFile

BEATS_FRESH_S = 90.0
"""A scheduler that cannot be looked for (another PID namespace) lives while its heartbeat is not older."""


_NOTES = "SELECT at, kind, text FROM notes"


class Lookups(StoreFile):
    def slot(self, key: str) -> SlotRecord | None:
        return next(iter(self._slots("WHERE key = ?", key)), None)

    def _slots(self, which: str, *values: Any) -> list[SlotRecord]:
        return [slot_of(row) for row in self._rows(f"SELECT * FROM slots {which}", *values)]  # noqa: S608

    def open_slots(self) -> list[SlotRecord]:
        """Slots on the way, oldest first."""
        return self._slots("WHERE state IN ('claimed', 'running') ORDER BY due, key")

    def latest(
        self, limit: int, *, calendar: str | None = None, entry: str | None = None, state: str | None = None
    ) -> list[SlotRecord]:
        """The newest slots first."""
        return self._slots(
            "WHERE (?1 IS NULL OR calendar = ?1) AND (?2 IS NULL OR entry = ?2) AND (?3 IS NULL OR state = ?3) "
            "ORDER BY due DESC, key LIMIT ?4",
            *(calendar, entry, state, limit),
        )

    def decided(self, calendar: str, entry: str, since: float) -> set[str]:
        """The keys of an entry's slots due at or after `since` that have a row."""
        return self._keys("calendar = ? AND entry = ? AND due >= ?", calendar, entry, since)

    def missed_ahead(self, calendar: str, entry: str, now: float) -> set[str]:
        """The keys of slots that were recorded as missed at a later time than now: the clock was ahead then."""
        return self._keys("calendar = ? AND entry = ? AND state = 'missed' AND decided_at > ?", calendar, entry, now)

    def _keys(self, condition: str, *values: Any) -> set[str]:
        return {str(row[0]) for row in self._rows(f"SELECT key FROM slots WHERE {condition}", *values)}  # noqa: S608

    def gaps(self, limit: int) -> list[Gap]:
        """The newest rows of missed slots first."""
        rows = self._rows(
            "SELECT calendar, entry, first, last, count, reason, at FROM gaps ORDER BY at DESC LIMIT ?", limit
        )
        return [Gap(*row) for row in rows]

    def last_run(self) -> dict[tuple[str, str], float]:
        """For each calendar and entry, when a slot of it last finished with a verdict, whatever it was."""
        return self._by_entry(
            "max(decided_at) FROM slots WHERE state = 'finished' AND outcome IN ('passed', 'failed', 'inconclusive')"
            " GROUP BY calendar, entry"
        )

    def last_success(self) -> dict[tuple[str, str], float]:
        """For each calendar and entry, when a slot of it last finished as passed."""
        return self._by_entry(
            "max(decided_at) FROM slots WHERE state = 'finished' AND outcome = 'passed' GROUP BY calendar, entry"
        )

    def known_since(self) -> dict[tuple[str, str], float]:
        """For each calendar and entry, since when a scheduler has known it."""
        return self._by_entry("since FROM entries")

    def _by_entry(self, what: str) -> dict[tuple[str, str], float]:
        return {(row[0], row[1]): row[2] for row in self._rows(f"SELECT calendar, entry, {what}")}

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many slots have been decided, by calendar, state and outcome (for held ones: the gate)."""
        rows = self._rows("SELECT calendar, state, outcome, count(*) FROM slots GROUP BY calendar, state, outcome")
        return {(row[0], row[1], row[2]): int(row[3]) for row in rows}

    def attempts(self, key: str) -> list[Attempt]:
        """The drills of a slot, in the order they were tried."""
        return [attempt_of(row) for row in self._rows("SELECT * FROM attempts WHERE key = ? ORDER BY number", key)]

    def locks(self) -> list[EnvironmentLock]:
        return [lock_of(row) for row in self._rows("SELECT * FROM locks ORDER BY environment")]

    def schedulers(self) -> list[tuple[ProcessId, float, float, float, list[str]]]:
        """Those that have not retired: who, since when, last seen (wall clock, boot time), with which calendars."""
        rows = self._rows(
            "SELECT pid, ticks, boot, space, started_at, seen_at, seen_boottime, calendars FROM schedulers "
            "ORDER BY started_at"
        )
        return [(ProcessId(*row[:4]), row[4], row[5], row[6], json.loads(row[7])) for row in rows]

    def lives(self, process: ProcessId, claimant: ProcessId | None, boottime: float) -> bool:
        """Whether a process lives; one that cannot be looked for, while its scheduler's heartbeat is fresh."""
        if process.visible():
            return process.lives()
        beats = {scheduler: seen for scheduler, _, _, seen, _ in self.schedulers()}
        seen = beats.get(claimant or process)
        return seen is not None and 0 <= boottime - seen <= BEATS_FRESH_S

    def notes(self, limit: int) -> list[Note]:
        """The newest first."""
        return [Note(*row) for row in self._rows(f"{_NOTES} ORDER BY at DESC, rowid DESC LIMIT ?", limit)]

    def notes_of(self, kinds: tuple[str, str]) -> list[Note]:
        """All notes of two kinds, the newest first."""
        rows = self._rows(f"{_NOTES} WHERE kind IN (?, ?) ORDER BY at DESC, rowid DESC", *kinds)
        return [Note(*row) for row in rows]
