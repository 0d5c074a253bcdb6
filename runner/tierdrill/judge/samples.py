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
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, compress, pairwise, repeat
from operator import add, eq, gt, itemgetter
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples

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
# Every row has a number of its own there: side by side they are read and sorted faster than as scattered objects.
_NUMBERS = frozenset(("due", "latency"))
# What the judge looks at, of those.
JUDGED = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream", *_SINCE_LATER)


class TierSamples:
    """One tier's samples, ascending by due time.

    A cut shares the columns with the whole and copies one only when it is looked at: a verdict makes a hundred cuts of
    a history, and looks at few columns of each. To bring a column of a million samples into order takes longer than to
    judge it; where order says nothing, `loose` gives the same values in any.
    """

    def __init__(
        self,
        columns: Columns | Mapping[str, Sequence[Any]] | None = None,
        begin: float = -math.inf,
        end: float = math.inf,
    ) -> None:
        """The rows that are due in [begin, end); columns that are left out are not to be asked for."""
        self._columns = columns if isinstance(columns, Columns) else _plain(columns or {"due": ()})
        self._begin, self._end = begin, max(begin, end)
        self._first, self._last = map(self._columns.rows_before, (self._begin, self._end))
        self._cuts: dict[tuple[int, int], TierSamples] = {}

    def __len__(self) -> int:
        return self._last - self._first

    def _column(self, name: str) -> Sequence[Any]:
        return self._columns.in_order(name)[self._first : self._last] if len(self) else ()

    def _pieces(self, name: str, *, answered: bool) -> Iterable[Sequence[Any]]:
        """A column's values of the rows with (or without) a good answer, by stretch of time."""
        for stretch, (begin, end) in self._stretches():
            piece = self._columns.piece(name, stretch, answered=answered)
            whole = self._first <= begin and end <= self._last
            yield piece if whole else list(compress(piece, self._mine(stretch, answered)))

    def _stretches(self) -> list[tuple[int, tuple[int, int]]]:
        """The stretches of time in which there are rows of the cut, each with its number and its first and last row."""
        every = enumerate(pairwise(self._columns.starts)) if len(self) else ()
        return [(number, rows) for number, rows in every if rows[0] < self._last and self._first < rows[1]]

    def _mine(self, stretch: int, answered: bool) -> bytes:
        """Which of a stretch's rows are of this cut."""
        if (stretch, answered) not in self._masks:
            due = self._columns.piece("due", stretch, answered=answered)
            begin, end = self._begin, self._end
            self._masks[stretch, answered] = bytes([begin <= moment < end for moment in due])
        return self._masks[stretch, answered]

    @cached_property
    def _masks(self) -> dict[tuple[int, bool], bytes]:
        return {}

    def _within(self, moments: Sequence[float]) -> Sequence[float]:
        """Those of some of the columns' due times, ascending, that are of this cut."""
        return moments[bisect_left(moments, self._begin) : bisect_left(moments, self._end)]

    def _inside(self, moment: float) -> bool:
        return self._begin <= moment < self._end

    def loose(self, name: str) -> Iterable[Any]:
        """A column's values in any order, but the same one for every column."""
        return chain(self.not_answered(name), self.answered(name))

    def answered(self, name: str) -> Iterable[Any]:
        """A column's values of the rows with a good answer, in any order, but the same one for every column."""
        return chain.from_iterable(self._pieces(name, answered=True))

    def not_answered(self, name: str) -> Iterable[Any]:
        """A column's values of the other rows, in any order, but the same one for every column."""
        return chain.from_iterable(self._pieces(name, answered=False))

    @cached_property
    def due(self) -> Sequence[float]:
        """When each request was to be sent."""
        found = array("d")
        for stretch, (begin, end) in self._stretches():
            due = self._columns.due(stretch)
            found += due[max(0, self._first - begin) : min(end, self._last) - begin]
        return found

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
        one = TierSamples(self._columns, max(begin, self._begin), min(end, self._end))
        rows = one._first, one._last
        if rows == (self._first, self._last):
            return self
        # A large cut is asked for again: by the objectives, by the class of the failure.
        return one if 4 * len(one) < len(self) else self._cuts.setdefault(rows, one)

    def rows(self) -> list[dict[str, Any]]:
        """The samples one by one, with what the judge looks at."""
        columns = [getattr(self, name) for name in JUDGED]
        return [dict(zip(JUDGED, values, strict=True)) for values in zip(*columns, strict=True)]

    @cached_property
    def counts(self) -> Counter[str]:
        """How many of each outcome."""
        counts = Counter({outcome: len(self._within(due)) for outcome, due in self._columns.failures.items()})
        counts["ok"] = len(self) - counts.total()
        return +counts

    def tally(self, name: str) -> Counter[Any]:
        """How many rows have each value of a column."""
        return self._counted(name, answered=False) + self._counted(name, answered=True)

    def tally_answered(self, name: str) -> Counter[Any]:
        """How many rows with a good answer have each value of a column."""
        return +self._counted(name, answered=True)

    def _counted(self, name: str, *, answered: bool) -> Counter[Any]:
        if (name, answered) not in self._counts:
            counts = self._counts[name, answered] = Counter()
            for piece in filter(None, self._pieces(name, answered=answered)):
                # Most have one value throughout, which takes no time to find.
                if piece.count(piece[0]) == len(piece):
                    counts[piece[0]] += len(piece)
                else:
                    counts.update(piece)
        return self._counts[name, answered]

    @cached_property
    def _counts(self) -> dict[tuple[str, bool], Counter[Any]]:
        return {}

    @cached_property
    def unknown(self) -> int:
        """How many arrivals say nothing of the service."""
        return sum(self.counts[outcome] for outcome in UNKNOWN)

    def answered_latencies(self, count_rejections: bool) -> list[float]:
        """Ascending latencies of what is known.

        A request without an answer is infinitely late, a rejection too where rejections count.
        """
        return self._kept(TierSamples._latencies, count_rejections)

    def _latencies(self, count_rejections: bool) -> list[float]:
        bad = len(self) - self.unknown - self.counts["ok"] - (0 if count_rejections else self.counts["rejected"])
        return [*sorted(self.answered("latency")), *[math.inf] * bad]

    def _kept(self, times: Callable[..., list[float]], *arguments: Hashable) -> list[float]:
        """What that makes of this cut and those arguments, ascending: made once for each stretch of time."""
        known, asked = self._columns.times, (self._first, self._last, times.__name__, *arguments)
        if asked not in known:
            edges = sorted({self._begin, *filter(self._inside, self._columns.edges), self._end})
            parts = [TierSamples(self._columns, *edge) for edge in pairwise(edges)]
            if len(parts) > 1:
                known[asked] = sorted(chain.from_iterable(part._kept(times, *arguments) for part in parts))
            else:
                known[asked] = times(self, *arguments)
        return known[asked]

    def moments(self, late: float, silent: Collection[str]) -> tuple[Sequence[float], Sequence[float]]:
        """When the requests that tell of the service were due, and those of them that were bad: both ascending.

        Bad are those without a good answer, or with one that took longer than `late`; `silent` outcomes tell nothing.
        """
        bad = [
            due
            for outcome, moments in self._columns.failures.items()
            if outcome not in silent
            for due in self._within(moments)
        ]
        if late < math.inf:
            every = chain.from_iterable(self._columns.late(stretch, late) for stretch, _ in self._stretches())
            bad.extend(filter(self._inside, every))
        bad.sort()
        if not any(self.counts[what] for what in silent):
            return self.due, bad
        told = chain.from_iterable(self._columns.telling(one, frozenset(silent)) for one, _ in self._stretches())
        return self._within(list(told)), bad

    def first_token_times(self, streamed: Collection[str], count_rejections: bool) -> list[float]:
        """As `answered_latencies`, until the first token, of the streams whose answers are streamed.

        Where the first token's time was not taken, the whole answer's stands for it: it came no later than that.
        """
        return self._kept(TierSamples._first_tokens, frozenset(streamed), count_rejections)

    def _first_tokens(self, streamed: frozenset[str], count_rejections: bool) -> list[float]:
        skipped = UNKNOWN if count_rejections else UNKNOWN | {"rejected"}
        mine = bytes(map(streamed.__contains__, self.answered("stream")))
        columns = (compress(self.answered(name), mine) for name in ("ttft", "latency"))
        times = [whole if first is None else first for first, whole in zip(*columns, strict=True)]
        times.sort()
        failed = zip(self.not_answered("stream"), self.not_answered("outcome"), strict=True)
        return times + [math.inf for stream, outcome in failed if stream in streamed and outcome not in skipped]

    def queue_waits(self) -> list[float]:
        """Ascending waits in the gateway's queue, of requests that were let into it and of which it was told.

        Who never got out of it has waited for ever: how long it took him to give up is the least that it would have
        been. Who was turned away at the door has not waited.
        """
        return self._kept(TierSamples._waits)

    def _waits(self) -> list[float]:
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
        if set(self.tally("stall")) <= {None}:
            return []
        rows = zip(self.loose("stall"), self.loose("ttft"), self.loose("outcome"), strict=True)
        stalls = [math.inf if outcome != "ok" else stall or 0.0 for stall, first, outcome in rows if first is not None]
        stalls.sort()
        return stalls


