"""Misfires: which slots that are due still run, and why the others do not. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tierdrill.documents.models.calendar import Misfire
from tierdrill.documents.models.units import show_duration
from tierdrill.schedule.slots import Slot, spoken

ON_TIME_S = 10.0
"""A start within this is on time: two heartbeats of the scheduler."""


@dataclass(frozen=True)
class DueSlot:
    """A slot that is due, and why it does not run; `missed` is empty for one that does."""

    slot: Slot
    late_s: float
    missed: str = ""


def decide(slots: Sequence[Slot], now: datetime, misfire: Misfire, why_late: str = "") -> list[DueSlot]:
    """Which of an entry's undecided slots, all due at or before `now`, run; oldest first.

    `why_late` is what is known of the reason: nobody ran the scheduler, the machine slept, the clock was set.
    """
    ordered = sorted(slots, key=lambda slot: (slot.due, slot.key))
    late = {slot.key: max(0.0, (now - slot.due).total_seconds()) for slot in ordered}
    on_time = [slot for slot in ordered if late[slot.key] <= ON_TIME_S]
    startable = [slot for slot in ordered if ON_TIME_S < late[slot.key] <= misfire.grace]
    # What is due now counts among those that run: it is not followed by a slot that was missed. One that the calendar
    # holds back takes nobody's place.
    room = max(0, misfire.count - sum(slot.held is None for slot in on_time))
    startable = [slot for slot in startable if slot.held is None] or startable
    running = {slot.key for slot in on_time} | {slot.key for slot in startable[max(0, len(startable) - room) :]}
    because = f"; {why_late}" if why_late else ""
    decided = []
    for slot in ordered:
        late_s = late[slot.key]
        if slot.key in running:
            reason = ""
        elif late_s > misfire.grace:
            reason = f"{spoken(late_s)} late, and at most {show_duration(misfire.grace)} is allowed{because}"
        else:
            reason = f"{spoken(late_s)} late, and {_newer(misfire.count)} of the entry's slots run{because}"
        decided.append(DueSlot(slot, late_s, reason))
    return decided


def _newer(count: int) -> str:
    return f"only the newest {count}" if count > 1 else "only the newest" if count else "none that was missed"
