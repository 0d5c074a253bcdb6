"""What the schedule's store holds, as plain values: slots with their decisions, attempts, locks, notes."""

from __future__ import annotations

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
