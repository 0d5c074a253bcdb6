"""What the scheduler works from: one reading of the catalogue, with the timetables of the calendars it serves."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tierdrill.did_you_mean import none_named
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.problems import Problem, SpecError
from tierdrill.documents.timetable import EntryTimes, Timetable, timetable_of
from tierdrill.process.identity import ProcessId
from tierdrill.schedule.misfire import DueSlot, decide
from tierdrill.schedule.slots import Slot, due_slots, name_of
from tierdrill.schedule.store.slot_records import Gap, SlotName, SlotState
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreError

ReadCatalogue = Callable[[Path], tuple[Catalogue, list[Problem]]]


@dataclass(frozen=True)
class Snapshot:
    """The documents as they were when last read without a problem."""

    catalogue: Catalogue
    timetables: tuple[Timetable, ...]

    def entries(self) -> Iterable[tuple[Timetable, EntryTimes]]:
        for timetable in self.timetables:
            for times in timetable.entries.values():
                yield timetable, times

    def find(self, calendar: str, entry: str) -> tuple[Timetable, EntryTimes] | None:
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


ROWS_MOST = 200
"""So many slots that do not run get a row each; those before them are recorded as one gap."""

MARK_EVERY_S = 3600.0
"""How often the mark of an entry with no slot is moved on, so that the next look is a short one."""


@dataclass
class EntryPlan:
    """One entry as the scheduler follows it: until when it is considered, and when its next slot is due.

    `looked` is the moment after which that slot is the next.
    """

    timetable: Timetable
    times: EntryTimes
    until: float
    next_due: float | None = None
    looked: float | None = None

    @property
    def name(self) -> tuple[str, str]:
        return self.times.calendar, self.times.entry.name

    def look_ahead(self, now: float) -> None:
        self.looked = now
        slot = next(iter(due_slots([only(self.timetable, self.times)], _at(now))), None)
        self.next_due = slot.due.timestamp() if slot is not None else None


@dataclass(frozen=True)
class PassedOver:
    """A slot that does not run, as it was recorded."""

    slot: SlotName
    state: SlotState
    outcome: str
    reason: str


@dataclass
class Swept:
    """What one look found: slots that are ours to run, in order, and those that do not run.

    `trouble` is why not everything could be recorded: what is claimed is in our hands all the same, and must run.
    """

    claimed: list[tuple[SlotName, str | None]] = field(default_factory=list)
    passed: list[PassedOver] = field(default_factory=list)
    gap: Gap | None = None
    trouble: StoreError | None = None


def sweep(plan: EntryPlan, store: ScheduleStore, me: ProcessId, now: float, why_late: str = "") -> Swept:
    """Decide every slot of an entry that is due and has no record. StoreError, or `trouble` once something is claimed:
    nothing more is decided; try again.
    """
    found = Swept()
    try:
        _decide(plan, store, me, now, why_late, found)
    except StoreError as error:
        if not found.claimed:
            raise
        found.trouble = error
    return found


def _decide(plan: EntryPlan, store: ScheduleStore, me: ProcessId, now: float, why_late: str, found: Swept) -> None:
    calendar, entry = plan.name
    # A clock that was set back makes slots due again: those with a record have it, the others come in their time.
    since = min(now, plan.until if plan.until <= now or plan.looked is None else plan.looked)
    slots = slots_between(plan.timetable, plan.times, _at(since), _at(now))
    if slots:
        first = min(slot.due.timestamp() for slot in slots)
        settled = store.decided(calendar, entry, first) - store.missed_ahead(calendar, entry, now)
        open_slots = [slot for slot in slots if slot.key not in settled]
        _record(decide(open_slots, _at(now), plan.times.entry.misfire, why_late), store, me, now, found)
    if slots or plan.until > now or now - plan.until > MARK_EVERY_S:
        store.consider(calendar, entry, now)
        plan.until = now
    plan.look_ahead(now)


def _record(decided: Sequence[DueSlot], store: ScheduleStore, me: ProcessId, now: float, found: Swept) -> None:
    # What is passed over comes first: whoever looks after half of this, or after us, must not find room for it to run.
    passed = [one for one in decided if one.missed]
    rows = [_passed(one) for one in passed[-ROWS_MOST:]]
    recorded = set(store.pass_over([(row.slot, row.state, row.outcome, row.reason) for row in rows], now))
    if len(passed) > ROWS_MOST:
        found.gap = _gap([one.slot for one in passed[:-ROWS_MOST]], passed[0].missed, now)
        store.pass_over_many(found.gap)
    found.passed = [row for row in rows if row.slot.key in recorded]
    for one in decided:
        if not one.missed and store.claim(name_of(one.slot), me, now, one.late_s):
            found.claimed.append((name_of(one.slot), one.slot.held))


def _passed(one: DueSlot) -> PassedOver:
    """A slot that a rule of the calendar held back was not missed, however late it is looked at."""
    if one.slot.held:
        return PassedOver(name_of(one.slot), SlotState.HELD, "window", f"window: {one.slot.held}")
    return PassedOver(name_of(one.slot), SlotState.MISSED, "", one.missed)


def _gap(slots: Sequence[Slot], reason: str, now: float) -> Gap:
    held = sum(1 for slot in slots if slot.held)
    also = f"; {held} of them were held back by a blackout or window" if held else ""
    first, last = slots[0], slots[-1]
    return Gap(
        first.calendar, first.entry, first.due.timestamp(), last.due.timestamp(), len(slots), f"{reason}{also}", now
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
