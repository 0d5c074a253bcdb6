"""The Calendar document: which drills run when, unattended, and when they must not.

Times of day and dates are those of a time zone; what they come to in UTC is worked out in `documents/timing`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tierdrill.documents.calendar.cron import parse_cron
from tierdrill.documents.calendar.moments import CLOCK_PATTERN, Weekday
from tierdrill.documents.models.channels import Channel
from tierdrill.documents.models.drill import Scalar
from tierdrill.documents.models.staged_rollout import Rollout
from tierdrill.documents.models.units import Date, Duration, Frozen, Metadata, Moment, Name, Part


def _cron(text: str) -> str:
    parse_cron(text)
    return text


Cron = Annotated[str, AfterValidator(_cron), Field(examples=["30 2 * * mon-fri"])]
Zone = Annotated[str, Field(min_length=1, examples=["Europe/Berlin"])]
ClockTime = Annotated[str, Field(pattern=CLOCK_PATTERN, examples=["22:00"])]


class WeeklyTime(Part):
    """A time of day on some weekdays, by the wall clock; it crosses midnight where `end` is before `start`.

    The weekday is that on which it starts: fri 22:00 to 05:00 ends on Saturday.
    """

    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1), Frozen] = (
        "mon", "tue", "wed", "thu", "fri", "sat", "sun",
    )  # fmt: skip
    start: ClockTime = "00:00"
    end: ClockTime = Field(default="24:00", description="the first minute no longer in it")
    timezone: Zone | None = None
    reason: str = ""


class BlackoutDate(Part):
    """A whole day on which nothing starts."""

    date: Date
    timezone: Zone | None = None
    reason: str = ""


class BlackoutRange(Part):
    """From `start` to `end`: a date as the end is that whole day, a date-time the first moment no longer in it."""

    start: Moment
    end: Moment
    timezone: Zone | None = None
    reason: str = ""


class BlackoutFile(Part):
    """The events of an iCalendar file, relative to the document; `timezone` is for times that name none."""

    file: str = Field(min_length=1)
    timezone: Zone | None = None
    reason: str = ""


class Blackouts(Part):
    """When nothing starts, whatever the entries say."""

    dates: Annotated[tuple[BlackoutDate, ...], Frozen] = ()
    ranges: Annotated[tuple[BlackoutRange, ...], Frozen] = ()
    weekly: Annotated[tuple[WeeklyTime, ...], Frozen] = ()
    files: Annotated[tuple[BlackoutFile, ...], Frozen] = ()


class Misfire(Part):
    """What becomes of slots that were missed: how late one may still start, and how many of them still run (newest)."""

    grace: Duration = 900.0
    count: int = Field(default=1, ge=0, le=100)


class Retry(Part):
    """Another try after an inconclusive run, and only then: how many, and how long after."""

    attempts: int = Field(default=0, ge=0, le=10)
    after: Duration = 600.0


class CalendarEntry(Part):
    """One thing that runs again and again: a drill or a suite, by `cron` (wall clock) or `every` (elapsed time)."""

    name: Name
    drill: Name | None = None
    suite: Name | None = None
    draw: int | None = Field(
        default=None, ge=1, description="so many of the suite's drills, at random by how often such faults come"
    )
    seed: int = Field(default=0, ge=0, description="of the draw: with the slot's time it gives the same drills again")
    environment: Name | None = Field(default=None, description="instead of the calendar's and the drill's own")
    lab: Name | None = Field(default=None, description="a lab that is kept up; else each drill brings up its own")
    cron: Cron | None = Field(default=None, description="minute hour day month weekday; weekdays by name")
    every: Duration | None = Field(default=None, description="in whole seconds; also over clock changes")
    anchor: Moment | None = Field(default=None, description="with every: the first slot; else the grid of 1970 in UTC")
    timezone: Zone | None = None
    jitter: Duration = Field(default=0.0, description="a slot starts up to so much later, the same on every machine")
    windows: Annotated[tuple[WeeklyTime, ...], Frozen] = Field(
        default=(), description="narrows the calendar's windows further"
    )
    blackouts: Blackouts = Field(default=Blackouts(), description="beside the calendar's")
    misfire: Misfire = Misfire()
    retry: Retry = Retry()
    variables: dict[str, Scalar] = Field(default_factory=dict, description="instead of the drill's own")
    rollout: Rollout | None = None
    owner: str = ""
    notify: Annotated[tuple[Name, ...], Frozen] = Field(default=(), description="channels; none: the calendar's")
    enabled: bool = True


class Calendar(Part):
    """kind: Calendar."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Calendar"]
    metadata: Metadata
    timezone: Zone = "UTC"
    environment: Name | None = Field(default=None, description="instead of the drills' own")
    suites: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1), Frozen]] = Field(default_factory=dict)
    windows: Annotated[tuple[WeeklyTime, ...], Frozen] = Field(
        default=(), description="when something may start; none: always"
    )
    blackouts: Blackouts = Blackouts()
    channels: Annotated[tuple[Channel, ...], Frozen] = ()
    notify: Annotated[tuple[Name, ...], Frozen] = Field(
        default=(), description="channels that are told of entries which name none"
    )
    entries: Annotated[tuple[CalendarEntry, ...], Field(min_length=1), Frozen]

    def entry(self, name: str) -> CalendarEntry:
        """The entry of that name; KeyError if there is none."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def drills_of(self, entry: CalendarEntry) -> tuple[str, ...]:
        """The drills an entry runs, one after the other, or draws from; KeyError for a suite that there is not."""
        if entry.drill is not None:
            return (entry.drill,)
        return self.suites[entry.suite] if entry.suite is not None else ()

    def environment_of(self, entry: CalendarEntry) -> str | None:
        """The environment an entry runs in; None: each drill's own."""
        return entry.environment or self.environment

    def owner_of(self, entry: CalendarEntry) -> str:
        """Who answers for an entry: its owner, or the calendar's; "" for nobody."""
        return entry.owner or self.metadata.owner

    def channels_of(self, entry: CalendarEntry) -> tuple[Channel, ...]:
        """The channels that are told of an entry, in the order of the document."""
        names = entry.notify or self.notify
        return tuple(channel for channel in self.channels if channel.name in names)
