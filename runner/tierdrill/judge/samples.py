"""The load's samples as columns, per tier, cut to a span of time.

Times are Unix seconds and durations seconds. `latency` counts from the due time (coordinated omission is impossible by
construction). `outcome` is ok, error, timeout, rejected, dropped (the generator itself could not send: no statement
about the service) or unfinished (still open when the generator ended: its latency is at least so long, and it was no
good answer). Two more are the judge's own: `refused` is a rejection that was nobody's choice, for want of an endpoint
or without a reason, say; it is as bad as an error. `missing` is an arrival without a sample. `sequence` counts each
stream's arrivals from 0; `served_tier`, `model` and `attempts` are what the gateway said of who answered; `stall` is
the longest wait for a further piece of a streamed answer. Histories that lack a column have None in it.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import compress, repeat
from operator import eq, itemgetter
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.judge.sample_columns import CHOICE_REASONS, JUDGED, SINCE_LATER, UNKNOWN


class _Rows:
    """All rows of a tier, ascending by due time: of each batch its columns, and which of its rows are the tier's.

    A column is put together when it is asked for: a verdict looks at few of them, and makes a hundred cuts.
    """

    def __init__(self, parts: Sequence[tuple[Mapping[str, Sequence[Any]], Sequence[int]]]) -> None:
        self._parts = parts
        due = self._told("due")
        self._order = sorted(range(len(due)), key=due.__getitem__)
        self._columns: dict[str, Sequence[Any]] = {}
        self._bad: dict[float, list[int]] = {}
        self.cuts: dict[tuple[int, int], TierSamples] = {}

    def _told(self, name: str) -> list[Any]:
        found: list[Any] = []
        for columns, rows in self._parts:
            if name not in columns and name in SINCE_LATER:
                found += [None] * len(rows)
            else:
                column = columns[name]
                found += [column[row] for row in rows]
        return found

    def column(self, name: str) -> Sequence[Any]:
        """A column ascending by due time; what is due at the same time as it was told."""
        if not self._order:
            return ()
        if name not in self._columns:
            column: Sequence[Any] = self._told(name)
            if column.count(column[0]) < len(column):
                column = itemgetter(*self._order)(column)
                with suppress(TypeError):
                    # Numbers side by side are read, copied and sorted in a fraction of the time of scattered objects.
                    column = array("d", column) if isinstance(column[0], float) else column
            self._columns[name] = column
        return self._columns[name]

    @cached_property
    def good(self) -> bytes:
        """Which have a good answer."""
        return bytes(map(eq, self.column("outcome"), repeat("ok")))

    def bad(self, late: float) -> list[int]:
        """The rows without a good answer, or with one that took longer than that."""
        if late not in self._bad:
            latency = self.column("latency") if late < math.inf else repeat(0.0)
            rows = enumerate(zip(self.good, latency, strict=False))
            self._bad[late] = [row for row, (good, took) in rows if not good or took > late]
        return self._bad[late]


def _column(name: str) -> cached_property[Sequence[Any]]:
    return cached_property(lambda samples: samples.column(name))


class TierSamples:
    """One tier's samples, ascending by due time. A cut shares the columns with the whole."""

    def __init__(self, columns: _Rows | Mapping[str, Sequence[Any]] | None = None) -> None:
        """Columns that are left out are not to be asked for; without outcomes all were answered well."""
        if not isinstance(columns, _Rows):
            told = columns or {"due": ()}
            usual = {"outcome": ["ok"] * len(told["due"])}
            columns = _Rows([({**usual, **told}, range(len(told["due"])))])
        self._rows = columns
        self._first, self._last = 0, len(columns.column("due"))
        self._tallies: dict[str, Counter[Any]] = {}

    def __len__(self) -> int:
        return self._last - self._first

    def column(self, name: str) -> Sequence[Any]:
        """A column by its name; as the attributes are, for every column that the samples have."""
        return self._rows.column(name)[self._first : self._last]

    due = _column("due")
    """When each request was to be sent."""
    latency = _column("latency")
    """From the due time to the end of the answer, or to giving up."""
    outcome = _column("outcome")
    """What became of each."""
    ttft = _column("ttft")
    """From the due time to the first token, where that was taken."""
    integrity = _column("integrity")
    """Whether the answer was the reference's, where that was checked."""
    queue_wait = _column("queue_wait")
    """How long it was queued, where the gateway told."""
    reason = _column("reason")
    """Why it was turned away, where it was."""
    stream = _column("stream")
    """The load's stream that sent it."""
    replica = _column("replica")
    """The replica that answered."""
    gateway = _column("gateway")
    """The gateway it was sent to, as a number in the order of their names."""
    sequence = _column("sequence")
    """Its place among its stream's arrivals."""
    served_tier = _column("served_tier")
    """The tier that the gateway served it as."""
    model = _column("model")
    """The model that answered."""
    attempts = _column("attempts")
    """How many times the gateway asked a replica."""
    stall = _column("stall")
    """The longest wait for a further piece of a streamed answer."""

    def answered(self, name: str) -> list[Any]:
        """A column's values of the rows with a good answer."""
        return list(compress(self.column(name), self._rows.good[self._first : self._last]))

    def not_answered(self, name: str) -> list[Any]:
        """A column's values of the other rows."""
        column = self._rows.column(name)
        return [column[row] for row in self._bad()]

    def _bad(self, late: float = math.inf) -> list[int]:
        rows = self._rows.bad(late)
        return rows[bisect_left(rows, self._first) : bisect_left(rows, self._last)]

    def cut(self, begin: float, end: float) -> TierSamples:
        """The samples due in [begin, end)."""
        due = self._rows.column("due")
        first = bisect_left(due, begin, self._first, self._last)
        last = bisect_left(due, max(begin, end), first, self._last)
        if (first, last) == (self._first, self._last):
            return self
        if (found := self._rows.cuts.get((first, last))) is None:
            found = self._rows.cuts[first, last] = TierSamples(self._rows)
            found._first, found._last = first, last
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The samples one by one, with what the judge looks at."""
        columns = [self.column(name) for name in JUDGED]
        return [dict(zip(JUDGED, values, strict=True)) for values in zip(*columns, strict=True)]

    @cached_property
    def counts(self) -> Counter[str]:
        counts = Counter(self.not_answered("outcome"))
        counts["ok"] = len(self) - counts.total()
        return +counts

    def tally(self, name: str) -> Counter[Any]:
        """How many rows have each value of a column."""
        if name not in self._tallies:
            self._tallies[name] = Counter(self.column(name))
        return self._tallies[name]

    def tally_answered(self, name: str) -> Counter[Any]:
        """How many rows with a good answer have each value of a column."""
        return Counter(self.answered(name))

    @cached_property
    def unknown(self) -> int:
        return sum(self.counts[outcome] for outcome in UNKNOWN)

    def answered_latencies(self, count_rejections: bool) -> list[float]:
        """Ascending latencies of what is known.

        A request without an answer is infinitely late, a rejection too where rejections count.
        """
        bad = len(self) - self.unknown - self.counts["ok"] - (0 if count_rejections else self.counts["rejected"])
        return [*sorted(self.answered("latency")), *[math.inf] * bad]

    def moments(self, late: float, silent: Collection[str]) -> tuple[Sequence[float], Sequence[float]]:
        """When the requests that tell of the service were due, and those of them that were bad: both ascending.

        Bad are those without a good answer, or with one that took longer than `late`; `silent` outcomes tell nothing.
        """
        dues, outcomes = map(self._rows.column, ("due", "outcome"))
        bad = [dues[row] for row in self._bad(late) if outcomes[row] not in silent]
        if not any(self.counts[what] for what in silent):
            return self.due, bad
        return [due for due, outcome in zip(self.due, self.outcome, strict=True) if outcome not in silent], bad

    def first_token_times(self, streamed: Collection[str], count_rejections: bool) -> list[float]:
        """As `answered_latencies`, until the first token, of the streams whose answers are streamed.

        Where the first token's time was not taken, the whole answer's stands for it: it came no later than that.
        """
        skipped = UNKNOWN if count_rejections else UNKNOWN | {"rejected"}
        mine = list(map(streamed.__contains__, self.answered("stream")))
        columns = (compress(self.answered(name), mine) for name in ("ttft", "latency"))
        times = sorted([whole if first is None else first for first, whole in zip(*columns, strict=True)])
        failed = zip(self.not_answered("stream"), self.not_answered("outcome"), strict=True)
        return times + [math.inf for stream, outcome in failed if stream in streamed and outcome not in skipped]

    def queue_waits(self) -> list[float]:
        """Ascending waits in the gateway's queue, of requests that were let into it and of which it was told.

        Who never got out of it has waited for ever: how long it took him to give up is the least that it would have
        been. Who was turned away at the door has not waited.
        """
        waits = [wait for wait in self.answered("queue_wait") if wait is not None]
        names = ("queue_wait", "outcome", "reason", "attempts")
        for wait, outcome, reason, attempts in zip(*map(self.not_answered, names), strict=True):
            if wait is None or outcome in UNKNOWN:
                continue
            turned_away = outcome in ("rejected", "refused")
            if reason == "queue-timeout" or (outcome == "timeout" and attempts == 0):
                waits.append(math.inf)
            elif not turned_away or reason == "preempted":
                waits.append(wait)
        waits.sort()
        return waits

    @cached_property
    def waits_unknown(self) -> int:
        """How many may have waited in the queue for all the time they took: nobody told before they gave up."""
        return sum(
            outcome in ("timeout", "unfinished") and wait is None
            for wait, outcome in zip(self.not_answered("queue_wait"), self.not_answered("outcome"), strict=True)
        )

    def stalls(self) -> list[float]:
        """Ascending, each streamed answer's longest wait for a further piece; for ever where it broke off."""
        if set(self.stall) <= {None}:
            return []
        rows = zip(self.stall, self.ttft, self.outcome, strict=True)
        stalls = [math.inf if outcome != "ok" else stall or 0.0 for stall, first, outcome in rows if first is not None]
        stalls.sort()
        return stalls


