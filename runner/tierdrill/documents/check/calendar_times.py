"""Times of a calendar: zones that exist, windows and blackouts that are not empty, files that can be read, and for
every entry at least one slot that its rules leave open."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import PurePath

from tierdrill.did_you_mean import nearest
from tierdrill.documents.bounded_files import is_file
from tierdrill.documents.calendar.icalendar import read_events
from tierdrill.documents.calendar.moments import ends_at, find_zone, starts_at, zone_names
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.calendar import Blackouts, Calendar, WeeklyTime
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.timetable import EntryTimes, Timetable

LOOK_AHEAD = timedelta(days=366)
SLOTS_AT_LEAST = 10
SLOTS_AT_MOST = 200_000


def known_zone(place: Place | None, name: str | None) -> bool:
    """Whether the tz database has that zone; reports it at the place otherwise. None is a zone not given."""
    if name is None:
        return True
    try:
        find_zone(name)
    except KeyError:
        if place is not None:
            names = zone_names()
            hint = nearest(name, names) or nearest(name.rpartition("/")[2], [one.rpartition("/")[2] for one in names])
            hint = next((one for one in sorted(names) if one == hint or one.endswith(f"/{hint}")), "") if hint else ""
            place.report(
                f"no time zone named {shown(name)}",
                "a name of the tz database, such as Europe/Berlin or UTC (an offset alone knows no clock changes)",
                hint,
            )
        return False
    return True


def check_rules(context: Context, place: Place, calendar: Calendar) -> bool:
    """Windows and blackouts of the calendar and of its entries; whether all of them can be used."""
    sound = known_zone(place.at("timezone"), calendar.timezone)
    own = calendar.timezone if sound else "UTC"
    sound = _check_weekly(place.at("windows"), calendar.windows, "window") and sound
    sound = _check_blackouts(context, place.at("blackouts"), calendar, calendar.blackouts, own) and sound
    for number, entry in enumerate(calendar.entries):
        spot = place.at("entries", number)
        zone = entry.timezone if entry.timezone is not None and known_zone(None, entry.timezone) else own
        sound = _check_weekly(spot.at("windows"), entry.windows, "window") and sound
        sound = _check_blackouts(context, spot.at("blackouts"), calendar, entry.blackouts, zone) and sound
    return sound


def _check_weekly(place: Place, times: tuple[WeeklyTime, ...], what: str) -> bool:
    sound = True
    for number, one in enumerate(times):
        spot = place.at(number)
        sound = known_zone(spot.at("timezone"), one.timezone) and sound
        spot.at("weekdays").unique(list(one.weekdays), "weekday")
        if one.start == one.end or one.start == "24:00":
            spot.at("start").report(
                f"a {what} from {one.start} to {one.end} is empty",
                'another end; the whole day is start: "00:00", end: "24:00"',
            )
            sound = False
    return sound


def _check_blackouts(
    context: Context, place: Place, calendar: Calendar, blackouts: Blackouts, timezone: str
) -> bool:
    sound = _check_weekly(place.at("weekly"), blackouts.weekly, "blackout")
    for number, day in enumerate(blackouts.dates):
        sound = known_zone(place.at("dates", number, "timezone"), day.timezone) and sound
    for number, stretch in enumerate(blackouts.ranges):
        spot = place.at("ranges", number)
        if not known_zone(spot.at("timezone"), stretch.timezone):
            sound = False
            continue
        zone = find_zone(stretch.timezone or timezone)
        if ends_at(stretch.end, zone) <= starts_at(stretch.start, zone):
            spot.at("end").report(
                f"a blackout from {stretch.start} to {stretch.end} is empty", f"an end after {stretch.start}"
            )
            sound = False
    for number, file in enumerate(blackouts.files):
        spot = place.at("files", number)
        if not known_zone(spot.at("timezone"), file.timezone):
            sound = False
            continue
        path = context.catalogue.paths["Calendar", calendar.metadata.name].parent / file.file
        if not is_file(path):
            spot.at("file").report(f"no file {shown(file.file)}", "an iCalendar file, relative to this document")
            sound = False
            continue
        shown_path = str(PurePath(spot.source.path).parent / file.file)
        _, problems = read_events(path, shown_path, find_zone(file.timezone or timezone), file.timezone is not None)
        spot.problems.extend(problems)
        sound = sound and not problems
    return sound


def check_slots(place: Place, timetable: Timetable, now: datetime) -> None:
    """Every entry has a slot in the year to come, or among its next few, that no rule holds back."""
    for number, entry in enumerate(timetable.calendar.entries):
        times = timetable.entries.get(entry.name)
        held = _all_held(times, now) if times is not None and times.entry is entry else None
        if held is None:
            continue
        slots, words = held
        place.at("entries", number, "cron" if entry.cron is not None else "every").report(
            f"entry {entry.name} never runs: {slots} is held, most by {words}",
            "a time that windows and blackouts leave open",
        )


def _all_held(times: EntryTimes, now: datetime) -> tuple[str, str] | None:
    """Which slots were looked at, in words, all of them held, and by what most; None if one is open."""
    reasons: Counter[str] = Counter()
    looked_at = "each slot"
    for nominal in times.trigger.moments(now):
        count = reasons.total()
        if count >= SLOTS_AT_LEAST and nominal > now + LOOK_AHEAD:
            looked_at = "every slot of the year to come"
            break
        if count >= SLOTS_AT_MOST:
            looked_at = f"each of its next {count} slots"
            break
        words = times.rules.held(times.due(nominal))
        if words is None:
            return None
        reasons[words] += 1
    return (looked_at, reasons.most_common(1)[0][0]) if reasons else None
