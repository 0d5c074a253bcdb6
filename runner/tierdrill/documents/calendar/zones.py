"""Time zones: finding one by its name, and when a clock on the wall there first shows a time.

One rule covers both clock changes. A time on the wall clock happens at the first moment at which the clock shows it *or
a later one*: a time that happens twice in autumn happens the first time; one that is skipped in spring happens at the
moment of the change. So every time of every day happens exactly once.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

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
    """Every name of the tz database."""
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
