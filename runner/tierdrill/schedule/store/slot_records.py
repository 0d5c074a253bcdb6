"""What the schedule's store holds, as plain values: slots with their decisions, attempts, locks, notes."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tierdrill.process.identity import ProcessId


class SlotState(StrEnum):
    """What became of a slot. The first two are on the way, the others are final."""

    CLAIMED = "claimed"
    RUNNING = "running"
    FINISHED = "finished"
    HELD = "held"
    MISSED = "missed"
    LOST = "lost"


OPEN = (SlotState.CLAIMED, SlotState.RUNNING)

OUTCOMES = ("unclean", "lost", "aborted", "refused", "failed", "inconclusive", "held", "passed")
"""What an attempt, and by its worst attempt a slot, came to: the verdict's status, or

`refused`: the run did not begin (bad input, locked, halted); `lost`: it ended without a verdict; `held`: by a gate.
"""


@dataclass(frozen=True)
class SlotName:
    """A slot as the store names it; times are Unix seconds, by the wall clock."""

    key: str
    calendar: str
    entry: str
    nominal: float
    due: float


@dataclass(frozen=True)
class SlotRecord:
    """One row: the slot and its decision. `claimant` is the scheduler that has, or had, it in hand."""

    slot: SlotName
    state: SlotState
    outcome: str
    reason: str
    claimant: ProcessId | None
    claimed_at: float | None
    decided_at: float | None
    lateness_s: float | None
    takeovers: int


@dataclass(frozen=True)
class Attempt:
    """One drill of a slot, tried once. `member` is its place in the suite, from 0; `gates` the gates' results.

    `state` is "prepared" (nothing was started for it yet), "running" or "ended".
    """

    key: str
    number: int
    member: int
    drill: str
    run: str
    state: str
    child: ProcessId | None
    started_at: float | None
    ended_at: float | None
    status: str
    exit_code: int | None
    reason: str
    gates: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class EnvironmentLock:
    """An environment in use by a slot: whose, until when the lease lasts (CLOCK_BOOTTIME of boot `holder.boot`)."""

    environment: str
    key: str
    owner: str
    holder: ProcessId
    taken_at: float
    lease_s: float
    lease_until: float


@dataclass(frozen=True)
class Gap:
    """Slots that were missed in such a number that they are recorded as one."""

    calendar: str
    entry: str
    first: float
    last: float
    count: int
    reason: str
    at: float


@dataclass(frozen=True)
class Note:
    """Something that happened to the scheduler itself: started, reloaded, a clock that jumped, a store set aside."""

    at: float
    kind: str
    text: str


def words_of(state: str, outcome: str, reason: str) -> str:
    """State, outcome and reason for people, nothing said twice: "held", "window: blackout: ..."."""
    said = outcome if outcome != state and not reason.startswith(f"{outcome}:") else ""
    return f"{state}{f' {said}' if said else ''}{f': {reason}' if reason else ''}"


def worst(outcomes: list[str]) -> str:
    """The outcome that a slot's attempts come to together; "" for none."""
    known = [outcome for outcome in OUTCOMES if outcome in outcomes]
    return known[0] if known else next(iter(outcomes), "")


SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS slots (
  key TEXT PRIMARY KEY, calendar TEXT NOT NULL, entry TEXT NOT NULL, nominal REAL NOT NULL, due REAL NOT NULL,
  state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  claim_pid INTEGER, claim_ticks INTEGER, claim_boot TEXT, claim_space TEXT,
  claimed_at REAL, decided_at REAL, lateness_s REAL, takeovers INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS slots_by_entry ON slots (calendar, entry, due);
CREATE INDEX IF NOT EXISTS slots_by_due ON slots (due);
CREATE INDEX IF NOT EXISTS slots_open ON slots (state) WHERE state IN ('claimed', 'running');
CREATE TABLE IF NOT EXISTS attempts (
  key TEXT NOT NULL, number INTEGER NOT NULL, member INTEGER NOT NULL, drill TEXT NOT NULL, run TEXT NOT NULL,
  state TEXT NOT NULL, child_pid INTEGER, child_ticks INTEGER, child_boot TEXT, child_space TEXT,
  started_at REAL, ended_at REAL, status TEXT NOT NULL DEFAULT '', exit_code INTEGER,
  reason TEXT NOT NULL DEFAULT '', gates TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (key, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  calendar TEXT NOT NULL, entry TEXT NOT NULL, timing TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL,
  PRIMARY KEY (calendar, entry)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (
  calendar TEXT NOT NULL, entry TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL, count INTEGER NOT NULL,
  reason TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS locks (
  environment TEXT PRIMARY KEY, key TEXT NOT NULL, owner TEXT NOT NULL, pid INTEGER NOT NULL, ticks INTEGER NOT NULL,
  boot TEXT NOT NULL, space TEXT NOT NULL, taken_at REAL NOT NULL, lease_s REAL NOT NULL, lease_until REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS schedulers (
  pid INTEGER NOT NULL, ticks INTEGER NOT NULL, boot TEXT NOT NULL, space TEXT NOT NULL, started_at REAL NOT NULL,
  seen_at REAL NOT NULL, seen_boottime REAL NOT NULL, calendars TEXT NOT NULL, PRIMARY KEY (pid, ticks, boot, space)
) STRICT;
CREATE TABLE IF NOT EXISTS notes (at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL) STRICT;
"""


def slot_of(row: tuple[Any, ...]) -> SlotRecord:
    """A row of `slots`, its columns in the order of the table."""
    state, outcome, reason = row[5:8]
    return SlotRecord(*(SlotName(*row[:5]), SlotState(state), outcome, reason, _process(row[8:12]), *row[12:]))


def attempt_of(row: tuple[Any, ...]) -> Attempt:
    """A row of `attempts`, its columns in the order of the table."""
    return Attempt(*(*row[:6], _process(row[6:10]), *row[10:15], tuple(json.loads(row[15]))))


def lock_of(row: tuple[Any, ...]) -> EnvironmentLock:
    """A row of `locks`, its columns in the order of the table."""
    return EnvironmentLock(*(*row[:3], ProcessId(*row[3:7]), *row[7:]))


def _process(columns: tuple[Any, ...]) -> ProcessId | None:
    pid, ticks, boot, space = columns
    return None if pid is None else ProcessId(pid, ticks, boot, space)
