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
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import compress, repeat
from operator import eq, ge, gt, itemgetter, ne, not_
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
    "served_tier",
    "model",
    "attempts",
    "stall",
    "sequence",
)


CHOICE_REASONS = frozenset({"shed", "capped", "queue-full", "preempted"})
"""Why a gateway turns a request away on purpose; for any other reason, or for none, it is an outage."""
UNKNOWN = frozenset({"dropped", "missing"})
"""Outcomes that say nothing of the service: what they would have been is judged at its best and at its worst."""

_SINCE_LATER = frozenset(("gateway", "served_tier", "model", "attempts", "stall", "sequence"))
# What is kept once it has been put together; the rest takes more room than time.
_ASKED_OFTEN = frozenset(("due", "outcome", "latency"))
_ASKED_AGAIN = _ASKED_OFTEN | {"queue_wait", "integrity", "reason", "attempts", "stream"}
# What the judge looks at, of those.
JUDGED = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream", *_SINCE_LATER)


class TierSamples:
    """One tier's samples, ascending by due time.

    A cut shares the columns with the whole and copies one only when it is looked at: a verdict makes a hundred cuts of
    a history, and looks at few columns of each. To bring a column of a million samples into order takes longer than to
    judge it; where order says nothing, `loose` gives the same values in any.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[Any]] | None = None, first: int = 0, last: int | None = None
    ) -> None:
        """The rows `first` to `last` of the columns; those that are left out are not to be asked for."""
        self._columns = columns if isinstance(columns, Columns) else Columns(columns or {"due": ()})
        self._first, self._last = first, len(self._columns["due"]) if last is None else last
        self._cuts: dict[tuple[int, int], TierSamples] = {}
        self._loose: dict[str, Sequence[Any]] = {}
        self._times: dict[tuple[Hashable, ...], list[float]] = {}

    def __len__(self) -> int:
        return self._last - self._first

    def _column(self, name: str) -> Sequence[Any]:
        column = self._columns.get(name, ()) if not len(self) else self._columns[name]
        return column if len(column) == len(self) else column[self._first : self._last]

    def loose(self, name: str) -> Sequence[Any]:
        """A column's values in any order, but the same one for every column."""
        columns = self._columns
        if columns.ordered or 64 * len(self) < len(columns["due"]):
            return self._column(name)
        column = columns.unordered(name)
        if len(self) == len(column):
            return column
        if name in self._loose:
            return self._loose[name]
        mine = list(compress(column, self._mine))
        if name in _ASKED_OFTEN:
            self._loose[name] = mine
        return mine

    @cached_property
    def _mine(self) -> bytes:
        """Which of the columns' values, before they are in order, are of this cut."""
        begin, end = self._bounds
        moments = self._columns.unordered("due")
        if end == math.inf:
            return bytes(map(ge, moments, repeat(begin)))
        return bytes([begin <= moment < end for moment in moments])

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        """The first due time of the cut, and the first after it."""
        due = self._columns["due"]
        begin, end = (due[index] if index < len(due) else math.inf for index in (self._first, self._last))
        return begin, end

    def _within(self, moments: Sequence[float]) -> Sequence[float]:
        """Those of some of the columns' due times, ascending, that are of this cut."""
        if len(self) == len(self._columns["due"]):
            return moments
        begin, end = self._bounds
        return moments[bisect_left(moments, begin) : bisect_left(moments, end)]

    @cached_property
    def due(self) -> Sequence[float]:
        """When each request was to be sent."""
        return self._column("due")

    @cached_property
    def latency(self) -> Sequence[float]:
        """From the due time to the end of the answer, or to giving up."""
        return self._column("latency")

    @cached_property
    def outcome(self) -> Sequence[str]:
        """What became of each."""
        return self._column("outcome")

    @cached_property
    def ttft(self) -> Sequence[float | None]:
        """From the due time to the first token, where that was taken."""
        return self._column("ttft")

    @cached_property
    def integrity(self) -> Sequence[bool | None]:
        """Whether the answer was the reference's, where that was checked."""
        return self._column("integrity")

    @cached_property
    def queue_wait(self) -> Sequence[float | None]:
        """How long it was queued, where the gateway told."""
        return self._column("queue_wait")

    @cached_property
    def reason(self) -> Sequence[str | None]:
        """Why it was turned away, where it was."""
        return self._column("reason")

    @cached_property
    def stream(self) -> Sequence[str]:
        """The load's stream that sent it."""
        return self._column("stream")

    @cached_property
    def replica(self) -> Sequence[str | None]:
        """The replica that answered."""
        return self._column("replica")

    @cached_property
    def gateway(self) -> Sequence[int | str | None]:
        """The gateway it was sent to, as a number in the order of their names."""
        return self._column("gateway")

    @cached_property
    def sequence(self) -> Sequence[int | None]:
        """Its place among its stream's arrivals."""
        return self._column("sequence")

    @cached_property
    def served_tier(self) -> Sequence[str | None]:
        """The tier that the gateway served it as."""
        return self._column("served_tier")

    @cached_property
    def model(self) -> Sequence[str | None]:
        """The model that answered."""
        return self._column("model")

    @cached_property
    def attempts(self) -> Sequence[int | None]:
        """How many times the gateway asked a replica."""
        return self._column("attempts")

    @cached_property
    def stall(self) -> Sequence[float | None]:
        """The longest wait for a further piece of a streamed answer."""
        return self._column("stall")

    def cut(self, begin: float, end: float) -> TierSamples:
        """The samples due in [begin, end)."""
        due = self._columns["due"]
        first = bisect_left(due, begin, self._first, self._last)
        last = bisect_left(due, end, first, self._last)
        if (first, last) == (self._first, self._last):
            return self
        if 4 * (last - first) < len(self):
            return TierSamples(self._columns, first, last)
        # A large cut is asked for again: by the objectives, by the class of the failure.
        return self._cuts.setdefault((first, last), TierSamples(self._columns, first, last))

    def rows(self) -> list[dict[str, Any]]:
        """The samples one by one, with what the judge looks at."""
        columns = [getattr(self, name) for name in JUDGED]
        return [dict(zip(JUDGED, values, strict=True)) for values in zip(*columns, strict=True)]

    @cached_property
    def counts(self) -> Counter[str]:
        """How many of each outcome."""
        return self.tally("outcome")

    def tally(self, name: str) -> Counter[Any]:
        """How many rows have each value of a column."""
        usual, others = self._columns.others(name)
        counts = Counter({value: len(self._within(due)) for value, due in others.items()})
        counts[usual] = len(self) - counts.total()
        return +counts

    @cached_property
    def _answered(self) -> bytes:
        """Which of the loose columns' values are of rows with a good answer."""
        return bytes(map(eq, self.loose("outcome"), repeat("ok")))

    @cached_property
    def unknown(self) -> int:
        """How many arrivals say nothing of the service."""
        return sum(self.counts[outcome] for outcome in UNKNOWN)

    def answered_latencies(self, count_rejections: bool) -> list[float]:
        """Ascending latencies of what is known.

        A request without an answer is infinitely late, a rejection too where rejections count.
        """
        return self._kept(self._latencies, count_rejections)

    def _latencies(self, count_rejections: bool) -> list[float]:
        bad = len(self) - self.unknown - self.counts["ok"] - (0 if count_rejections else self.counts["rejected"])
        times = self.loose("latency")
        if self.counts["ok"] < len(self):
            times = list(compress(times, self._answered))
        return [*sorted(times), *[math.inf] * bad]

    def _kept(self, times: Callable[..., list[float]], *arguments: Hashable) -> list[float]:
        """What that makes of those arguments, made once."""
        asked = (times.__name__, *arguments)
        if asked not in self._times:
            self._times[asked] = times(*arguments)
        return self._times[asked]

    def moments(self, late: float, silent: Collection[str]) -> tuple[Sequence[float], Sequence[float]]:
        """When the requests that tell of the service were due, and those of them that were bad: both ascending.

        Bad are those without a good answer, or with one that took longer than `late`; `silent` outcomes tell nothing.
        """
        bad = self._within(self._columns.bad(late, frozenset(silent)))
        if not any(self.counts[what] for what in silent):
            return self.due, bad
        return self._within(self._columns.telling(frozenset(silent))), bad

    def first_token_times(self, streamed: Collection[str], count_rejections: bool) -> list[float]:
        """As `answered_latencies`, until the first token, of the streams whose answers are streamed.

        Where the first token's time was not taken, the whole answer's stands for it: it came no later than that.
        """
        return self._kept(self._first_tokens, frozenset(streamed), count_rejections)

    def _first_tokens(self, streamed: frozenset[str], count_rejections: bool) -> list[float]:
        skipped = UNKNOWN if count_rejections else UNKNOWN | {"rejected"}
        mine = bytes(map(streamed.__contains__, self.loose("stream")))
        columns = (compress(self.loose(name), mine) for name in ("outcome", "ttft", "latency"))
        times = [
            math.inf if outcome != "ok" else whole if first is None else first
            for outcome, first, whole in zip(*columns, strict=True)
            if outcome not in skipped
        ]
        times.sort()
        return times

    def queue_waits(self) -> list[float]:
        """Ascending waits in the gateway's queue, of requests that were let into it and of which it was told.

        Who never got out of it has waited for ever: how long it took him to give up is the least that it would have
        been. Who was turned away at the door has not waited.
        """
        return self._kept(self._waits)

    def _waits(self) -> list[float]:
        waits = [wait for wait in compress(self.loose("queue_wait"), self._answered) if wait is not None]
        for wait, outcome, reason, attempts in self.not_answered("queue_wait", "outcome", "reason", "attempts"):
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
            for wait, outcome in self.not_answered("queue_wait", "outcome")
        )

    def not_answered(self, *names: str) -> Iterable[tuple[Any, ...]]:
        """The values of those columns, row by row in any order, where there was no good answer."""
        begin, end = self._bounds
        due = self._columns.not_answered("due")
        mine = [begin <= moment < end for moment in due]
        return zip(*(compress(self._columns.not_answered(name), mine) for name in names), strict=True)

    def stalls(self) -> list[float]:
        """Ascending, each streamed answer's longest wait for a further piece; for ever where it broke off."""
        if set(self.loose("stall")) <= {None}:
            return []
        rows = zip(self.loose("stall"), self.loose("ttft"), self.loose("outcome"), strict=True)
        stalls = [
            math.inf if outcome != "ok" else stall or 0.0 for stall, first, outcome in rows if first is not None
        ]
        stalls.sort()
        return stalls


