"""The last seconds of each tier, as the live views show them: samples into buckets, buckets into figures."""

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.report.charts.sample_series import quantile, samples_of
from tierdrill.report.run_model import Bucket, RunState

RECENT_SECONDS = 10
WINDOW_S = 5


@dataclass(frozen=True, slots=True)
class Sli:
    """A tier's figures over the last seconds; None where there was no request."""

    sent: int
    success: float | None
    rejected: float | None
    p99: float | None


def recent_sli(state: RunState, tier: str, now: float, rejections_count: bool) -> Sli:
    """A tier over the last `WINDOW_S` whole seconds before the one that just ended, whose answers still come in."""
    end = math.floor(now) - 1
    buckets = [bucket for bucket in state.recent.get(tier, ()) if end - WINDOW_S <= bucket.second < end]
    sent, ok = sum(b.sent for b in buckets), sum(b.ok for b in buckets)
    rejected = sum(b.rejected for b in buckets)
    base = sent if rejections_count else sent - rejected
    latencies = sorted(latency for bucket in buckets for latency in bucket.latencies)
    return Sli(sent, ok / base if base else None, rejected / sent if sent else None, quantile(latencies, 0.99))


def samples(state: RunState, said: LoadSamples) -> RunState:
    """Put an event's samples into their buckets, and let go of those that are too old to be shown."""
    fresh: dict[str, dict[int, list[Any]]] = {}
    count = 0
    for sample in samples_of(said):
        count += 1
        bucket = fresh.setdefault(sample.tier, {}).setdefault(math.floor(sample.due), [0, 0, 0, []])
        bucket[0] += 1
        bucket[1] += sample.outcome == "ok"
        bucket[2] += sample.outcome == "rejected"
        if sample.outcome in ("ok", "timeout"):
            bucket[3].append(sample.latency)
    recent = dict(state.recent)
    for tier, seconds in fresh.items():
        kept = {bucket.second: bucket for bucket in recent.get(tier, ())}
        for second, (sent, ok, rejected, latencies) in seconds.items():
            old = kept.get(second, Bucket(second))
            kept[second] = Bucket(
                second, old.sent + sent, old.ok + ok, old.rejected + rejected, (*old.latencies, *latencies)
            )
        horizon = max(kept) - RECENT_SECONDS
        recent[tier] = tuple(kept[second] for second in sorted(kept) if second > horizon)
    return replace(state, recent=MappingProxyType(recent), sent=state.sent + count)
