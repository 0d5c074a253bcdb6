"""How large the failure was: measured from the history, and held against the class that the drill expects.

What is not known is taken once at its best and once at its worst. Where both come to one class, that is the class;
where they do not, it is not known.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Invariants, TierExpectation
from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import QUICK_PAGE, budget_spent, burn_rate, scaled
from tierdrill.documents.models.tiers import Tier
from tierdrill.faults.known_kinds import disrupts
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import PlatformState
from tierdrill.judge.checks.failure_class import BLIP_REPLICAS, Classified, Failure, FailureClass, classify
from tierdrill.judge.checks.invariants import judge_invariants
from tierdrill.judge.checks.recovery_times import recovery_of
from tierdrill.judge.checks.slo_checks import judge_tier, promised
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline, executions
from tierdrill.judge.verdict import Check, Status
from tierdrill.judge.windows import silent_outcomes

ORDER = tuple(FailureClass)


def judge_class(
    setting: DrillSetting,
    events: Sequence[Event],
    timeline: Timeline,
    samples: dict[str, TierSamples],
    evidence: tuple[int, ...],
    streamed: Collection[str],
) -> list[Check]:
    """The check of the failure's class, where the drill expects one."""
    wanted = setting.drill.expect.class_of_failure
    if wanted is None:
        return []
    bounds = _bounds(setting, events, timeline, samples, streamed)
    if bounds is None:
        status, seen = Status.INCONCLUSIVE, "no fault was seen to land, or the run did not go through its recovery"
    else:
        least, most = map(classify, bounds)
        possible = ORDER[ORDER.index(least.kind) : ORDER.index(most.kind) + 1]
        fits = FailureClass(wanted) in possible
        status = Status.FAILED if not fits else Status.PASSED if len(possible) == 1 else Status.INCONCLUSIVE
        seen = _seen(possible, least, most)
    return [Check("class/failure", "class", status, "class of failure", f"a {wanted} failure", seen, evidence)]


def _seen(possible: Sequence[FailureClass], least: Classified, most: Classified) -> str:
    if len(possible) == 1:
        return f"{least.kind}: {'; '.join(least.reasons)}"
    unknown = [reason for reason in most.reasons if reason not in least.reasons]
    return f"{least.kind} to {most.kind}, for it is not known whether: {'; '.join(unknown)}"


@dataclass(frozen=True)
class _TierFailure:
    """What one tier showed. None, or `doubtful`, is what is not known."""

    name: str
    missed: bool
    doubtful: bool
    spent: float | None
    burn: tuple[float, float] | None
    recovery_s: float | None
    recovery_limit_s: float | None
    recovery_known: bool


def _bounds(
    setting: DrillSetting,
    events: Sequence[Event],
    timeline: Timeline,
    samples: dict[str, TierSamples],
    streamed: Collection[str],
) -> tuple[Failure, Failure] | None:
    """The failure at its smallest and at its largest, given what is not known."""
    effect, span = timeline.effect, timeline.span(("fault", "recovery"))
    if effect is None or span is None or "baseline" not in timeline.phases:
        return None
    clock = setting.environment.clock
    tiers = [
        _tier_failure(tier, samples.get(tier.name, TierSamples()), timeline, (effect, span[1]), clock, streamed)
        for tier in setting.tiers.by_rank()
        if any(stream.tier == tier.name for stream in setting.drill.load.streams)
    ]
    limits = setting.drill.expect.invariants.model_copy(update={"check": ("tier-order", "goodput-holds")})
    broken, unclear = _invariants(limits, setting, samples, timeline)
    replicas, nodes = _affected(events, timeline, span)
    burns = [tier.burn for tier in tiers if tier.burn is not None]
    burn = max(burns, key=min, default=(None, None))
    alone = not any(one.started_at >= span[0] for one in executions(events))
    spent = [tier.spent for tier in tiers if tier.spent is not None]
    known = Failure(
        replicas_affected=replicas if replicas is not None else 0,
        budget_spent=max(spent, default=0.0),
        tiers_out_of_objective=[tier.name for tier in tiers if tier.missed],
        invariants_broken=broken,
        burn_long=burn[0],
        burn_short=burn[1],
        recovered_without_playbook=alone,
        recovery_s=_slowest(tiers, at_worst=False)[0],
        recovery_limit_s=_slowest(tiers, at_worst=False)[1],
        zones_affected=len(nodes),
    )
    worst = _slowest(tiers, at_worst=True)
    return known, Failure(
        replicas_affected=replicas if replicas is not None else BLIP_REPLICAS + 1,
        budget_spent=max(spent) if tiers and len(spent) == len(tiers) else 1.0,
        tiers_out_of_objective=[tier.name for tier in tiers if tier.missed or tier.doubtful],
        invariants_broken=[*broken, *unclear],
        burn_long=known.burn_long,
        burn_short=known.burn_short,
        recovered_without_playbook=alone,
        recovery_s=worst[0],
        recovery_limit_s=worst[1],
        zones_affected=len(nodes),
    )


def _slowest(tiers: Iterable[_TierFailure], *, at_worst: bool) -> tuple[float | None, float | None]:
    """The recovery furthest beyond what its tier allows, and what that is; one that is not known at its worst is none.

    (None, None) where no tier says what it allows.
    """
    times = [
        (None if at_worst and not tier.recovery_known else tier.recovery_s, tier.recovery_limit_s)
        for tier in tiers
        if tier.recovery_limit_s is not None
    ]

    def beyond(time: tuple[float | None, float]) -> float:
        return math.inf if time[0] is None else time[0] - time[1]

    return max(times, key=beyond, default=(None, None))


