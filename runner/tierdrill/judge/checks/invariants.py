"""Cross-tier invariants: what must hold between tiers, whatever each tier promises for itself."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tierdrill.documents.models.drill import Invariants
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.judge.checks.refusal_order import judge_refusal_order
from tierdrill.judge.sample_columns import CHOICE_REASONS, UNEXPLAINED, UNKNOWN
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.statistics import wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import SECONDS, Check, Status
from tierdrill.text import plural

# Reasons for which a gateway turns a request away for want of capacity; "no-endpoint" is an outage.
CAPACITY_REASONS = CHOICE_REASONS | {"queue-timeout"}
"""Reasons that are none: of a status alone it cannot be told why a request was turned away."""
REFUSED_AT_THE_DOOR = frozenset({"shed", "queue-full", "circuit-open"})
GOODPUT_WINDOW_S = 3
GOODPUT_REQUESTS = 50
"""So many answers a window is to hold: with fewer, it would be low by chance."""


def judge_invariants(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> list[Check]:
    span = timeline.span(("baseline", "fault", "recovery"))
    cut = {tier: part.cut(*span) for tier, part in samples.items()} if span is not None else {}
    checks = []
    for name in wanted.check:
        if span is None:
            checks.append(
                _check(name, Status.INCONCLUSIVE, "all phases", "the run did not go through all phases", events)
            )
            continue
        if name == "refusal-order":
            checks.append(judge_refusal_order(tiers, cut, events))
            continue
        checks.append(_JUDGES[name](wanted, tiers, cut, timeline, events))
    return checks


def _check(
    name: str, status: Status, expected: str, seen: str, events: tuple[int, ...], **numbers: float | int | str | None
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
        f"no {ranked[0].name} requests turned away in seconds in which a lower tier was admitted",
    )
    mine = samples.get(top)
    if mine is None or not _known(mine):
        return _check("tier-order", Status.INCONCLUSIVE, expected, f"no {top} requests", events)
    rejected = Counter(int(due) for due, _, reason in _rejected({top: mine}) if reason in CAPACITY_REASONS)
    if ranked[1:] and not any(map(_known, (samples[tier.name] for tier in ranked[1:] if tier.name in samples))):
        return _check("tier-order", Status.INCONCLUSIVE, expected, "no requests of a lower tier", events)
    bare = sum(1 for _, _, reason in _rejected({top: mine}) if reason in UNEXPLAINED)
    worse, most = [], 0
    for tier in ranked[1:]:
        part = samples.get(tier.name)
        if part and (clash := [second for second in rejected if part.cut(second, second + 1).counts["ok"]]):
            count = sum(rejected[second] for second in clash)
            most = max(most, count)
            worse.append(f"{count} turned away in {len(clash)} s with {tier.name} admitted")
    if bare >= BAD_AT_LEAST and most < BAD_AT_LEAST:
        seen = f"{bare} {top} rejections do not say whether capacity was short"
        return _check("tier-order", Status.INCONCLUSIVE, expected, seen, events)
    return _check(
        "tier-order",
        Status.FAILED if most >= BAD_AT_LEAST else Status.PASSED,
        expected,
        "; ".join([*worse, *(["too few to show an order"] if most < BAD_AT_LEAST else [])])
        if worse
        else f"{plural(len(rejected), 'second')} with a {top} rejection, none with a lower tier admitted",
        events,
        samples=len(mine),
    )


def _known(part: TierSamples) -> int:
    """How many requests tell of the service."""
    return len(part) - part.unknown


def _good_and_asked(part: TierSamples, *, at_best: bool) -> tuple[int, int]:
    """Answered requests and all; what is not known is taken as answered at best, as not answered at worst."""
    return part.counts["ok"] + (part.unknown if at_best else 0), len(part)


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
    final = part.cut(max(begin, end - max(3.0, (end - begin) / 3)), end)
    before_ok, before = _good_and_asked(part.cut(*timeline.phases["baseline"]), at_best=False)
    after_ok, after = _good_and_asked(final, at_best=False)
    if not before_ok or not after:
        return _check(
            "best-effort-returns", Status.INCONCLUSIVE, expected, "no baseline or no requests at the end", events
        )
    share = before_ok / before
    ratio = after_ok / after / share
    best = wilson(_good_and_asked(final, at_best=True)[0], after)
    # A few requests at the end may miss the share by chance alone.
    surely = best is not None and best.high / share < wanted.returns_to and after - after_ok >= BAD_AT_LEAST
    status = Status.PASSED if ratio >= wanted.returns_to else Status.FAILED if surely else Status.INCONCLUSIVE
    return _check(
        "best-effort-returns",
        status,
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
    base_begin, base_end = timeline.phases["baseline"]
    begin, end = timeline.span(("fault", "recovery")) or (0.0, 0.0)
    base = _good_between(samples, [base_begin, base_end], at_best=False)[0] / max(base_end - base_begin, 1e-9)
    window = max(GOODPUT_WINDOW_S, math.ceil(GOODPUT_REQUESTS / base)) if base > 0 else GOODPUT_WINDOW_S
    expected = (
        f"all tiers together never under {show_ratio(wanted.goodput_floor)} of the baseline's goodput for {window} s"
    )
    if base <= 0 or end - begin < window:
        why = "no goodput in the baseline" if base <= 0 else f"fault and recovery are shorter than {window} s"
        return _check("goodput-holds", Status.INCONCLUSIVE, expected, why, events)
    edges = [begin + second for second in range(int(end - begin) + 1)]
    lowest, lowest_at_best = (
        min(sum(counts[first : first + window]) for first in range(len(counts) - window + 1)) / window
        for counts in (_good_between(samples, edges, at_best=at_best) for at_best in (False, True))
    )
    ratio = lowest / base
    failed = lowest_at_best / base < wanted.goodput_floor
    return _check(
        "goodput-holds",
        Status.PASSED if ratio >= wanted.goodput_floor else Status.FAILED if failed else Status.INCONCLUSIVE,
        expected,
        f"lowest {lowest:.1f}/s of {base:.1f}/s ({ratio:.0%})",
        events,
        value=ratio,
        limit=wanted.goodput_floor,
        samples=sum(part.counts["ok"] for part in samples.values()),
    )


def _good_between(samples: dict[str, TierSamples], edges: Sequence[float], *, at_best: bool) -> list[int]:
    """How many requests of all tiers were answered between each two edges; at best with those that are not known."""
    counts = [0] * (len(edges) - 1)
    for part in samples.values():
        others = part.moments(math.inf, UNKNOWN if at_best else ())[1]
        sums = [bisect_left(part.due, edge) - bisect_left(others, edge) for edge in edges]
        counts = [count + until - since for count, since, until in zip(counts, sums, sums[1:], strict=False)]
    return counts


def _rejected(samples: dict[str, TierSamples]) -> Iterator[tuple[float, float, str]]:
    """Due time, latency and reason (empty without one) of every request that was turned away, by choice or not."""
    for part in samples.values():
        if not part.counts["rejected"] and not part.counts["refused"]:
            continue
        columns = map(part.not_answered, ("due", "latency", "outcome", "reason"))
        for due, latency, outcome, reason in zip(*columns, strict=True):
            if outcome in ("rejected", "refused"):
                yield due, latency, reason or ""


def _rejections_cheap(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    limit = wanted.rejection_latency_p99
    expected = f"p99 of a refusal within {show_duration(limit)} of the intended send, or of the end of its wait"
    times = sorted(_costs(tiers, samples))
    if not any(map(_known, samples.values())):
        return _check("rejections-cheap", Status.INCONCLUSIVE, expected, "no requests", events, samples=0)
    if not times:
        return _check("rejections-cheap", Status.PASSED, expected, "nothing was shed", events, samples=0)
    value = times[min(len(times) - 1, math.ceil(len(times) * 0.99) - 1)]
    slow = len(times) - bisect_right(times, limit)
    return _check(
        "rejections-cheap",
        Status.FAILED if value > limit and slow >= BAD_AT_LEAST else Status.PASSED,
        expected,
        f"{value * 1000:.1f}ms over {plural(len(times), 'rejection')}, {slow} of them slower",
        events,
        value=value,
        limit=limit,
        samples=len(times),
        unit=SECONDS,
    )


def _costs(tiers: Tiers, samples: dict[str, TierSamples]) -> list[float]:
    """What each refusal cost the customer in time: at the door all of it, after a wait what came on top of that.

    A tier with another model to fall back on waits for both; a preemption has cost an answer, and is none of these.
    """
    costs = []
    for name, part in samples.items():
        tier = tiers.by_name(name)
        wait = min(tier.deadline, tier.queue.wait * (1 if tier.fallback_model is None else 2))
        for _, latency, reason in _rejected({name: part}):
            if reason in REFUSED_AT_THE_DOOR:
                costs.append(latency)
            elif reason == "queue-timeout":
                costs.append(max(0.0, latency - wait))
    return costs


def _rejections_labelled(
    wanted: Invariants, tiers: Tiers, samples: dict[str, TierSamples], timeline: Timeline, events: tuple[int, ...]
) -> Check:
    expected = "every rejection says why"
    if not any(map(_known, samples.values())):
        return _check("rejections-labelled", Status.INCONCLUSIVE, expected, "no requests", events, samples=0)
    reasons = [reason for _, _, reason in _rejected(samples)]
    bare = reasons.count("")
    return _check(
        "rejections-labelled",
        Status.FAILED if bare >= BAD_AT_LEAST else Status.PASSED,
        expected,
        f"{bare} without a reason of {plural(len(reasons), 'rejection')}",
        events,
        samples=len(reasons),
    )


_Judge = Callable[[Invariants, Tiers, dict[str, TierSamples], Timeline, tuple[int, ...]], Check]
_JUDGES: dict[str, _Judge] = {
    "tier-order": _tier_order,
    "best-effort-returns": _best_effort_returns,
    "goodput-holds": _goodput_holds,
    "rejections-cheap": _rejections_cheap,
    "rejections-labelled": _rejections_labelled,
}
