"""Two drills on one environment at once: slots of all calendars that would surely overlap in the weeks to come.

Surely means whatever the jitter comes to, and by the time that drills take at least. Slots that a rule holds back do
not count. What may overlap, when a run takes longer or a slot is late, the lock on the environment holds back.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from tierdrill.documents.calendar.moments import find_zone
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.drill_phases import overlong
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.timetable import EntryTimes, Timetable

LOOK_AHEAD = timedelta(days=35)
OVERHEAD_LEAST_S = 5.0
"""What a run takes beside its phases, at least: the lab's start, preflight, clean-up."""
SLOTS_AT_MOST = 20_000
"""Of one environment: every command that reads the documents waits for this."""
PAIRS_AT_MOST = 100


@dataclass(frozen=True)
class _Use:
    """What an entry does to one environment: it is taken from `start_s` to `end_s` after the entry's start."""

    times: EntryTimes
    place: Place
    environment: str
    start_s: float
    end_s: float

    @property
    def name(self) -> str:
        return f"{self.times.calendar}/{self.times.entry.name}"


class _Taken(NamedTuple):
    """One slot's use of an environment, before any jitter."""

    start: datetime
    order: int
    end: datetime
    nominal: datetime
    use: _Use


def check_collisions(context: Context, timetables: Sequence[Timetable], now: datetime) -> None:
    """Reports each pair of entries, or an entry with itself, once at both."""
    uses: dict[str, list[_Use]] = {}
    for timetable in timetables:
        place = context.reading.place("Calendar", timetable.name)
        for number, entry in enumerate(timetable.calendar.entries):
            times = timetable.entries.get(entry.name)
            if times is not None and times.entry is entry and entry.enabled:
                for use in _uses_of(context, timetable, times, place.at("entries", number)):
                    uses.setdefault(use.environment, []).append(use)
    for each in uses.values():
        _check_environment(each, now)


def shortest_length_s(drill: Drill, *, blip: bool = False) -> float:
    """The time a run of the drill, or of its blip twin, takes at least, in seconds."""
    short = drill.blip.model_dump(exclude_none=True) if blip and drill.blip is not None else {}
    phases = drill.phases.model_copy(update=short)
    return phases.warm_up + phases.baseline + phases.fault + phases.recovery + OVERHEAD_LEAST_S


def _uses_of(context: Context, timetable: Timetable, times: EntryTimes, place: Place) -> Iterator[_Use]:
    elapsed = 0.0
    if (times.entry.drill is None) == (times.entry.suite is None):
        return
    if times.entry.suite is not None and times.entry.suite not in timetable.calendar.suites:
        return
    names = timetable.calendar.drills_of(times.entry)
    if any(name not in context.catalogue.drills or overlong(context.catalogue.drills[name]) for name in names):
        return  # which is told of the drill
    drills = [context.catalogue.drills[name] for name in names]
    everywhere, draw = timetable.calendar.environment_of(times.entry), times.entry.draw
    used = [(everywhere or drill.environment, shortest_length_s(drill)) for drill in drills]
    if draw is not None:
        # Nobody knows which, nor whether whole: those whose blip twins are over first. Of several places none is sure.
        if len({environment for environment, _ in used}) > 1:
            return
        known = {one.metadata.name: shortest_length_s(one, blip=True) for one in drills}
        used = [(used[0][0], length) for length in sorted(known.values())[:draw]]
    spot = place.at("cron" if times.entry.cron is not None else "every")
    for environment, length in used:
        yield _Use(times, spot, environment, elapsed, elapsed + length)
        elapsed += length


def _check_environment(uses: Sequence[_Use], now: datetime) -> None:
    first = uses[0]
    if all(use.times is first.times for use in uses) and first.times.trigger.shortest_s() >= uses[-1].end_s:
        return
    reported: set[tuple[str, str]] = set()
    running: list[_Taken] = []
    streams = [_taken(use, number, now) for number, use in enumerate(uses)]
    for count, slot in enumerate(heapq.merge(*streams)):
        if count >= SLOTS_AT_MOST:
            return
        running = [one for one in running if one.end > slot.start]
        for one in running:
            pair = (one.use.name, slot.use.name)
            if pair in reported or pair[::-1] in reported or not _surely(one, slot):
                continue
            reported.add(pair)
            _report(one, slot)
            if len(reported) >= PAIRS_AT_MOST:
                return
        running.append(slot)


def _taken(use: _Use, order: int, now: datetime) -> Iterator[_Taken]:
    start, end = timedelta(seconds=use.start_s), timedelta(seconds=use.end_s)
    for nominal in use.times.nominal(now, now + LOOK_AHEAD):
        if use.times.rules.held(use.times.due(nominal)) is None:
            yield _Taken(nominal + start, order, nominal + end, nominal, use)


def _surely(one: _Taken, other: _Taken) -> bool:
    """Whether they overlap even when either starts as late as its jitter lets it and the other does not."""
    if one.use.times is other.use.times and one.nominal == other.nominal:
        return False
    latest_one = one.start + timedelta(seconds=one.use.times.entry.jitter)
    latest_other = other.start + timedelta(seconds=other.use.times.entry.jitter)
    return latest_other < one.end and latest_one < other.end


def _report(one: _Taken, other: _Taken) -> None:
    mine, theirs = one.use, other.use
    if mine.times is theirs.times:
        apart = show_duration((other.nominal - one.nominal).total_seconds())
        mine.place.report(
            f"{mine.name} would run twice at once on environment {mine.environment}: slots at {_when(one)} and "
            f"{_when(other)}, {apart} apart, and a run takes at least {show_duration(mine.end_s - mine.start_s)}",
            "slots further apart than a run takes",
        )
        return
    for use, slot, rival in ((mine, one, other), (theirs, other, one)):
        spot = rival.use.place
        line, column = spot.source.value_at(spot.path)
        use.place.report(
            f"{use.name} at {_when(slot)} and {rival.use.name} at {_when(rival)} would run at once on environment "
            f"{use.environment}, and a run of it takes at least {show_duration(use.end_s - use.start_s)}",
            f"slots further apart, or another environment; the other is at {spot.source.path}:{line}:{column}",
        )


def _when(slot: _Taken) -> str:
    timezone = slot.use.times.timezone
    local = slot.nominal.astimezone(find_zone(timezone))
    return f"{local:%Y-%m-%d %H:%M:%S} {timezone}".replace(":00 ", " ")
