"""The scheduler's own metrics, for Prometheus, on loopback: what is due next, what was decided, what was missed.

Names begin with `tierdrill_scheduler_`. Gauges of last times come from the store, so a restart does not forget them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice, pairwise
from math import ceil
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from tierdrill.documents.models.calendar import Calendar, CalendarEntry
from tierdrill.documents.models.units import promql_duration
from tierdrill.documents.timetable import EntryTimes, Timetable
from tierdrill.schedule.slots import due_slots
from tierdrill.schedule.sweep import only

LATENESS_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0)
ENTRY = ("calendar", "entry")
LOOPBACK = "127.0.0.1"


class Metrics:
    """The metrics of one scheduler, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._server: Any = None
        self.next_due = self._gauge("next_due_timestamp_seconds", "When the entry's next slot is due.", ENTRY)
        self.last_run = self._gauge(
            "last_run_timestamp_seconds",
            "When a drill of the entry last had a verdict; before the first, since when the entry is known.",
            ENTRY,
        )
        self.last_success = self._gauge(
            "last_success_timestamp_seconds",
            "When the entry last passed; before the first time, since when the entry is known.",
            ENTRY,
        )
        self.running = self._gauge("running", "Drills of the entry that run now.", ENTRY)
        self.decisions = self._counter(
            "decisions", "Slots with their final record, by state and outcome (of held ones: the gate).",
            (*ENTRY, "state", "outcome"),
        )  # fmt: skip
        self.missed = self._counter("missed_slots", "Slots that were missed.", ENTRY)
        self.held = self._counter("held_slots", "Slots that were held back, by gate.", (*ENTRY, "gate"))
        self.lateness = Histogram(
            "start_lateness_seconds", "Seconds from a slot's due time to the start of its drill.",
            namespace="tierdrill", subsystem="scheduler", registry=self.registry, buckets=LATENESS_BUCKETS_S,
        )  # fmt: skip
        self.heartbeat = self._gauge("heartbeat_timestamp_seconds", "When the scheduler last looked at its store.")
        self.store_up = self._gauge("store_up", "1 while the store can be written; 0 while nothing can run for it.")
        self.store_damaged = self._counter("store_damaged", "Stores that were corrupt and replaced.")
        self.clock_jumps = self._counter("clock_jumps", "Times the wall clock was set.")
        self.sleeps = self._counter("sleeps", "Times the machine slept.")
        self.calendars_good = self._gauge(
            "calendars_good", "1 while the calendars on the disk are those in force; 0 after a reload that failed."
        )
        self.faults = self._counter("faults", "Errors of the scheduler itself.")
        self.store_up.set(1)
        self.calendars_good.set(1)

    def _gauge(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, about, labels, namespace="tierdrill", subsystem="scheduler", registry=self.registry)

    def _counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, about, labels, namespace="tierdrill", subsystem="scheduler", registry=self.registry)

    def know(self, name: tuple[str, str]) -> None:
        """Show an entry's counters from zero on: a series that begins at its first increment hides that increment."""
        self.missed.labels(*name)
        self.running.labels(*name)

    def forget(self, name: tuple[str, str]) -> None:
        for metric in (self.next_due, self.last_run, self.last_success):
            _remove(metric, name)

    def serve(self, port: int) -> int:
        """Serve them on a port of loopback (0: a free one); the port. OSError if it is taken."""
        server, _ = start_http_server(port, LOOPBACK, self.registry)
        self._server = server
        return int(server.server_port)

    def close(self) -> None:
        """Serve no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _remove(metric: Gauge, name: tuple[str, str]) -> None:
    try:
        metric.remove(*name)
    except KeyError:
        return


LOOK_AHEAD = timedelta(days=400)
"""A year and a month: blackouts over the year's end count, and a yearly entry has two slots."""

SLOTS_MOST = 5000
RUN_S = 1800.0
"""What a drill may take, with its lab and its reports, before its absence is one."""

DOWN_S = 120
"""Four heartbeats."""

Rule = dict[str, Any]


def schedule_rules(timetables: Iterable[Timetable], now: datetime) -> str:
    """The rule file for the calendars as they are from now on."""
    groups = [{"name": "tierdrill-scheduler", "interval": "30s", "rules": _own_rules()}]
    for timetable in timetables:
        rules = []
        for times in timetable.entries.values():
            longest_s = longest_silence_s(timetable, times, now)
            if longest_s is not None:
                rules += _entry_rules(timetable.calendar, times.entry, longest_s)
        if rules:
            groups.append({"name": f"tierdrill-schedule-{timetable.name}", "interval": "1m", "rules": rules})
    text: str = yaml.dump({"groups": groups}, Dumper=_Plain, sort_keys=False, width=4096, allow_unicode=True)
    return text


