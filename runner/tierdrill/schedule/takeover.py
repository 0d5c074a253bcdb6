"""Slots that a dead scheduler left in the middle: taken over, so that each comes to its one record and runs once.

A drill that was let go is adopted, whether it still runs or has ended. One that was only written down never began; it
may begin now if it is not too late.
"""

import contextlib
import logging
import signal
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from tierdrill.documents.calendar.calendar_rules import Rules
from tierdrill.documents.timetable import EntryTimes, Timetable, timetable_of
from tierdrill.process.groups import signal_process
from tierdrill.schedule.slot_context import Surroundings
from tierdrill.schedule.slot_run import SlotRun
from tierdrill.schedule.slot_work import Work, members_of, orphan
from tierdrill.schedule.store.slot_records import SlotRecord
from tierdrill.schedule.store.slot_store import ScheduleStore
from tierdrill.schedule.sweep import Snapshot
from tierdrill.text import utc

_log = logging.getLogger(__name__)


class Leftovers:
    """Looks for them, again and again: another scheduler of this home may die at any time."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def take(self, store: ScheduleStore, snapshot: Snapshot) -> Iterator[Coroutine[Any, Any, None]]:
        """Take over every open slot whose claimant is dead; what is to be done for each, as soon as it is ours.

        StoreError says nothing of those before: they are in our hands and must be seen through.
        """
        self._bury(store)
        for record in store.open_slots():
            claimant = record.claimant
            boottime = self._around.clock.read().boottime
            if claimant == self._around.me or (claimant is not None and store.lives(claimant, None, boottime)):
                continue
            known = snapshot.find(record.slot.calendar, record.slot.entry)
            if known is None:
                if self._served_elsewhere(store, record.slot.calendar):
                    continue
                known = _unserved(snapshot, record.slot.calendar, record.slot.entry)
            if not store.take_over(record.slot.key, claimant, self._around.me):
                continue
            who = f"process {claimant.pid}, which is dead" if claimant else "a scheduler that ended"
            _log.warning("%s: taken over from %s", record.slot.key, who)
            if known is None:
                yield SlotRun(self._around, orphan(record.slot)).close()
            else:
                timetable, times = known
                members = members_of(snapshot.catalogue, timetable.calendar, times.entry, record.slot.key)
                work = Work(record.slot, timetable.calendar, times.entry, members, _held(times.rules, record))
                yield SlotRun(self._around, work).go()
            store.note(self._around.clock.read().wall, "taken-over", f"{record.slot.key} from {who}")

    def _bury(self, store: ScheduleStore) -> None:
        reading = self._around.clock.read()
        for scheduler, _, seen_at, _, _ in store.schedulers():
            if scheduler != self._around.me and not store.lives(scheduler, None, reading.boottime):
                seen = utc(seen_at)
                store.note(reading.wall, "died", f"scheduler {scheduler.pid}, last seen {seen}")
                store.retire(scheduler)

    def _served_elsewhere(self, store: ScheduleStore, calendar: str) -> bool:
        others = [calendars for scheduler, *_, calendars in store.schedulers() if scheduler != self._around.me]
        return any(calendar in calendars for calendars in others)

    def kill_all(self) -> None:
        """End the drills' processes at once; their reapers heal."""
        for process in self._around.running:
            with contextlib.suppress(PermissionError):
                signal_process(process, signal.SIGKILL)


def _unserved(snapshot: Snapshot, calendar: str, entry: str) -> tuple[Timetable, EntryTimes] | None:
    """The entry of a calendar that only the dead scheduler served; None if there is none in the catalogue any more."""
    document = snapshot.catalogue.calendars.get(calendar)
    if document is None:
        return None
    timetable = timetable_of(document, snapshot.catalogue.paths["Calendar", calendar])
    times = timetable.entries.get(entry)
    return (timetable, times) if times is not None else None


def _held(rules: Rules, record: SlotRecord) -> str | None:
    return rules.held(datetime.fromtimestamp(record.slot.due, UTC))