def collect(events: Iterable[Event]) -> dict[str, TierSamples]:
    """All samples of a history by tier, ascending by due time."""
    parts: dict[str, list[tuple[Mapping[str, Sequence[Any]], Sequence[int]]]] = {}
    for _, said in each(events, LoadSamples):
        columns = said.columns
        if "rejected" in columns["outcome"]:
            columns = {**columns, "outcome": _judged(columns["outcome"], columns["reason"])}
        mine: dict[str, list[int]] = {tier: [] for tier in set(columns["tier"])}
        for row, tier in enumerate(columns["tier"]):
            mine[tier].append(row)
        for tier, rows in mine.items():
            parts.setdefault(tier, []).append((columns, rows))
    return {tier: TierSamples(_Rows(parts[tier])) for tier in sorted(parts)}


def _judged(outcomes: Sequence[str], reasons: Sequence[str | None]) -> list[str]:
    """The outcomes, with those told as rejected that were nobody's choice as refused."""
    return [
        "refused" if outcome == "rejected" and reason not in CHOICE_REASONS else outcome
        for outcome, reason in zip(outcomes, reasons, strict=True)
    ]


def joined(parts: Iterable[TierSamples]) -> TierSamples:
    """Cuts of the same samples, in order, as one."""
    kept = list(parts)
    return TierSamples({name: [value for one in kept for value in one.column(name)] for name in JUDGED})