def samples_event_data(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The data of a load.samples event from sample rows; the inverse of `collect`."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name in COLUMNS:
            columns[name].append(row.get(name))
    return {"columns": columns}


def collect(events: Iterable[Event], edges: Iterable[float] = ()) -> dict[str, TierSamples]:
    """All samples of a history by tier, ascending by due time.

    `edges` are moments, a hundred at most, at which they are going to be cut: the rows between two of them are kept
    together, so that such cuts take no time.
    """
    moments = sorted(set(edges))
    parts: dict[str, list[_Part]] = {}
    numbers: list[int] = []  # of rows, shared by all batches: a million numbers of its own would take more room
    for _, said in each(events, LoadSamples):
        columns = said.columns
        numbers.extend(range(len(numbers), len(columns["due"])))
        if "rejected" in columns["outcome"]:
            columns = {**columns, "outcome": _outcomes(columns["outcome"], columns["reason"], numbers)}
        for tier, rows in _rows_by_tier(columns, moments, numbers).items():
            parts.setdefault(tier, []).append(_Part(columns, rows))
    return {tier: TierSamples(Columns(parts[tier], moments)) for tier in sorted(parts)}


def _outcomes(told: Sequence[str], reasons: Sequence[str | None], numbers: Sequence[int]) -> list[str]:
    """A batch's outcomes, with those told as rejected that were nobody's choice as refused."""
    outcomes = list(told)
    for row in compress(numbers, map(eq, told, repeat("rejected"))):
        if reasons[row] not in CHOICE_REASONS:
            outcomes[row] = "refused"
    return outcomes


def _rows_by_tier(
    columns: Mapping[str, Sequence[Any]], edges: Sequence[float], numbers: Sequence[int]
) -> dict[str, dict[int, Sequence[int]]]:
    """The rows of a batch by tier and place, in their order."""
    places = _places(columns, edges)
    groups = [(tier, place) for tier in dict.fromkeys(columns["tier"]) for place in range(2 * len(edges) + 2)]
    first = {tier: group for group, (tier, place) in enumerate(groups) if not place}
    group_of = list(map(add, map(first.__getitem__, columns["tier"]), places))
    ordered = sorted(numbers[: len(places)], key=group_of.__getitem__)
    found: dict[str, dict[int, Sequence[int]]] = {}
    begin = 0
    for group in sorted(set(group_of)):
        tier, place = groups[group]
        end = bisect_right(ordered, group, begin, key=group_of.__getitem__)
        found.setdefault(tier, {})[place] = ordered[begin:end]
        begin = end
    return found


def _places(columns: Mapping[str, Sequence[Any]], edges: Sequence[float]) -> bytes:
    """Of each row, twice the number of edges that it is not due before, and one more with a good answer."""
    due, outcomes = columns["due"], columns["outcome"]
    answered = bytes(map(eq, outcomes, repeat("ok")))
    if not due or not edges:
        return answered
    first, last = (bisect_right(edges, moment) for moment in (min(due), max(due)))
    passed = bytes([first]) * len(due)
    if first < last:
        passed = _sum(passed, bytes(map(bisect_right, repeat(edges[first:last]), due)))
    return _sum(passed, passed, answered)


def _sum(*addends: bytes) -> bytes:
    """The sum, byte by byte, none of which exceeds 255."""
    return sum(int.from_bytes(one, "big") for one in addends).to_bytes(len(addends[0]), "big")


def joined(parts: Iterable[TierSamples]) -> TierSamples:
    """Cuts of the same samples, in order, as one."""
    kept = list(parts)
    return TierSamples({name: [value for one in kept for value in getattr(one, name)] for name in JUDGED})


def _plain(columns: Mapping[str, Sequence[Any]]) -> Columns:
    """Columns as they are, of one tier."""
    numbers = range(len(columns["due"]))
    usual = {"tier": [""] * len(numbers), "outcome": ["ok"] * len(numbers)}
    found = _rows_by_tier({**usual, **columns, "tier": usual["tier"]}, (), numbers)
    return Columns([_Part(columns, rows) for rows in found.values()], ())


class _Part:
    """The rows of a batch that are of one tier, by their places: see `_places`."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], rows: Mapping[int, Sequence[int]]) -> None:
        self._columns = columns
        self._chosen = {place: _values_at(mine) for place, mine in rows.items()}
        self._sizes = {place: len(mine) for place, mine in rows.items()}

    def size(self, stretch: int) -> int:
        """How many rows there are in a stretch of time."""
        return sum(self._sizes.get(place, 0) for place in (2 * stretch, 2 * stretch + 1))

    def values(self, name: str, stretch: int, *, answered: bool) -> Iterable[Any]:
        """A column's values of the rows with (or without) a good answer in a stretch of time."""
        chosen = self._chosen.get(2 * stretch + answered)
        return () if chosen is None else chosen(self._column(name))

    def as_told(self, name: str) -> Iterable[Any]:
        """A column's values in the order of the batch."""
        numbers = range(len(self._columns["due"]))
        rows = sorted(chain.from_iterable(chosen(numbers) for chosen in self._chosen.values()))
        return _values_at(rows)(self._column(name))

    def _column(self, name: str) -> Sequence[Any]:
        columns = self._columns
        return columns[name] if name in columns or name not in _SINCE_LATER else [None] * len(columns["due"])


def _values_at(rows: Sequence[int]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """What takes those rows' values out of a column."""
    return itemgetter(*rows) if len(rows) > 1 else itemgetter(slice(rows[0], rows[0] + 1))


class Columns:
    """A tier's columns, each put together from the batches when it is asked for.

    The rows of each stretch of time (a phase, say) are kept together, those with a good answer apart from the others:
    so a cut to a phase takes whole lists, and times that were sorted for each phase have only to be merged.
    """

    def __init__(self, parts: Sequence[_Part], edges: Sequence[float]) -> None:
        self._parts, self.edges = parts, edges
        sizes = [sum(part.size(stretch) for part in parts) for stretch in range(len(edges) + 1)]
        self.starts = [0, *accumulate(sizes)]
        """Where among the rows, ascending, each stretch begins, and their number."""
        self._pieces: dict[tuple[str, bool], dict[int, list[Any] | array[float]]] = {}
        self._in_order: dict[str, Sequence[Any]] = {}
        self._due: dict[int, array[float]] = {}
        self.times: dict[tuple[Hashable, ...], list[float]] = {}
        """What cuts have put in order, by what it is and of which rows."""

    def rows_before(self, moment: float) -> int:
        """How many rows are due before that."""
        if moment == math.inf:
            return self.starts[-1]
        stretch = bisect_left(self.edges, moment)
        if moment in self.edges[stretch : stretch + 1]:
            return self.starts[stretch + 1]
        return self.starts[stretch] + (bisect_left(self.due(stretch), moment) if moment > -math.inf else 0)

    def due(self, stretch: int) -> array[float]:
        """When the rows of a stretch are due, ascending."""
        if stretch not in self._due:
            both = (self.piece("due", stretch, answered=answered) for answered in (False, True))
            self._due[stretch] = array("d", sorted(chain(*both)))
        return self._due[stretch]

    def piece(self, name: str, stretch: int, *, answered: bool) -> Sequence[Any]:
        """A column's values of a stretch's rows with (or without) a good answer, as they were told."""
        found = self._pieces.setdefault((name, answered), {})
        if stretch not in found:
            # Between the edges all is looked at sooner or later: to go through the batches once takes less time.
            inner = range(1, len(self.edges))
            wanted = inner if stretch in inner else [stretch]
            found.update((one, array("d") if answered and name in _NUMBERS else []) for one in wanted)
            for part in self._parts:
                for one in wanted:
                    found[one].extend(part.values(name, one, answered=answered))
        return found[stretch]

    def in_order(self, name: str) -> Sequence[Any]:
        """A column ascending by due time; what is due at the same time as it was told."""
        if name not in self._in_order:
            column = list(chain.from_iterable(part.as_told(name) for part in self._parts))
            self._in_order[name] = [column[row] for row in self._order]
        return self._in_order[name]

    @cached_property
    def _order(self) -> Sequence[int]:
        due = list(chain.from_iterable(part.as_told("due") for part in self._parts))
        return sorted(range(len(due)), key=due.__getitem__)

    @cached_property
    def failures(self) -> dict[str, list[float]]:
        """When those without a good answer were due, ascending, by what became of them."""
        found: dict[str, list[float]] = {}
        for stretch in range(len(self.starts) - 1):
            columns = (self.piece(name, stretch, answered=False) for name in ("outcome", "due"))
            for outcome, due in zip(*columns, strict=True):
                found.setdefault(outcome, []).append(due)
        for moments in found.values():
            moments.sort()
        return found

    def telling(self, stretch: int, silent: frozenset[str]) -> list[float]:
        """When those of a stretch were due whose outcome is none of the silent, ascending."""
        asked = ("telling", stretch, silent)
        if asked not in self.times:
            columns = (self.piece(name, stretch, answered=False) for name in ("due", "outcome"))
            failed = [due for due, outcome in zip(*columns, strict=True) if outcome not in silent]
            self.times[asked] = sorted([*failed, *self.piece("due", stretch, answered=True)])
        return self.times[asked]

    def late(self, stretch: int, late: float) -> list[float]:
        """When those of a stretch were due whose good answer came later than that, in any order."""
        asked = ("late", stretch, late)
        if asked not in self.times:
            latency, due = (self.piece(name, stretch, answered=True) for name in ("latency", "due"))
            slow = bytes(map(gt, latency, repeat(late)))
            self.times[asked] = list(compress(due, slow)) if 1 in slow else []
        return self.times[asked]
