"""Slots as people and programs read them: when, on the wall clock and in UTC, what runs where, what holds it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tierdrill.documents.calendar.weekdays import WEEKDAYS
from tierdrill.documents.calendar.zones import find_zone
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.calendar import CalendarEntry
from tierdrill.documents.timetable import Timetable
from tierdrill.schedule.slots import Slot
from tierdrill.text import plural


@dataclass(frozen=True)
class ShownSlot:
    """One slot with what its entry runs."""

    slot: Slot
    entry: CalendarEntry
    timezone: str
    drills: tuple[str, ...]
    environments: tuple[str, ...]
    owner: str

    @property
    def name(self) -> str:
        """`calendar/entry`."""
        return f"{self.slot.calendar}/{self.slot.entry}"

    @property
    def local(self) -> datetime:
        """When it is due on the wall clock of its entry."""
        return self.slot.due.astimezone(find_zone(self.timezone))

    @property
    def work(self) -> str:
        """`drill node-loss on lab` or `suite all (4 drills) on lab`."""
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
            "drills": list(self.drills),
            "environments": list(self.environments),
            "owner": self.owner,
            "held": self.slot.held,
        }


def in_utc(moment: datetime) -> str:
    """`2026-11-26T01:30:00.000Z`."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


class Showing:
    """Gives slots their entries; one look-up for each entry, however many slots it has."""

    def __init__(self, catalogue: Catalogue, timetables: Mapping[str, Timetable]) -> None:
        """For slots of these timetables, by calendar; their documents must be free of problems."""
        self._known: dict[tuple[str, str], tuple[CalendarEntry, str, tuple[str, ...], tuple[str, ...], str]] = {}
        for name, timetable in timetables.items():
            calendar = timetable.calendar
            for entry_name, times in timetable.entries.items():
                drills = calendar.drills_of(times.entry)
                fixed = calendar.environment_of(times.entry)
                environments = [fixed or catalogue.drills[drill].environment for drill in drills]
                self._known[name, entry_name] = (
                    times.entry, times.timezone, drills, tuple(dict.fromkeys(environments)),
                    calendar.owner_of(times.entry),
                )  # fmt: skip

    def of(self, slot: Slot) -> ShownSlot:
        """The slot with what its entry runs."""
        return ShownSlot(slot, *self._known[slot.calendar, slot.entry])
