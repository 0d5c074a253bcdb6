"""Checks of each tier's own objectives over the phases a drill names, with interval and sample count.

A share passes when its whole 95% interval is on the good side of the objective, fails when all of it is on the bad
side, and is inconclusive between: too few requests to say. A quantile is judged the same way by its order-statistic
interval.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import get_args

from tierdrill.judge.answers import judge_fallback, judge_integrity
from tierdrill.judge.generator import sent_as
from tierdrill.judge.recovery import BACK_IN_TARGET, judge_time
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.statistics import Interval, quantile, wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.drill import Load, ObjectiveName, TierExpectation
from tierdrill.spec.tiers import Objectives, Tier, quantile_share
from tierdrill.spec.units import show_duration, show_ratio


def judge_tier(
    expectation: TierExpectation,
    tier: Tier,
    samples: TierSamples,
    timeline: Timeline,
    events: tuple[int, ...],
    streamed: Collection[str],
) -> list[Check]:
    """Every objective of the tier that the drill asks for; `streamed` are the load's streams of streamed answers."""
    span = timeline.span(expectation.during)
    where = "+".join(expectation.during)
    wanted = expectation.objectives or promised(tier.objectives)
    if not wanted:
        return [_unknown(tier.name, "objectives", where, "the tier's document promises nothing", events)]
    if span is None:
        return [_unknown(tier.name, name, where, f"the run never went through {where}", events) for name in wanted]
    cut = samples.cut(*span)
    checks: list[Check] = []
    for name in wanted:
        checks.extend(_objective(name, tier, cut, where, events, samples, timeline, streamed))
    checks.extend(judge_fallback(tier, cut, where, events))
    return checks


def promised(objectives: Objectives) -> tuple[str, ...]:
    """The objectives that a tier's document sets."""
    return tuple(name for name in get_args(ObjectiveName) if getattr(objectives, name))


def _objective(
    name: str,
    tier: Tier,
    cut: TierSamples,
    where: str,
    events: tuple[int, ...],
    whole: TierSamples,
    timeline: Timeline,
    streamed: Collection[str],
) -> list[Check]:
    objectives = tier.objectives
    counts = cut.counts
    asked = sum(counts.values()) - counts["dropped"]
    admitted = asked if objectives.rejections_count else asked - counts["rejected"]
    if name == "availability" and objectives.availability is not None:
        return [_share_at_least(tier.name, name, counts["ok"], admitted, objectives.availability, where, events)]
    if name == "error_ceiling" and objectives.error_ceiling is not None:
        bad = counts["error"] + counts["timeout"]
        return [_share_at_most(tier.name, name, bad, admitted, objectives.error_ceiling, where, events)]
    if name == "integrity" and objectives.integrity is not None:
        return [judge_integrity(tier.name, cut, objectives.integrity, where, events)]
    if name in BACK_IN_TARGET and getattr(objectives, name) is not None:
        return [judge_time(name, tier, whole, timeline, events)]
    if name == "time_to_detect":
        return []  # of the run's alerts, not of the tier's requests: judge_detection
    if name in ("latency", "time_to_first_token", "queue_wait") and getattr(objectives, name):
        limits: dict[str, float] = getattr(objectives, name)
        ordered = _ordered(name, cut, objectives.rejections_count, streamed)
        return [_quantile(tier.name, name, q, ordered, limit, where, events) for q, limit in sorted(limits.items())]
    return [_unknown(tier.name, name, where, "the tier's document does not promise this", events)]


def _ordered(name: str, cut: TierSamples, count_rejections: bool, streamed: Collection[str]) -> list[float]:
    if name == "latency":
        return cut.answered_latencies(count_rejections)
    return cut.first_token_times(streamed, count_rejections) if name == "time_to_first_token" else cut.queue_waits()


def streamed_parts(load: Load) -> frozenset[str]:
    """The names under which the generator sends requests for streamed answers."""
    return frozenset(sent_as(stream)[-1] for stream in load.streams if stream.streaming > 0)


def _unknown(tier: str, name: str, where: str, why: str, events: tuple[int, ...]) -> Check:
    return Check(
        id=f"slo/{tier}/{name}",
        group="slo",
        status=Status.INCONCLUSIVE,
        title=f"{tier}: {name.replace('_', ' ')} in {where}",
        expected="enough samples to judge",
        seen=why,
        events=events,
    )


def _share_at_least(
    tier: str, name: str, good: int, total: int, objective: float, where: str, events: tuple[int, ...]
) -> Check:
    interval = wilson(good, total)
    if interval is None:
        return _unknown(tier, name, where, "no requests", events)
    status = _side(interval.low >= objective, interval.high < objective)
    return _share_check(
        tier, name, interval, total - good, objective, f"at least {show_ratio(objective)}", status, where, events
    )


def _share_at_most(
    tier: str, name: str, bad: int, total: int, ceiling: float, where: str, events: tuple[int, ...]
) -> Check:
    interval = wilson(bad, total)
    if interval is None:
        return _unknown(tier, name, where, "no requests", events)
    status = _side(interval.high <= ceiling, interval.low > ceiling)
    return _share_check(tier, name, interval, bad, ceiling, f"at most {show_ratio(ceiling)}", status, where, events)


def _side(good: bool, bad: bool) -> Status:
    return Status.PASSED if good else Status.FAILED if bad else Status.INCONCLUSIVE


def _share_check(
    tier: str,
    name: str,
    interval: Interval,
    bad: int,
    limit: float,
    expected: str,
    status: Status,
    where: str,
    events: tuple[int, ...],
) -> Check:
    return Check(
        id=f"slo/{tier}/{name}",
        group="slo",
        status=status,
        title=f"{tier}: {name.replace('_', ' ')} in {where}",
        expected=expected,
        seen=f"{interval.value:.4%} (95%: {interval.low:.3%} to {interval.high:.3%}; {bad} bad of {interval.samples})",
        events=events,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        limit=limit,
        samples=interval.samples,
    )


def _quantile(
    tier: str, name: str, label: str, ordered: list[float], limit: float, where: str, events: tuple[int, ...]
) -> Check:
    interval = quantile(ordered, quantile_share(label))
    check_name = f"{name}-{label}"
    if interval is None:
        return _unknown(tier, check_name, where, "no samples", events)
    status = _side(interval.high <= limit, interval.low > limit)
    return Check(
        id=f"slo/{tier}/{check_name}",
        group="slo",
        status=status,
        title=f"{tier}: {label} {name.replace('_', ' ')} in {where}",
        expected=f"at most {show_duration(limit)}",
        seen=f"{_show(interval.value)} (95%: {_show(interval.low)} to {_show(interval.high)}; n={interval.samples})",
        events=events,
        value=_finite(interval.value),
        low=_finite(interval.low),
        high=_finite(interval.high),
        limit=limit,
        samples=interval.samples,
    )


def _show(seconds: float) -> str:
    if seconds == math.inf:
        return "no answer"
    return "unbounded" if seconds == -math.inf else f"{seconds * 1000:.1f}ms"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
