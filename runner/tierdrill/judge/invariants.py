"""Cross-tier invariants: what must hold between tiers, whatever each tier promises for itself."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from itertools import compress, pairwise

from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.drill import Invariants
from tierdrill.spec.tiers import Tiers
from tierdrill.spec.units import show_duration, show_ratio

# Reasons for which a gateway turns a request away to save capacity; "no-endpoint" is an outage, not a choice.
CAPACITY_REASONS = frozenset({"shed", "capped", "queue-full", "queue-timeout", "preempted"})
GOODPUT_WINDOW_S = 3


def judge_invariants(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> list[Check]:
    """The invariants a drill asks for."""
    span = timeline.span(("baseline", "fault", "recovery"))
    cut = {tier: part.cut(*span) for tier, part in samples.items()} if span is not None else {}
    checks = []
    for name in wanted.check:
        if span is None:
            checks.append(
                _check(name, Status.INCONCLUSIVE, "all phases", "the run did not go through all phases", events)
            )
            continue
        checks.append(_JUDGES[name](wanted, tiers, cut, timeline, events))
    return checks


def _check(
    name: str, status: Status, expected: str, seen: str, events: tuple[int, ...], **numbers: float | int | None
) -> Check:
    return Check(
        id=f"invariant/{name}",
        group="invariant",
        status=status,
        title=name.replace("-", " "),
        expected=expected,
        seen=seen,
        events=events,
        **numbers,  # type: ignore[arg-type]
    )


def _tier_order(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    ranked = tiers.by_rank()
    top, expected = (
        ranked[0].name,
        f"no {ranked[0].name} request turned away in a second in which a lower tier was admitted",
    )
    mine = samples.get(top)
    if not mine:
        return _check("tier-order", Status.INCONCLUSIVE, expected, f"no {top} requests", events)
    rejected = {
        int(due)
        for due, outcome, reason in (
            zip(mine.due, mine.outcome, mine.reason, strict=True) if mine.counts["rejected"] else ()
        )
        if outcome == "rejected" and reason in CAPACITY_REASONS
    }
    if ranked[1:] and not any(samples.get(tier.name) for tier in ranked[1:]):
        return _check("tier-order", Status.INCONCLUSIVE, expected, "no requests of a lower tier", events)
    worse = []
    for tier in ranked[1:]:
        part = samples.get(tier.name)
        admitted = (
            {int(due) for due, outcome in zip(part.due, part.outcome, strict=True) if outcome == "ok"}
            if part and rejected
            else set()
        )
        if clash := rejected & admitted:
            worse.append(f"{len(clash)} s with {tier.name} admitted")
    status = Status.FAILED if worse else Status.PASSED
    return _check(
        "tier-order",
        status,
        expected,
        "; ".join(worse)
        if worse
        else f"{len(rejected)} seconds with a {top} rejection, none with a lower tier admitted",
        events,
        samples=len(mine),
    )


def _success_share(part: TierSamples) -> tuple[int, int]:
    counts = part.counts
    return counts["ok"], sum(counts.values()) - counts["dropped"]


def _best_effort_returns(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    lowest = tiers.by_rank()[-1].name
    expected = (
        f"{lowest} served again at the end at {show_ratio(wanted.returns_to)} of its share in the baseline, or more"
    )
    part = samples.get(lowest)
    begin, end = timeline.phases["recovery"]
    if not part:
        return _check("best-effort-returns", Status.INCONCLUSIVE, expected, f"no {lowest} requests", events)
    before_ok, before = _success_share(part.cut(*timeline.phases["baseline"]))
    after_ok, after = _success_share(part.cut(max(begin, end - max(3.0, (end - begin) / 3)), end))
    if not before_ok or not after:
        return _check(
            "best-effort-returns", Status.INCONCLUSIVE, expected, "no baseline or no requests at the end", events
        )
    ratio = (after_ok / after) / (before_ok / before)
    return _check(
        "best-effort-returns",
        Status.PASSED if ratio >= wanted.returns_to else Status.FAILED,
        expected,
        f"{after_ok} of {after} served at the end, {before_ok} of {before} in the baseline ({ratio:.1%})",
        events,
        value=ratio,
        limit=wanted.returns_to,
        samples=after,
    )


def _goodput_holds(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    expected = (
        f"all tiers together never under {show_ratio(wanted.goodput_floor)} of the baseline's goodput "
        f"for {GOODPUT_WINDOW_S} s"
    )
    base_begin, base_end = timeline.phases["baseline"]
    good: list[float] = []
    for part in samples.values():
        whole = part.counts["ok"] == len(part)
        good.extend(part.due if whole else compress(part.due, map("ok".__eq__, part.outcome)))
    good.sort()
    base = (bisect_left(good, base_end) - bisect_left(good, base_begin)) / max(base_end - base_begin, 1e-9)
    begin, end = timeline.span(("fault", "recovery")) or (0.0, 0.0)
    if base <= 0 or end - begin < GOODPUT_WINDOW_S:
        return _check("goodput-holds", Status.INCONCLUSIVE, expected, "no goodput in the baseline", events)
    edges = [bisect_left(good, begin + second) for second in range(int(end - begin) + 1)]
    per_second = [later - earlier for earlier, later in pairwise(edges)]
    windows = [
        sum(per_second[i : i + GOODPUT_WINDOW_S]) / GOODPUT_WINDOW_S
        for i in range(len(per_second) - GOODPUT_WINDOW_S + 1)
    ]
    ratio = min(windows) / base
    return _check(
        "goodput-holds",
        Status.PASSED if ratio >= wanted.goodput_floor else Status.FAILED,
        expected,
        f"lowest {min(windows):.1f}/s of {base:.1f}/s ({ratio:.0%})",
        events,
        value=ratio,
        limit=wanted.goodput_floor,
        samples=len(good),
    )


def _rejected(samples: dict[str, TierSamples]) -> list[tuple[float, str]]:
    return [
        (latency, reason or "")
        for part in samples.values()
        if part.counts["rejected"]
        for latency, outcome, reason in zip(part.latency, part.outcome, part.reason, strict=True)
        if outcome == "rejected"
    ]


def _rejections_cheap(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    limit = wanted.rejection_latency_p99
    expected = f"p99 of a shed within {show_duration(limit)} of the intended send"
    # A queue time-out or a preemption has waited by its nature; what must be cheap is a refusal at the door.
    times = sorted(
        latency for latency, reason in _rejected(samples) if reason in ("shed", "queue-full", "circuit-open")
    )
    if not any(samples.values()):
        return _check("rejections-cheap", Status.INCONCLUSIVE, expected, "no requests", events, samples=0)
    if not times:
        return _check("rejections-cheap", Status.PASSED, expected, "nothing was shed", events, samples=0)
    value = times[min(len(times) - 1, math.ceil(len(times) * 0.99) - 1)]
    return _check(
        "rejections-cheap",
        Status.PASSED if value <= limit else Status.FAILED,
        expected,
        f"{value * 1000:.1f}ms over {len(times)} rejections",
        events,
        value=value,
        limit=limit,
        samples=len(times),
    )


def _rejections_labelled(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    expected = "every rejection says why"
    if not any(samples.values()):
        return _check("rejections-labelled", Status.INCONCLUSIVE, expected, "no requests", events, samples=0)
    rejections = _rejected(samples)
    bare = sum(not reason for _, reason in rejections)
    return _check(
        "rejections-labelled",
        Status.FAILED if bare else Status.PASSED,
        expected,
        f"{bare} without a reason of {len(rejections)} rejections",
        events,
        samples=len(rejections),
    )


_Judge = Callable[[Invariants, Tiers, dict[str, TierSamples], Timeline, tuple[int, ...]], Check]
_JUDGES: dict[str, _Judge] = {
    "tier-order": _tier_order,
    "best-effort-returns": _best_effort_returns,
    "goodput-holds": _goodput_holds,
    "rejections-cheap": _rejections_cheap,
    "rejections-labelled": _rejections_labelled,
}
