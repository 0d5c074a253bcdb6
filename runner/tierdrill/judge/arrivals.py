"""Every planned arrival is in the books once: those without a sample are put in as missing, repeated ones taken out.

A sample that got lost may have been a failure, and one that is told twice may hide one that was lost. Where the rows
tell their sequence, a missing one lies between its neighbours in time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, groupby, pairwise, repeat
from operator import eq
from typing import Any

from tierdrill.history.events import Event
from tierdrill.judge.samples import UNKNOWN, TierSamples, collect, samples_event_data


@dataclass(frozen=True)
class StreamBook:
    """What is told of a stream: its planned arrivals (None: not told), its rows, how many lack and how many repeat.

    `numbered` says whether its rows tell their sequence; without, what lacks cannot be told from what repeats.
    """

    tier: str
    planned: int | None
    rows: int
    missing: int = 0
    repeated: int = 0
    strange: int = 0
    numbered: bool = True


def settle(
    events: Sequence[Event], owners: Mapping[str, str], span: tuple[float, float], stopped_at: float | None = None
) -> tuple[dict[str, TierSamples], dict[str, StreamBook]]:
    """The samples by tier with every planned arrival once, and the books of all streams that are planned or seen.

    `owners` are the tiers of the streams that the load is to send; all arrivals are due within the span. Of a run that
    was stopped at a moment (Unix seconds), those that it cut off or that were due later are as good as missing.
    """
    samples = collect(events)
    if stopped_at is not None:
        samples = {tier: _until(part, stopped_at) for tier, part in samples.items()}
    planned = planned_arrivals(events)
    numbers = _numbers(samples)
    books: dict[str, StreamBook] = {}
    for stream in sorted({*planned, *numbers, *owners}):
        tier, told = owners.get(stream, ""), planned.get(stream)
        found = numbers.get(stream, [])
        if None in found:
            books[stream] = StreamBook(tier, told, len(found), numbered=False)
            continue
        distinct = set(found)
        within = distinct if told is None or not found or max(found) < told else {n for n in distinct if n < told}
        books[stream] = StreamBook(
            tier,
            told,
            rows=len(found),
            missing=max(0, (told or 0) - len(within)),
            repeated=len(found) - len(distinct),
            strange=len(distinct) - len(within),
        )
        if (books[stream].missing or books[stream].repeated) and tier:
            samples[tier] = _settled(samples.get(tier, TierSamples()), tier, stream, told or 0, span)
    return samples, books


def _until(samples: TierSamples, stopped_at: float) -> TierSamples:
    """Without those that a stop cut off, and those that came after it: the fault was being undone by then."""
    rows = [row for row in samples.cut(-math.inf, stopped_at).rows() if row["outcome"] != "unfinished"]
    return TierSamples(samples_event_data(rows)["columns"])


def planned_arrivals(events: Sequence[Event]) -> dict[str, int | None]:
    """How many arrivals of each stream the generator was to send, as it said when it started and as streams surged."""
    started = [event for event in events if event.kind == "load.started"]
    told: dict[str, Any] = (started[-1].data.get("planned") or {}) if started else {}
    counts = {stream: one.get("arrivals") if isinstance(one, dict) else one for stream, one in told.items()}
    surged = surged_arrivals(events)
    return {stream: count + surged[stream] if isinstance(count, int) else None for stream, count in counts.items()}


def surged_arrivals(events: Sequence[Event]) -> Counter[str]:
    """How many arrivals each stream had beyond those planned, because it was made to surge."""
    found: Counter[str] = Counter()
    for event in events:
        if event.kind == "load.surge" and isinstance(event.data.get("arrivals"), dict):
            found.update(event.data["arrivals"])
    return found


def _numbers(samples: Mapping[str, TierSamples]) -> dict[str, list[Any]]:
    """The sequences of each stream's rows; None where a row does not tell it."""
    found: dict[str, list[Any]] = {}
    for part in samples.values():
        streams, numbers = part.loose("stream"), part.loose("sequence")
        every = set(streams)
        for stream in every:
            mine = numbers if len(every) == 1 else compress(numbers, map(eq, streams, repeat(stream)))
            found.setdefault(stream, []).extend(mine)
    return found


def _settled(
    samples: TierSamples, tier: str, stream: str, planned: int, span: tuple[float, float]
) -> TierSamples:
    """A tier's samples with one for each arrival of the stream: of repeated ones, the worst."""
    rows = samples.rows()
    others = [row for row in rows if row["stream"] != stream]
    mine = sorted((row for row in rows if row["stream"] == stream), key=lambda row: (row["sequence"], _good(row)))
    kept = [next(group) for _, group in groupby(mine, key=lambda row: row["sequence"])]
    begin = min([span[0], *(row["due"] for row in kept)])
    known = [(-1, begin), *((row["sequence"], row["due"]) for row in kept)]
    known.append((max(planned, known[-1][0] + 1), max(span[1], known[-1][1])))
    lacking: list[dict[str, Any]] = []
    for (before, since), (after, until) in pairwise(known):
        for number in range(before + 1, after):
            due = since + (until - since) * (number - before) / (after - before)
            row = {"tier": tier, "stream": stream, "due": due, "latency": 0.0, "outcome": "missing"}
            lacking.append({**row, "sequence": number})
    complete = sorted([*others, *kept, *lacking], key=lambda row: float(row["due"]))
    return TierSamples(samples_event_data(complete)["columns"])


def _good(row: Mapping[str, Any]) -> int:
    """Of several rows of one arrival the least good one counts."""
    return 2 if row["outcome"] == "ok" else 1 if row["outcome"] in UNKNOWN else 0
