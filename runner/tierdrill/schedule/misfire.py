"""What becomes of slots that are due: run, or too late to. Pure: slots, a moment and the misfire policy in, words out.

A slot may start up to `grace` late. Of those that are late, the newest `count` still run, one after the other; the rest
are missed. So a machine that slept through a week, or a clock set forward by a year, is no burst of drills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tierdrill.documents.models.calendar import Misfire
from tierdrill.documents.models.units import show_duration
from tierdrill.schedule.slots import Slot
from tierdrill.schedule.store.slot_records import SlotName

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


def spoken(seconds: float) -> str:
    """A lateness for people: 0.4 s, 95 s, 3.2 h."""
    for unit, size in (("d", 86400.0), ("h", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def name_of(slot: Slot) -> SlotName:
    """The slot as the store names it."""
    return SlotName(slot.key, slot.calendar, slot.entry, slot.nominal.timestamp(), slot.due.timestamp())
