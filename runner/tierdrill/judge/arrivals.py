"""Every planned arrival is in the books once: those without a sample are put in as missing, repeated ones taken out.

A sample that got lost may have been a failure, and one that is told twice may hide one that was lost. Where the rows
tell their sequence, a missing one lies between its neighbours in time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, groupby, pairwise, repeat
from operator import ge
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples, LoadStarted, LoadSurge
from tierdrill.judge.sample_columns import UNKNOWN, samples_event_data
from tierdrill.judge.samples import TierSamples


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
    told: Mapping[str, TierSamples], events: Sequence[Event], owners: Mapping[str, str], span: tuple[float, float]
) -> tuple[dict[str, TierSamples], dict[str, StreamBook]]:
    """The samples by tier with every planned arrival once, and the books of all streams that are planned or seen.

    `told` are the samples as they came in the events, `owners` the tiers of the streams that the load is to send; all
    arrivals are due within the span.
    """
    samples = dict(told)
    planned = planned_arrivals(events)
    seen = _sequences(events)
    books: dict[str, StreamBook] = {}
    for stream in sorted({*planned, *seen, *owners}):
        tier, count, mine = owners.get(stream, ""), planned.get(stream), seen.get(stream, [])
        numbers = set(mine)
        if None in numbers:
            books[stream] = StreamBook(tier, count, len(mine), numbered=False)
            continue
        strange = 0 if count is None else sum(map(ge, numbers, repeat(count)))
        missing = max(0, (count or 0) - (len(numbers) - strange))
        books[stream] = StreamBook(tier, count, len(mine), missing, len(mine) - len(numbers), strange)
        if (books[stream].missing or books[stream].repeated) and tier:
            samples[tier] = _settled(samples.get(tier, TierSamples()), tier, stream, count or 0, span)
    return samples, books


def told_until(events: Sequence[Event], stopped_at: float) -> list[Event]:
    """The events of a run that was stopped at a moment (Unix seconds), less the samples that the stop spoilt.

    Those are the ones that it cut off, and those that came after it: the fault was being undone by then.
    """
    found = []
    for event in events:
        if isinstance(said := event.payload, LoadSamples):
            columns = said.columns
            told = [
                due < stopped_at and outcome != "unfinished"
                for due, outcome in zip(columns["due"], columns["outcome"], strict=True)
            ]
            kept = {name: list(compress(column, told)) for name, column in columns.items()}
            event = replace(event, data={**event.data, "columns": kept})
        found.append(event)
    return found


def planned_arrivals(events: Sequence[Event]) -> dict[str, int | None]:
    """How many arrivals of each stream the generator was to send, as it said when it started and as streams surged."""
    started = each(events, LoadStarted)
    told = started[-1][1].planned if started else {}
    counts = {stream: one.get("arrivals") if isinstance(one, dict) else one for stream, one in told.items()}
    surged = surged_arrivals(events)
    return {stream: count + surged[stream] if isinstance(count, int) else None for stream, count in counts.items()}


def surged_arrivals(events: Sequence[Event]) -> Counter[str]:
    """How many arrivals each stream had beyond those planned, because it was made to surge."""
    found: Counter[str] = Counter()
    for _, said in each(events, LoadSurge):
        found.update(said.arrivals or {})
    return found


def _sequences(events: Sequence[Event]) -> dict[str, list[Any]]:
    """The sequences that the rows of each stream tell; None where one does not."""
    told: dict[str, list[Any]] = {}
    for _, said in each(events, LoadSamples):
        streams = said.columns["stream"]
        add = {stream: told.setdefault(stream, []).append for stream in set(streams)}
        for stream, number in zip(streams, said.columns.get("sequence", [None] * len(streams)), strict=True):
            add[stream](number)
    return told


def _settled(samples: TierSamples, tier: str, stream: str, planned: int, span: tuple[float, float]) -> TierSamples:
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
