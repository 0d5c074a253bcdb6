"""Slots: the single starts that a calendar gives, what becomes of those that are due, and how they read."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from tierdrill.documents.calendar.moments import WEEKDAYS, find_zone
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.calendar import Calendar, CalendarEntry
from tierdrill.documents.timetable import EntryTimes, Timetable
from tierdrill.schedule.random_draw import Drawn, drills_at
from tierdrill.schedule.store.slot_records import SlotName
from tierdrill.text import plural


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


def spoken(seconds: float) -> str:
    """A lateness for people: 0.4 s, 95 s, 3.2 h."""
    for unit, size in (("d", 86400.0), ("h", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def disabled_entries(timetables: Mapping[str, Timetable]) -> list[str]:
    """The entries that are not enabled, as `CALENDAR/ENTRY`."""
    return [
        f"{name}/{entry.name}"
        for name, timetable in timetables.items()
        for entry in timetable.calendar.entries
        if not entry.enabled
    ]


def name_of(slot: Slot) -> SlotName:
    return SlotName(slot.key, slot.calendar, slot.entry, slot.nominal.timestamp(), slot.due.timestamp())


@dataclass(frozen=True)
class ShownSlot:
    slot: Slot
    entry: CalendarEntry
    timezone: str
    drills: tuple[Drawn, ...]
    environments: tuple[str, ...]
    owner: str

    @property
    def name(self) -> str:
        return f"{self.slot.calendar}/{self.slot.entry}"

    @property
    def local(self) -> datetime:
        """When it is due on the wall clock of its entry."""
        return self.slot.due.astimezone(find_zone(self.timezone))

    @property
    def work(self) -> str:
        """`drill node-loss on lab` or `suite all (4 drills) on lab`; of a draw what it gave, and its seed."""
        if self.entry.draw is not None:
            drawn = ", ".join(map(str, self.drills))
            return f"{drawn} of suite {self.entry.suite} (seed {self.entry.seed}) on {', '.join(self.environments)}"
        many = f"suite {self.entry.suite} ({plural(len(self.drills), 'drill')})"
        what = f"drill {self.entry.drill}" if self.entry.drill is not None else many
        return f"{what} on {', '.join(self.environments)}"

    def row(self) -> list[str]:
        """Columns of a table: local time with its zone, UTC, entry, what runs, what holds it back."""
        local = self.local
        zone = local.tzname() or ""
        zone = zone if zone[:1].isalpha() else f"UTC{zone}"
        return [
            f"{WEEKDAYS[local.weekday()].capitalize()} {local.isoformat(' ')[:19]} {zone}",
            f"{self.slot.due.isoformat(' ')[5:19]}Z",
            self.name,
            self.work,
            f"held: {self.slot.held}" if self.slot.held else "",
        ]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; `nominal` is without the jitter."""
        return {
            "key": self.slot.key,
            "calendar": self.slot.calendar,
            "entry": self.slot.entry,
            "nominal": in_utc(self.slot.nominal),
            "due": in_utc(self.slot.due),
            "local": self.local.isoformat(timespec="milliseconds"),
            "timezone": self.timezone,
            "drills": [one.drill for one in self.drills],
            "blips": [one.drill for one in self.drills if one.blip],
            "environments": list(self.environments),
            "owner": self.owner,
            "held": self.slot.held,
        }


def in_utc(moment: datetime) -> str:
    """`2026-11-26T01:30:00.000Z`."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


class Showing:
    """Gives slots their entries; one look-up for each entry, or for each slot of one that draws."""

    def __init__(self, catalogue: Catalogue, timetables: Mapping[str, Timetable]) -> None:
        """For slots of these timetables, by calendar; their documents must be free of problems."""
        self._catalogue, self._timetables = catalogue, timetables
        self._known: dict[tuple[str, str], tuple[CalendarEntry, str, tuple[Drawn, ...], tuple[str, ...], str]] = {}
        for name, timetable in timetables.items():
            calendar = timetable.calendar
            for entry_name, times in timetable.entries.items():
                if times.entry.draw is None:
                    self._known[name, entry_name] = self._shown(calendar, times, "")

    def of(self, slot: Slot) -> ShownSlot:
        known = self._known.get((slot.calendar, slot.entry))
        if known is None:
            timetable = self._timetables[slot.calendar]
            known = self._shown(timetable.calendar, timetable.entries[slot.entry], slot.key)
        return ShownSlot(slot, *known)

    def _shown(
        self, calendar: Calendar, times: EntryTimes, key: str
    ) -> tuple[CalendarEntry, str, tuple[Drawn, ...], tuple[str, ...], str]:
        drills, fixed = drills_at(self._catalogue, calendar, times.entry, key), calendar.environment_of(times.entry)
        environments = dict.fromkeys(fixed or self._catalogue.drills[one.drill].environment for one in drills)
        return times.entry, times.timezone, drills, tuple(environments), calendar.owner_of(times.entry)
