"""The columns of a tier's samples, put together from a history's batches only when they are asked for."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, compress, repeat
from operator import add, eq, gt, itemgetter
from typing import Any

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

SINCE_LATER = frozenset(("gateway", "served_tier", "model", "attempts", "stall", "sequence"))
# Every row has a number of its own there: side by side they are read and sorted faster than as scattered objects.
_NUMBERS = frozenset(("due", "latency"))
# What the judge looks at, of those.
JUDGED = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream", *SINCE_LATER)


class Columns:
    """A tier's columns, each put together from the batches when it is asked for.

    The rows of each stretch of time (a phase, say) are kept together, those with a good answer apart from the others:
    so a cut to a phase takes whole lists, and times that were sorted for each phase have only to be merged.
    """

    def __init__(self, parts: Sequence[Batch], edges: Sequence[float]) -> None:
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


class Batch:
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
        return columns[name] if name in columns or name not in SINCE_LATER else [None] * len(columns["due"])


def _values_at(rows: Sequence[int]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """What takes those rows' values out of a column."""
    return itemgetter(*rows) if len(rows) > 1 else itemgetter(slice(rows[0], rows[0] + 1))


def plain_columns(columns: Mapping[str, Sequence[Any]]) -> Columns:
    numbers = range(len(columns["due"]))
    usual = {"tier": [""] * len(numbers), "outcome": ["ok"] * len(numbers)}
    found = rows_by_tier({**usual, **columns, "tier": usual["tier"]}, (), numbers)
    return Columns([Batch(columns, rows) for rows in found.values()], ())


def rows_by_tier(
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


def judged_outcomes(told: Sequence[str], reasons: Sequence[str | None], numbers: Sequence[int]) -> list[str]:
    """A batch's outcomes, with those told as rejected that were nobody's choice as refused."""
    outcomes = list(told)
    for row in compress(numbers, map(eq, told, repeat("rejected"))):
        if reasons[row] not in CHOICE_REASONS:
            outcomes[row] = "refused"
    return outcomes


def samples_event_data(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The data of a load.samples event from sample rows; the inverse of `collect`."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name in COLUMNS:
            columns[name].append(row.get(name))
    return {"columns": columns}
