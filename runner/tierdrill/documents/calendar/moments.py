"""Time zones, weekdays, dates and times of day as a calendar writes them, and as people read them."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[str, ...] = get_args(Weekday)
"""In the order of datetime.weekday()."""


def show_weekdays(names: Collection[str]) -> str:
    """`mon-fri`, `sat, sun` or `every day`."""
    numbers = sorted({WEEKDAYS.index(name) for name in names})
    if len(numbers) == len(WEEKDAYS):
        return "every day"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{WEEKDAYS[run[0]]}-{WEEKDAYS[run[-1]]}" if len(run) > 2 else ", ".join(WEEKDAYS[one] for one in run)
        for run in runs
    )


_SECOND = timedelta(seconds=1)
# Names in the database that are no zone of anywhere.
_NOT_ZONES = frozenset({"localtime", "posixrules", "Factory", "leapseconds", "tzdata.zi"})


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """The zone of that name in the tz database; KeyError if there is none."""
    try:
        if name not in _NOT_ZONES and not name.startswith(("posix/", "right/")):
            return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        pass
    raise KeyError(name)


def zone_names() -> Collection[str]:
    return available_timezones() - _NOT_ZONES


def first_passage(wall: datetime, zone: tzinfo) -> datetime:
    """The first moment, in UTC, at which a clock there shows `wall` (which has no zone of its own) or a later time."""
    local = wall.replace(tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # The clock skips this time. Read by the offset after the change it lies before the change, by the one before it
    # after it: the change is in between.
    early = local.replace(fold=1).astimezone(UTC)
    late = moment
    while late - early > _SECOND:
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle <= early:
            break
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
DATE_PATTERN = rf"^{_DATE}$"
MOMENT_PATTERN = rf"^{_DATE}(T[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?$"
CLOCK_PATTERN = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"

MOMENT_FORM = "a date such as 2026-12-24, or a date-time such as 2026-12-24T18:00 (with Z or +01:00 where wanted)"
# Beyond them the tz database knows nothing and arithmetic runs out of calendar.
YEARS = range(1970, 2500)


def parse_moment(text: str) -> date | datetime:
    """A date, or a date-time with or without an offset; ValueError for anything else, and for a day there is not."""
    found: date | datetime | None = None
    try:
        if len(text) == 10:
            found = date.fromisoformat(text)
        elif len(text) > 10 and text[10] == "T":
            found = datetime.fromisoformat(text)
    except ValueError:
        pass
    if found is not None and found.year in YEARS:
        return found
    raise ValueError(f"got {text!r}, expected {MOMENT_FORM}")


def starts_at(text: str, zone: tzinfo) -> datetime:
    """The moment in UTC at which that date or date-time begins; `zone` is for a text without an offset."""
    found = parse_moment(text)
    if isinstance(found, datetime):
        return found.astimezone(UTC) if found.tzinfo is not None else first_passage(found, zone)
    return midnight(found, zone)


def ends_at(text: str, zone: tzinfo) -> datetime:
    """The first moment in UTC that is no longer in a range with that end: a date counts as the whole day."""
    found = parse_moment(text)
    if isinstance(found, datetime):
        return starts_at(text, zone)
    return midnight(found + timedelta(days=1), zone)


def midnight(day: date, zone: tzinfo) -> datetime:
    """When that day begins there, in UTC."""
    return first_passage(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001 a time on a wall clock


def minute_of(clock: str) -> int:
    """Minutes since midnight of "22:30"; 1440 for "24:00"."""
    return int(clock[:2]) * 60 + int(clock[3:])
