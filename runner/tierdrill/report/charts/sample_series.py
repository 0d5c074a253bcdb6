"""Per-second series of each tier, from the raw samples of a history. A sample belongs to the second it was due in."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples


@dataclass(frozen=True, slots=True)
class Sample:
    """What a view needs of one request."""

    tier: str
    due: float
    latency: float
    outcome: str
    replica: str | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """One second (or wider bin) of one tier.

    Latencies, ascending, are of requests that were answered or timed out: an error or a refusal is often fast, and
    would flatter the tier.
    """

    at: float
    sent: int
    ok: int
    rejected: int
    failed: int
    latencies: tuple[float, ...] = ()

    @property
    def p50(self) -> float | None:
        return quantile(self.latencies, 0.5)

    @property
    def p99(self) -> float | None:
        return quantile(self.latencies, 0.99)

    def success(self, rejections_count: bool) -> float | None:
        """Share of good answers; refused requests count as bad only where the tier's objectives say so."""
        base = self.sent if rejections_count else self.sent - self.rejected
        return self.ok / base if base else None


@dataclass(frozen=True)
class TierSeries:
    """The seconds of one tier that had requests, in order."""

    tier: str
    seconds: tuple[Second, ...]

    def between(self, start: float, end: float) -> tuple[Second, ...]:
        return tuple(second for second in self.seconds if start <= second.at < end)


@dataclass(frozen=True)
class Affected:
    """Requests of a tier in a stretch of time, and how many of them customers felt."""

    tier: str
    sent: int
    rejected: int
    failed: int
    slow: int

    @property
    def total(self) -> int:
        return self.rejected + self.failed + self.slow


@dataclass
class _Bucket:
    sent: int = 0
    ok: int = 0
    rejected: int = 0
    latencies: list[float] = field(default_factory=list)


def samples_of(said: LoadSamples) -> Iterator[Sample]:
    """The requests of one event that were sent; arrivals the generator dropped say nothing of a tier."""
    columns = said.columns
    dues = columns.get("due") or ()
    count = len(dues)
    tiers = columns.get("tier") or [""] * count
    latencies = columns.get("latency") or [None] * count
    outcomes = columns.get("outcome") or ["error"] * count
    replicas = columns.get("replica") or [None] * count
    for tier, due, latency, outcome, replica in zip(tiers, dues, latencies, outcomes, replicas, strict=False):
        if due is None or outcome == "dropped":
            continue
        yield Sample(str(tier), float(due), float(latency or 0.0), str(outcome), replica)


def all_samples(events: Iterable[Event]) -> Iterator[Sample]:
    for _, said in each(events, LoadSamples):
        yield from samples_of(said)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The exact quantile by nearest rank of sorted values."""
    if not values:
        return None
    return values[max(0, math.ceil(share * len(values) - 1e-9) - 1)]


def tier_series(samples: Iterable[Sample], zero: float = 0.0, width: float = 1.0) -> dict[str, TierSeries]:
    """Bins of `width` seconds per tier; one begins at `zero`, so that an effect is not blurred into the calm before."""
    buckets: dict[str, dict[int, _Bucket]] = defaultdict(lambda: defaultdict(_Bucket))
    for sample in samples:
        bucket = buckets[sample.tier][math.floor((sample.due - zero) / width)]
        bucket.sent += 1
        if sample.outcome == "rejected":
            bucket.rejected += 1
            continue
        bucket.ok += sample.outcome == "ok"
        if sample.outcome in ("ok", "timeout"):
            bucket.latencies.append(sample.latency)
    return {
        tier: TierSeries(tier, tuple(_second(zero + index * width, seconds[index]) for index in sorted(seconds)))
        for tier, seconds in buckets.items()
    }


def affected(
    samples: Iterable[Sample], start: float, end: float, slow_above: Mapping[str, float | None]
) -> dict[str, Affected]:
    """Requests due in [start, end) per tier; each bad one counts once: refused, else failed, else too slow."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for sample in samples:
        if not start <= sample.due < end:
            continue
        count = counts[sample.tier]
        count[0] += 1
        limit = slow_above.get(sample.tier)
        if sample.outcome == "rejected":
            count[1] += 1
        elif sample.outcome != "ok":
            count[2] += 1
        elif limit is not None and sample.latency > limit:
            count[3] += 1
    return {tier: Affected(tier, *count) for tier, count in counts.items()}


def _second(at: float, bucket: _Bucket) -> Second:
    failed = bucket.sent - bucket.ok - bucket.rejected
    return Second(at, bucket.sent, bucket.ok, bucket.rejected, failed, tuple(sorted(bucket.latencies)))