class _Plain(yaml.SafeDumper):
    """Writes what stands twice twice: rules are read and edited by people, who know no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def longest_silence_s(timetable: Timetable, times: EntryTimes, now: datetime) -> float | None:
    """The longest time between two slots of an entry that its calendar lets run; None for fewer than two of them."""
    slots = islice(due_slots([only(timetable, times)], now - timedelta(seconds=1), now + LOOK_AHEAD), SLOTS_MOST)
    runs = [slot.due for slot in slots if slot.held is None]
    gaps = [(after - before).total_seconds() for before, after in pairwise(runs)]
    return max(gaps) if gaps else None


def allowed_silence_s(entry: CalendarEntry, longest_s: float) -> float:
    """How long nothing may be heard of an entry: the longest silence of its calendar, a late start, further tries."""
    tries = entry.retry.attempts * (entry.retry.after + RUN_S)
    return longest_s + entry.misfire.grace + tries + RUN_S


def _entry_rules(calendar: Calendar, entry: CalendarEntry, longest_s: float) -> list[Rule]:
    name = f"{calendar.metadata.name}/{entry.name}"
    selector = f'{{calendar="{calendar.metadata.name}",entry="{entry.name}"}}'
    allowed_s = allowed_silence_s(entry, longest_s)
    owner = calendar.owner_of(entry) or "not set"
    labels = {"calendar": calendar.metadata.name, "entry": entry.name, "severity": "ticket"}
    last = f"max by (calendar, entry) (tierdrill_scheduler_last_run_timestamp_seconds{selector})"
    passed = f"max by (calendar, entry) (tierdrill_scheduler_last_success_timestamp_seconds{selector})"
    return [
        {
            "alert": "ScheduledDrillDidNotRun",
            "expr": f"time() - {last} > {ceil(allowed_s)}",
            "for": "5m",
            "labels": labels,
            "annotations": {
                "summary": f"{name} did not run",
                "description": (
                    f"No drill of {name} has had a verdict for longer than {_about(allowed_s)}: the longest "
                    f"time between two of its slots, a late start and further tries. `tierdrill schedule log` says "
                    f"what became of its slots, held ones with their gate. Owner: {owner}."
                ),
            },
        },
        {
            "alert": "ScheduledDrillNotPassing",
            "expr": f"time() - {passed} > {ceil(3 * allowed_s)}",
            "for": "5m",
            "labels": labels,
            "annotations": {
                "summary": f"{name} has not passed for a long time",
                "description": (
                    f"{name} has not passed for longer than {_about(3 * allowed_s)}, three times its longest "
                    f"silence. `tierdrill trend` shows what became worse. Owner: {owner}."
                ),
            },
        },
    ]  # fmt: skip


def _about(seconds: float) -> str:
    """ "23.1 days", "3.2 hours", "40 minutes": what an on-call engineer needs of it."""
    for unit, size in (("days", 86_400.0), ("hours", 3_600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} minutes"


def _own_rules() -> list[Rule]:
    return [
        _own(
            "DrillSchedulerDown", "page",
            f"absent(tierdrill_scheduler_heartbeat_timestamp_seconds) or "
            f"time() - max(tierdrill_scheduler_heartbeat_timestamp_seconds) > {DOWN_S}",
            "No drill scheduler is running", "No scheduler has reported. Due slots are missed.",
        ),
        _own(
            "DrillSchedulerCannotRecord", "page", "min(tierdrill_scheduler_store_up) == 0",
            "The scheduler's store cannot be written",
            "The disk is full, or the file is locked. Nothing runs that cannot be recorded.",
        ),
        _own(
            "DrillSlotsMissed", "ticket",
            f"sum by (calendar, entry) (increase(tierdrill_scheduler_missed_slots_total[{promql_duration(3600)}])) > 0",
            "Slots of {{ $labels.calendar }}/{{ $labels.entry }} were missed",
            "The machine slept, its clock was set, or no scheduler ran. `tierdrill schedule log` says which.",
        ),
        _own(
            "DrillCalendarBroken", "ticket", "min(tierdrill_scheduler_calendars_good) == 0",
            "The calendars on disk are invalid",
            "The scheduler uses the previous ones. `tierdrill schedule check` says what is wrong.",
        ),
    ]  # fmt: skip


def _own(alert: str, severity: str, expr: str, summary: str, description: str) -> Rule:
    return {
        "alert": alert,
        "expr": expr,
        "for": "2m" if alert != "DrillSlotsMissed" else "0s",
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
