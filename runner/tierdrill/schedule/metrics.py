"""The scheduler's own metrics, for Prometheus, on loopback: what is due next, what was decided, what was missed.

Names begin with `tierdrill_scheduler_`. Gauges of last times come from the store, so a restart does not forget them.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

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
        """An entry is in no calendar any more."""
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
