"""Checks of each tier's own objectives over the phases a drill names, with interval and sample count.

A share passes when its whole 95% interval is on the good side of the objective, fails when all of it is on the bad
side, and is inconclusive between: too few requests to say. A quantile is judged the same way by its order-statistic
interval. Two bad requests fail nothing: chance needs no reason for so few.

Arrivals of which nothing is known (dropped by the generator, or without a sample) are taken as all good and as all bad;
where the two come to different ends, the check is inconclusive.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import get_args

from tierdrill.documents.models.drill import Load, ObjectiveName, TierExpectation
from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, RETRY_BURST, Objectives, Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.judge.checks.answer_checks import judge_fallback, judge_integrity, settled
from tierdrill.judge.checks.load_generator import sent_as
from tierdrill.judge.checks.objective_check import side, slo_check
from tierdrill.judge.checks.recovery_times import BACK_IN_TARGET, judge_time
from tierdrill.judge.sample_columns import UNKNOWN
from tierdrill.judge.samples import TierSamples, joined
from tierdrill.judge.statistics import quantile, wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import SECONDS, Check, Status


@dataclass(frozen=True)
class _Asked:
    """What of one tier is judged: its samples in the named phases. With `prove`, what is not broken must be proven."""

    tier: Tier
    cut: TierSamples
    where: str
    events: tuple[int, ...]
    streamed: Collection[str]
    prove: bool

    def status(self, best: Status, worst: Status) -> Status:
        """The status, from those with all that is unknown good, and all of it bad."""
        if not self.prove:
            best, worst = (Status.FAILED if one is Status.FAILED else Status.PASSED for one in (best, worst))
        return best if best is worst else Status.INCONCLUSIVE

    def unknown(self, name: str, why: str) -> Check:
        """A check that there is nothing to judge by."""
        return _unknown(self.tier.name, name, self.where, why, self.events)

    def title(self, name: str) -> str:
        return f"{name.replace('_', ' ')} in {self.where}"


def judge_tier(
    expectation: TierExpectation,
    tier: Tier,
    samples: TierSamples,
    timeline: Timeline,
    events: tuple[int, ...],
    streamed: Collection[str],
    *,
    prove: bool = True,
) -> list[Check]:
    """Every objective of the tier that the drill asks for; `streamed` are the load's streams of streamed answers.

    Without `prove` an objective is only not to be broken: for spans that are too short to prove it.
    """
    spans = timeline.spans(expectation.during)
    where = "+".join(expectation.during)
    wanted = expectation.objectives or promised(tier.objectives)
    if not wanted:
        return [_unknown(tier.name, "objectives", where, "the tier's document promises nothing", events)]
    if spans is None:
        return [_unknown(tier.name, name, where, f"the run never went through {where}", events) for name in wanted]
    cuts = [samples.cut(*span) for span in spans]
    asked = _Asked(tier, cuts[0] if len(cuts) == 1 else joined(cuts), where, events, streamed, prove)
    checks: list[Check] = []
    for name in wanted:
        mine = replace(asked, cut=settled(asked.cut, expectation, timeline)) if name == "integrity" else asked
        checks.extend(_objective(name, mine, samples, timeline))
    checks.extend(judge_fallback(tier, asked.cut, where, events, prove=prove))
    checks.extend(judge_retries(tier, asked.cut, len(samples.tally("gateway")), where, events))
    return checks


def promised(objectives: Objectives) -> tuple[str, ...]:
    return tuple(name for name in get_args(ObjectiveName) if getattr(objectives, name))


def _objective(name: str, asked: _Asked, whole: TierSamples, timeline: Timeline) -> list[Check]:
    objectives, counts, unknown = asked.tier.objectives, asked.cut.counts, asked.cut.unknown
    known = len(asked.cut) - unknown
    admitted = known if objectives.rejections_count else known - counts["rejected"]
    if name == "availability" and objectives.availability is not None:
        return [_share(asked, name, admitted - counts["ok"], admitted, unknown, objectives.availability)]
    if name == "error_ceiling" and objectives.error_ceiling is not None:
        bad = admitted - counts["ok"] - counts["rejected"] * objectives.rejections_count
        return [_share(asked, name, bad, admitted, unknown, objectives.error_ceiling, at_least=False)]
    if name == "integrity" and objectives.integrity is not None:
        share = objectives.integrity
        return [judge_integrity(asked.tier.name, asked.cut, share, asked.where, asked.events, prove=asked.prove)]
    if name in BACK_IN_TARGET and getattr(objectives, name) is not None:
        return [judge_time(name, asked.tier, whole, timeline, asked.events)]
    if name == "time_to_detect":
        return []  # of the run's alerts, not of the tier's requests: judge_detection
    if name in QUANTILE_OBJECTIVES and getattr(objectives, name):
        limits: dict[str, float] = getattr(objectives, name)
        ordered, unknown = _ordered(name, asked, unknown)
        return [_quantile(asked, name, q, ordered, unknown, limit) for q, limit in sorted(limits.items())]
    return [asked.unknown(name, "the tier's document does not promise this")]


def _ordered(name: str, asked: _Asked, unknown: int) -> tuple[list[float], int]:
    """The times to judge, ascending, and how many others are not known."""
    cut, count_rejections = asked.cut, asked.tier.objectives.rejections_count
    if name == "latency":
        return cut.answered_latencies(count_rejections), unknown
    if name == "queue_wait":
        return cut.queue_waits(), cut.waits_unknown
    if name == "stall":
        return cut.stalls(), 0
    if unknown:
        streams = zip(cut.stream, cut.outcome, strict=True)
        unknown = sum(outcome in UNKNOWN and stream in asked.streamed for stream, outcome in streams)
    return cut.first_token_times(asked.streamed, count_rejections), unknown


def streamed_parts(load: Load) -> frozenset[str]:
    """The names under which the generator sends requests for streamed answers."""
    return frozenset(sent_as(stream)[-1] for stream in load.streams if stream.streaming > 0)


def _unknown(tier: str, name: str, where: str, why: str, events: tuple[int, ...]) -> Check:
    title = f"{name.replace('_', ' ')} in {where}"
    return slo_check(tier, name, Status.INCONCLUSIVE, title, "enough samples to judge", why, events)


def _share(
    asked: _Asked, name: str, bad: int, total: int, unknown: int, objective: float, *, at_least: bool = True
) -> Check:
    """Of `total` requests `bad` were bad, and of `unknown` more nothing is known; `objective` is a share of the good.

    With `at_least` false, it is a share of the bad.
    """

    def status(bad: int, total: int) -> Status:
        interval = wilson(total - bad if at_least else bad, total)
        if interval is None:
            return Status.INCONCLUSIVE
        if at_least:
            return side(interval.low >= objective, interval.high < objective and bad >= BAD_AT_LEAST)
        return side(interval.high <= objective, interval.low > objective and bad >= BAD_AT_LEAST)

    interval = wilson(total - bad if at_least else bad, total)
    if interval is None:
        return asked.unknown(name, f"nothing is known of {unknown} requests" if unknown else "no requests")
    return slo_check(
        asked.tier.name,
        name,
        status=asked.status(status(bad, total + unknown), status(bad + unknown, total + unknown)),
        title=asked.title(name),
        expected=f"at {'least' if at_least else 'most'} {show_ratio(objective)}",
        seen=f"{interval.value:.4%} (95%: {interval.low:.3%} to {interval.high:.3%}; {bad} bad of {interval.samples}"
        f"{_and_unknown(unknown)})",
        events=asked.events,
        measured=interval,
        limit=objective,
    )


def _and_unknown(unknown: int) -> str:
    return f"; {unknown} more not known" if unknown else ""


def _quantile(asked: _Asked, name: str, label: str, ordered: list[float], unknown: int, limit: float) -> Check:
    check_name, share = f"{name}-{label}", quantile_share(label)
    interval = quantile(ordered, share)
    if interval is None:
        return asked.unknown(check_name, f"nothing is known of {unknown} requests" if unknown else "no samples")

    def status(times: list[float]) -> Status:
        found = quantile(times, share)
        if found is None:
            return Status.INCONCLUSIVE
        late = len(times) - bisect_right(times, limit)
        return side(found.high <= limit, found.low > limit and late >= BAD_AT_LEAST)

    best, worst = ([0.0] * unknown + ordered, ordered + [math.inf] * unknown) if unknown else (ordered, ordered)
    return slo_check(
        asked.tier.name,
        check_name,
        status=asked.status(status(best), status(worst)),
        title=asked.title(f"{label} {name}"),
        expected=f"at most {show_duration(limit)}",
        seen=f"{_show(interval.value)} (95%: {_show(interval.low)} to {_show(interval.high)}; n={interval.samples}"
        f"{_and_unknown(unknown)})",
        events=asked.events,
        measured=interval,
        limit=limit,
        unit=SECONDS,
    )


def _show(seconds: float) -> str:
    if seconds == math.inf:
        return "no answer"
    return "unbounded" if seconds == -math.inf else f"{seconds * 1000:.1f}ms"


def judge_retries(
    tier: Tier, cut: TierSamples, gateways: int, where: str, events: tuple[int, ...]
) -> list[Check]:
    """Whether no more attempts were made than the tier's retry budget allows; `gateways` is how many served it.

    Nothing where nobody told how often a request was tried (histories of earlier versions, or no answers at all).
    """
    tried = Counter({attempts: count for attempts, count in cut.tally("attempts").items() if attempts is not None})
    requests = tried.total()
    if not requests:
        return []
    retries = sum(max(0, attempts - 1) * count for attempts, count in tried.items())
    # Each gateway has saved up a burst of retries, and may use it within the span that is looked at.
    allowed = tier.retry_budget.ratio * requests + RETRY_BURST * gateways
    return [
        slo_check(
            tier.name,
            "retries",
            status=Status.FAILED if retries > allowed else Status.PASSED,
            title=f"retries in {where}",
            expected=f"at most {show_ratio(tier.retry_budget.ratio)} of the requests, and {RETRY_BURST:g} at each "
            f"gateway at once: {allowed:.0f}",
            seen=f"{retries} retries of {requests} requests ({retries / requests:.2%}); no request more than "
            f"{max(tried)} times",
            events=events,
            measured=retries / requests,
            limit=allowed / requests,
            samples=requests,
        )
    ]
