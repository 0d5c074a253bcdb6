"""Slots: the single starts that a calendar gives, each with a key that is the same for every scheduler that asks.

Pure: a slot depends on the calendar and on the time asked about, not on what has run or on where it is computed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from tierdrill.documents.timetable import EntryTimes, Timetable


@dataclass(frozen=True)
class Slot:
    """One start of one entry, in UTC.

    `nominal` is what the trigger says and `due` that with the jitter. `held` is the calendar's rule that holds it back
    at `due`, in words that begin with `blackout:` or `window:`; None if the calendar lets it run. `key` marks it as
    decided, once and for all: `nightly/node-loss/2026-11-26T01:30:00Z`.
    """

    calendar: str
    entry: str
    nominal: datetime
    due: datetime
    held: str | None
    key: str


def slots_of(times: EntryTimes, after: datetime, until: datetime | None = None) -> Iterator[Slot]:
    """An entry's slots whose nominal time is later than `after`, up to and with `until` or for ever, in order."""
    for nominal in times.nominal(after, until):
        due = times.due(nominal)
        yield Slot(times.calendar, times.entry.name, nominal, due, times.rules.held(due), times.key(nominal))


def due_slots(timetables: Iterable[Timetable], after: datetime, until: datetime | None = None) -> Iterator[Slot]:
    """The slots of every entry that are due later than `after`, up to and with `until` or for ever, by due time."""
    streams = [_due(times, after, until) for timetable in timetables for times in timetable.entries.values()]
    return heapq.merge(*streams, key=lambda slot: (slot.due, slot.key))


def next_slots(timetables: Iterable[Timetable], after: datetime, count: int) -> list[Slot]:
    """The next `count` slots of all entries together that are due later than `after`."""
    return list(islice(due_slots(timetables, after), count))


def _due(times: EntryTimes, after: datetime, until: datetime | None) -> Iterator[Slot]:
    for slot in slots_of(times, after - timedelta(seconds=times.entry.jitter), until):
        if slot.due > after and (until is None or slot.due <= until):
            yield slot
