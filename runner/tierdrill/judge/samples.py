"""The load's samples as columns, per tier, cut to a span of time.

Times are Unix seconds and durations seconds. `latency` counts from the due time (coordinated omission is impossible by
construction). `outcome` is ok, error, timeout, rejected or dropped (the generator itself could not send: no statement
about the service).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from tierdrill.history.events import Event

COLUMNS = (
    "tier",
    "stream",
    "due",
    "lag",
    "latency",
    "ttft",
    "status",
    "outcome",
    "reason",
    "replica",
    "gateway",
    "integrity",
    "queue_wait",
)


@dataclass(slots=True)
class TierSamples:
    """One tier's samples, ascending by due time."""

    due: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)
    ttft: list[float | None] = field(default_factory=list)
    integrity: list[bool | None] = field(default_factory=list)
    queue_wait: list[float | None] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    stream: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.due)

    def cut(self, begin: float, end: float) -> TierSamples:
        """The samples due in [begin, end)."""
        first, last = bisect_left(self.due, begin), bisect_left(self.due, end)
        if first == 0 and last == len(self.due):
            return self
        return TierSamples(
            self.due[first:last],
            self.latency[first:last],
            self.outcome[first:last],
            self.ttft[first:last],
            self.integrity[first:last],
            self.queue_wait[first:last],
            self.reason[first:last],
            self.stream[first:last],
        )

    def count(self, begin: float, end: float) -> int:
        """How many were due in [begin, end)."""
        return bisect_left(self.due, end) - bisect_left(self.due, begin)

    def counts(self) -> Counter[str]:
        """How many of each outcome."""
        return Counter(self.outcome)

    def answered_latencies(self, count_rejections: bool) -> list[float]:
        """Ascending latencies.

        A request without an answer is infinitely late, a rejection too where rejections count.
        """
        return self._ordered(self.latency, count_rejections)

    def first_token_times(self, streamed: Collection[str], count_rejections: bool) -> list[float]:
        """As `answered_latencies`, until the first token, of the streams whose answers are streamed.

        Where the first token's time was not taken, the whole answer's stands for it: it came no later than that.
        """
        skipped = {"dropped"} if count_rejections else {"dropped", "rejected"}
        times = []
        for stream, outcome, first, whole in zip(self.stream, self.outcome, self.ttft, self.latency, strict=True):
            if stream in streamed and outcome not in skipped:
                if outcome != "ok":
                    times.append(math.inf)
                else:
                    times.append(whole if first is None else first)
        times.sort()
        return times

    def queue_waits(self) -> list[float]:
        """Ascending waits in the gateway's queue, of requests that were admitted and said so."""
        return sorted(value for value in self.queue_wait if value is not None)

    def _ordered(self, column: Sequence[float], count_rejections: bool) -> list[float]:
        if all(outcome == "ok" for outcome in set(self.outcome)):
            return sorted(column)
        skipped = {"dropped"} if count_rejections else {"dropped", "rejected"}
        return sorted(
            value if outcome == "ok" else math.inf
            for value, outcome in zip(column, self.outcome, strict=True)
            if outcome not in skipped
        )


def samples_event_data(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The data of a load.samples event from sample rows; the inverse of `collect`."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name in COLUMNS:
            columns[name].append(row.get(name))
    return {"columns": columns}


def collect(events: Iterable[Event]) -> dict[str, TierSamples]:
    """All samples of a history by tier, ascending by due time."""
    tiers: dict[str, list[list[Any]]] = {}
    names = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream")
    for event in events:
        if event.kind != "load.samples":
            continue
        columns = event.data["columns"]
        owners = columns["tier"]
        for tier in set(owners):
            target = tiers.setdefault(tier, [[] for _ in names])
            if owners.count(tier) == len(owners):
                for place, name in enumerate(names):
                    target[place].extend(columns[name])
            else:
                chosen = [owner == tier for owner in owners]
                for place, name in enumerate(names):
                    target[place].extend(compress(columns[name], chosen))
    return {tier: _ascending(target) for tier, target in sorted(tiers.items())}


def _ascending(columns: list[list[Any]]) -> TierSamples:
    due = columns[0]
    # To sort what is sorted already takes less time than to look at each pair.
    if due != sorted(due):
        order = sorted(range(len(due)), key=due.__getitem__)
        columns = [[column[i] for i in order] for column in columns]
    return TierSamples(*columns)
