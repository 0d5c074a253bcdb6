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
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, compress, pairwise
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.judge.sample_columns import JUDGED, UNKNOWN, Batch, Columns, judged_outcomes, plain_columns, rows_by_tier


def _in_order(name: str) -> cached_property[Sequence[Any]]:
    """A column of a cut, ascending by due time."""
    return cached_property(lambda samples: samples._column(name))


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
        self._columns = columns if isinstance(columns, Columns) else plain_columns(columns or {"due": ()})
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

    latency = _in_order("latency")
    """From the due time to the end of the answer, or to giving up."""
    outcome = _in_order("outcome")
    """What became of each."""
    ttft = _in_order("ttft")
    """From the due time to the first token, where that was taken."""
    integrity = _in_order("integrity")
    """Whether the answer was the reference's, where that was checked."""
    queue_wait = _in_order("queue_wait")
    """How long it was queued, where the gateway told."""
    reason = _in_order("reason")
    """Why it was turned away, where it was."""
    stream = _in_order("stream")
    """The load's stream that sent it."""
    replica = _in_order("replica")
    """The replica that answered."""
    gateway = _in_order("gateway")
    """The gateway it was sent to, as a number in the order of their names."""
    sequence = _in_order("sequence")
    """Its place among its stream's arrivals."""
    served_tier = _in_order("served_tier")
    """The tier that the gateway served it as."""
    model = _in_order("model")
    """The model that answered."""
    attempts = _in_order("attempts")
    """How many times the gateway asked a replica."""
    stall = _in_order("stall")
    """The longest wait for a further piece of a streamed answer."""

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


def collect(events: Iterable[Event], edges: Iterable[float] = ()) -> dict[str, TierSamples]:
    """All samples of a history by tier, ascending by due time.

    `edges` are moments, a hundred at most, at which they are going to be cut: the rows between two of them are kept
    together, so that such cuts take no time.
    """
    moments = sorted(set(edges))
    parts: dict[str, list[Batch]] = {}
    numbers: list[int] = []  # of rows, shared by all batches: a million numbers of its own would take more room
    for _, said in each(events, LoadSamples):
        columns = said.columns
        numbers.extend(range(len(numbers), len(columns["due"])))
        if "rejected" in columns["outcome"]:
            columns = {**columns, "outcome": judged_outcomes(columns["outcome"], columns["reason"], numbers)}
        for tier, rows in rows_by_tier(columns, moments, numbers).items():
            parts.setdefault(tier, []).append(Batch(columns, rows))
    return {tier: TierSamples(Columns(parts[tier], moments)) for tier in sorted(parts)}


def joined(parts: Iterable[TierSamples]) -> TierSamples:
    """Cuts of the same samples, in order, as one."""
    kept = list(parts)
    return TierSamples({name: [value for one in kept for value in getattr(one, name)] for name in JUDGED})
