"""What the scheduler works from: one reading of the catalogue, with the timetables of the calendars it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.problems import Problem, SpecError, none_named
from tierdrill.documents.timetable import EntryTimes, Timetable, timetable_of
from tierdrill.schedule.slots import Slot, due_slots

ReadCatalogue = Callable[[Path], tuple[Catalogue, list[Problem]]]


@dataclass(frozen=True)
class Snapshot:
    """The documents as they were when last read without a problem."""

    catalogue: Catalogue
    timetables: tuple[Timetable, ...]

    def entries(self) -> Iterable[tuple[Timetable, EntryTimes]]:
        """Every entry of every calendar that is served."""
        for timetable in self.timetables:
            for times in timetable.entries.values():
                yield timetable, times

    def find(self, calendar: str, entry: str) -> tuple[Timetable, EntryTimes] | None:
        """One entry; None if it is served no longer."""
        for timetable in self.timetables:
            if timetable.name == calendar and entry in timetable.entries:
                return timetable, timetable.entries[entry]
        return None


def only(timetable: Timetable, times: EntryTimes) -> Timetable:
    """The timetable with one entry of it."""
    return Timetable(timetable.calendar, {times.entry.name: times})


def slots_between(timetable: Timetable, times: EntryTimes, after: datetime, until: datetime) -> list[Slot]:
    """An entry's slots due later than `after`, up to and with `until`."""
    return list(due_slots([only(timetable, times)], after, until))


def timing_of(times: EntryTimes) -> str:
    """A text that changes when the moments of an entry do; what may hold a slot back is no part of it."""
    entry = times.entry
    return "|".join(
        str(part) for part in (entry.cron, entry.every, entry.anchor, times.timezone, entry.jitter, entry.enabled)
    )


def load_snapshot(root: Path, names: Sequence[str], read: ReadCatalogue) -> Snapshot:
    """Read the catalogue and its calendars (those named, or all). SpecError with every problem; LookupError for a
    calendar that there is not, or if there is none.
    """
    catalogue, problems = read(root)
    if problems:
        raise SpecError(problems)
    known = catalogue.calendars
    for name in names:
        if name not in known:
            raise LookupError(none_named("calendar", name, known, f" in {root}"))
    if not known:
        raise LookupError(f"no calendars in {root}")
    chosen = sorted(set(names)) or sorted(known)
    return Snapshot(
        catalogue,
        tuple(timetable_of(known[name], catalogue.paths["Calendar", name]) for name in chosen),
    )