def _tier_failure(
    tier: Tier,
    samples: TierSamples,
    timeline: Timeline,
    span: tuple[float, float],
    clock: Clock,
    streamed: Collection[str],
) -> _TierFailure:
    everything = TierExpectation(tier=tier.name)
    said = promised(tier.objectives)
    checks = judge_tier(everything, tier, samples, timeline, (), streamed) if said else []
    statuses = {check.status for check in checks}
    found = recovery_of(tier, samples, *span)
    limit = tier.objectives.mitigate_within
    late = found.out_at_end or (limit is not None and found.back > limit)
    budget = tier.objectives.error_budget
    # What went wrong while the service warmed up is not of the failure.
    counts = _per_second(tier, samples.cut(timeline.phases["baseline"][0], span[1]), span) if budget else []
    return _TierFailure(
        name=tier.name,
        missed=Status.FAILED in statuses,
        doubtful=Status.INCONCLUSIVE in statuses,
        spent=0.0 if budget is None else _spent(tier, samples.cut(*span), span[1] - span[0], budget, clock),
        burn=_burn(counts, budget, clock) if budget else None,
        recovery_s=None if found.out_at_end else found.back,
        recovery_limit_s=limit,
        recovery_known=late or found.held,
    )


def _asked_and_bad(tier: Tier, part: TierSamples) -> tuple[int, int]:
    counts = part.counts
    rejected = counts["rejected"] if tier.objectives.rejections_count else 0
    asked = len(part) - part.unknown - counts["rejected"] + rejected
    return asked, asked - counts["ok"] - (rejected if tier.objectives.availability is None else 0)


def _spent(tier: Tier, part: TierSamples, seconds: float, budget: float, clock: Clock) -> float | None:
    """The share of a 30-day budget that went, in the environment's own days; None without requests."""
    asked, bad = _asked_and_bad(tier, part)
    if not asked:
        return None
    return budget_spent(bad / asked, seconds, budget, clock)


def _per_second(tier: Tier, samples: TierSamples, span: tuple[float, float]) -> list[tuple[int, int]]:
    """Requests and bad ones in each second up to the end of the span, from the first sample on."""
    if not samples.due:
        return []
    seconds = int(span[1] - samples.due[0])
    first = span[1] - seconds
    silent = silent_outcomes(tier.objectives)
    asked, bad = samples.moments(math.inf, silent)
    if tier.objectives.availability is None:  # a rejection spends no error ceiling
        bad = samples.moments(math.inf, silent | {"rejected"})[1]
    edges = [first + second for second in range(seconds + 1)]
    counts = ([bisect_left(due, edge) for edge in edges] for due in (asked, bad))
    return list(zip(*([until - since for since, until in pairwise(sums)] for sums in counts), strict=True))


def _burn(counts: Sequence[tuple[int, int]], budget: float, clock: Clock) -> tuple[float, float] | None:
    """The burn rates on the long and the short window, when the lower of them was highest; None without requests."""
    lengths = [max(1, round(scaled(window, clock))) for window in (QUICK_PAGE.long, QUICK_PAGE.short)]
    found = [
        (_rate(counts[max(0, end - lengths[0]) : end], budget), _rate(counts[max(0, end - lengths[1]) : end], budget))
        for end in range(1, len(counts) + 1)
    ]
    return max(found, key=min, default=None)


def _rate(counts: Sequence[tuple[int, int]], budget: float) -> float:
    asked, bad = (sum(column) for column in zip(*counts, strict=True))
    return burn_rate(bad / asked, budget) if asked else 0.0


def _invariants(
    wanted: Invariants, setting: DrillSetting, samples: dict[str, TierSamples], timeline: Timeline
) -> tuple[list[str], list[str]]:
    """Names of those broken, and of those that cannot be told."""
    checks = judge_invariants(wanted, setting.tiers, samples, timeline, ())
    by_status = {
        status: [check.id.rpartition("/")[2] for check in checks if check.status is status] for status in Status
    }
    return by_status[Status.FAILED], by_status[Status.INCONCLUSIVE]


def _affected(
    events: Sequence[Event], timeline: Timeline, span: tuple[float, float]
) -> tuple[int | None, frozenset[str]]:
    """How many replicas that were ready before the fault were not at some time after, and which nodes.

    None where no control plane report before the fault: it tells of changes only.
    """
    begin = min([span[0], *(fault.intended_at for fault in timeline.faults if fault.intended_at is not None)])
    told = each(events, PlatformState)
    before = [said for event, said in told if event.at <= begin]
    after = [said for event, said in told if begin < event.at <= span[1]]
    down = frozenset(
        fault.target
        for fault in timeline.faults
        if fault.target_kind == "node" and disrupts(fault.kind) and fault.effective_at is not None
    )
    if not before:
        return None, down
    lost = {
        what: {name for name in _ready(before[-1], what) if any(name not in _ready(said, what) for said in after)}
        for what in ("replicas", "nodes")
    }
    return len(lost["replicas"]), down | lost["nodes"]


def _ready(said: PlatformState, what: str) -> set[str]:
    return {str(one["name"]) for one in getattr(said, what) if one.get("ready")}
