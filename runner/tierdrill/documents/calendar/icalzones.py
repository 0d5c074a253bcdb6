"""The time zones that an iCalendar file means by its names: of the tz database, of its own, of Windows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from tierdrill.documents.calendar.zones import find_zone
from tierdrill.documents.problems import shown

ALLOWED = "a name of the tz database: Europe/Berlin"


class Zones:
    """The zones of one calendar.

    `default` is that of times that name none; `calendars`, where the file says whose calendar it is (X-WR-TIMEZONE),
    the one in which times in UTC recur. `defined` has the text of each VTIMEZONE by its TZID.
    """

    def __init__(self, default: tzinfo, defined: Mapping[str, str]) -> None:
        self.default = default
        self.calendars: tzinfo | None = None
        self._defined = defined
        self._found: dict[str, tzinfo] = {}

    def find(self, name: str) -> tzinfo:
        """The zone of that name. KeyError with what was found and what is allowed, where there is none."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> tzinfo:
        from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

        try:
            return find_zone(name.strip("/"))
        except KeyError:
            pass
        if name in self._defined:
            return _made(name, self._defined[name])
        # A maker's prefix comes before the name, whatever the number of parts of either (RFC 5545, 3.2.19).
        parts = name.strip("/").split("/")
        for candidate in (WINDOWS_TO_OLSON.get(name, ""), *("/".join(parts[at:]) for at in range(1, len(parts)))):
            try:
                return find_zone(candidate)
            except KeyError:
                continue
        raise KeyError(f"no time zone named {shown(name)}", ALLOWED)


def _made(name: str, text: str) -> tzinfo:
    """The zone that a VTIMEZONE defines, tried once: what cannot be used shows itself only then."""
    from icalendar import Timezone
    from icalendar.timezone import TZP

    try:
        component = Timezone.from_ical(text)
        if not isinstance(component, Timezone):
            raise ValueError("it is no VTIMEZONE")
        for part in component.subcomponents:
            rules = part.get("RRULE", [])
            for rule in rules if isinstance(rules, list) else [rules]:
                # Others have no place in a zone, and would take for ever to count from the year 1601 on.
                if rule.get("FREQ") != ["YEARLY"]:
                    raise ValueError("an RRULE that is not YEARLY")
        zone: tzinfo = component.to_tz(TZP(), lookup_tzid=False)
        datetime(2026, 1, 1, tzinfo=zone).astimezone(UTC).astimezone(zone)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise KeyError(f"time zone {shown(name)}, which its VTIMEZONE does not define: {why}", ALLOWED) from None
    return zone