def samples_event_data(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The data of a load.samples event from sample rows; the inverse of `collect`."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name in COLUMNS:
            columns[name].append(row.get(name))
    return {"columns": columns}


def collect(events: Iterable[Event]) -> dict[str, TierSamples]:
    """All samples of a history by tier, ascending by due time."""
    parts: dict[str, list[_Part]] = {}
    numbers: list[int] = []  # of rows, shared by all batches: a million numbers take more room than their rows' places
    for event in events:
        if event.kind != "load.samples":
            continue
        columns = event.data["columns"]
        owners = columns["tier"]
        found = set(owners)
        numbers.extend(range(len(numbers), len(owners)))
        for tier in found:
            rows = None if len(found) == 1 else tuple(compress(numbers, map(eq, owners, repeat(tier))))
            parts.setdefault(tier, []).append((columns, None if rows is None else _values_of(rows)))
    return {tier: TierSamples(Gathered(parts[tier])) for tier in sorted(parts)}


def _values_of(rows: Sequence[int]) -> Callable[[list[Any]], Iterable[Any]]:
    """What takes those rows' values out of a column."""
    return itemgetter(*rows) if len(rows) > 1 else itemgetter(slice(rows[0], rows[0] + 1))


def joined(parts: Iterable[TierSamples]) -> TierSamples:
    """Cuts of the same samples, in order, as one."""
    kept = list(parts)
    return TierSamples({name: [value for one in kept for value in getattr(one, name)] for name in JUDGED})


_Part = tuple[dict[str, list[Any]], Callable[[list[Any]], Iterable[Any]] | None]


class Columns(dict[str, Sequence[Any]]):
    """Columns ascending by due time, and the moments in them that every cut asks for: found once, for all of them."""

    ordered = True

    def unordered(self, name: str) -> Sequence[Any]:
        """The column in the order in which its values were told."""
        return self[name] if self["due"] else ()

    def others(self, name: str) -> tuple[Any, dict[Any, list[float]]]:
        """A column's most frequent value (of the outcomes "ok"), and when the rows with each other were due, ascending.
        """
        if name not in self._others:
            column = self.unordered(name)
            usual = "ok" if name == "outcome" or not column else Counter(column).most_common(1)[0][0]
            chosen = bytes(map(ne, column, repeat(usual)))
            found: dict[Any, list[float]] = {}
            for due, value in zip(compress(self.unordered("due"), chosen), compress(column, chosen), strict=True):
                found.setdefault(value, []).append(due)
            for moments in found.values():
                moments.sort()
            self._others[name] = usual, found
        return self._others[name]

    @cached_property
    def _others(self) -> dict[str, tuple[Any, dict[Any, list[float]]]]:
        return {}

    @cached_property
    def _answered(self) -> bytes:
        """Which of the unordered rows have a good answer."""
        return bytes(map(eq, self.unordered("outcome"), repeat("ok")))

    @cached_property
    def _not_answered(self) -> dict[str, list[Any]]:
        return {}

    def not_answered(self, name: str) -> list[Any]:
        """A column's values of the rows without a good answer, in any order, but the same one for every column."""
        if name not in self._not_answered:
            self._not_answered[name] = list(compress(self.unordered(name), map(not_, self._answered)))
        return self._not_answered[name]

    @cached_property
    def _known(self) -> dict[str, dict[Hashable, list[float]]]:
        return {"bad": {}, "telling": {}}

    def bad(self, late: float, silent: frozenset[str]) -> list[float]:
        """When those without a good answer were due, or with one later than `late`, ascending, but for the silent."""
        known = self._known["bad"]
        if (late, silent) not in known:
            others = self.others("outcome")[1]
            bad = [due for outcome, moments in others.items() if outcome not in silent for due in moments]
            known[late, silent] = sorted(bad + (self._late(late)[0] if late < math.inf else []))
        return known[late, silent]

    @cached_property
    def _slow(self) -> dict[float, tuple[list[float], list[float]]]:
        return {}

    def _late(self, late: float) -> tuple[list[float], list[float]]:
        """When those were due whose good answer came later than that, and how long it took."""
        if late not in self._slow:
            # Those are among the ones that were found to be later than less.
            nearest = max((less for less in self._slow if less < late), default=None)
            if nearest is None:
                due, latency = (list(compress(self.unordered(name), self._answered)) for name in ("due", "latency"))
            else:
                due, latency = self._slow[nearest]
            slow = bytes(map(gt, latency, repeat(late)))
            self._slow[late] = list(compress(due, slow)), list(compress(latency, slow))
        return self._slow[late]

    def telling(self, silent: frozenset[str]) -> list[float]:
        """When those were due whose outcome is none of the silent, ascending."""
        known = self._known["telling"]
        if silent not in known:
            outcomes = self.unordered("outcome")
            told = sorted(compress(self.unordered("due"), [outcome not in silent for outcome in outcomes]))
            known[silent] = told
        return known[silent]


class Gathered(Columns):
    """A tier's columns, each put together from the batches (and those of their rows that are the tier's) when asked."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        super().__init__()
        self._parts = parts
        self._unordered: dict[str, list[Any]] = {}
        due = self.unordered("due")
        ascending = sorted(due)
        # To sort what is sorted already takes less time than to look at each pair.
        self.ordered = due == ascending
        self["due"] = ascending

    def __missing__(self, name: str) -> Sequence[Any]:
        column = self.unordered(name)
        self[name] = column if self.ordered else self._in_order(column)
        return self[name]

    @cached_property
    def _in_order(self) -> Callable[[list[Any]], Sequence[Any]]:
        due = self._unordered["due"]
        return itemgetter(*sorted(range(len(due)), key=due.__getitem__))

    def unordered(self, name: str) -> list[Any]:
        """The column in the order in which its values were told."""
        if name in self._unordered:
            return self._unordered[name]
        column = self._gather(name)
        if name in _ASKED_AGAIN:
            self._unordered[name] = column
        return column

    def _gather(self, name: str) -> list[Any]:
        found: list[Any] = []
        for columns, chosen in self._parts:
            column = columns[name] if name in columns or name not in _SINCE_LATER else [None] * len(columns["due"])
            if name == "outcome" and "rejected" in column:
                column = list(map(_outcome, column, columns["reason"]))
            found.extend(column if chosen is None else chosen(column))
        return found


def _outcome(outcome: str, reason: str | None) -> str:
    return "refused" if outcome == "rejected" and reason not in CHOICE_REASONS else outcome
