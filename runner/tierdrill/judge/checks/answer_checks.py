"""Who gave the answers, and whether they were right: fallback and integrity as checks of a tier.

An answer counts as available whoever gave it, so what came from another model than the one asked has its own allowance.
Integrity is a share of the answers that were compared with a reference, that of the model which gave them, and takes
an interval and a number of answers as every share does. 100% is no share that any number proves: it means that not one
is wrong, of so many that 2% wrong ones would have been seen.
"""

import math
from collections.abc import Mapping

from tierdrill.documents.models.drill import TierExpectation
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.units import show_ratio
from tierdrill.documents.sample_size import integrity_requests
from tierdrill.judge.checks.objective_check import side, slo_check
from tierdrill.judge.samples import TierSamples, joined
from tierdrill.judge.statistics import wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status

FALLBACK = "fallback"


def fallbacks(cut: TierSamples) -> int:
    """How many good answers came from another model than the one asked."""
    return cut.tally_answered("reason")[FALLBACK]


def judge_fallback(
    tier: Tier, cut: TierSamples, where: str, events: tuple[int, ...], *, prove: bool = True
) -> list[Check]:
    """Whether no more answers came from another model than the tier allows; without `prove`, only whether more did.

    Nothing where its document names another model and states no allowance (documents of earlier versions).
    """
    allowed = tier.fallback_allowed
    if allowed is None:
        return []
    total, other = cut.counts["ok"], fallbacks(cut)
    interval = wilson(other, total)
    if interval is None:
        status, seen = Status.INCONCLUSIVE, "no answers"
    else:
        if allowed == 0.0:
            status = Status.FAILED if other else Status.PASSED
        else:
            status = side(interval.high <= allowed or not prove, interval.low > allowed)
        seen = f"{other} of {total} ({interval.value:.2%}; 95%: {interval.low:.2%} to {interval.high:.2%})"
    return [
        slo_check(
            tier.name,
            FALLBACK,
            status,
            f"answers from another model in {where}",
            expected=f"at most {show_ratio(allowed)} of the answers from another model than the one asked",
            seen=seen,
            events=events,
            measured=interval,
            bounded=allowed > 0.0,  # of nothing allowed there is no share to be near to
            limit=allowed,
            samples=total,
        )
    ]


def judge_integrity(
    tier: str, cut: TierSamples, objective: float, where: str, events: tuple[int, ...], *, prove: bool = True
) -> Check:
    """Whether enough answers were compared, and enough of them were right; without `prove`, only the latter."""
    compared = cut.tally("integrity")
    checked, wrong = compared.total() - compared[None], compared[False]
    needed = integrity_requests(objective)
    interval = wilson(checked - wrong, checked)
    seen = f"{wrong} wrong of {checked} checked" if checked else "no answer was checked"
    if interval is None:
        status = Status.INCONCLUSIVE
    elif objective == 1.0:
        status = Status.FAILED if wrong else side(checked >= needed or not prove, False)
    else:
        # One wrong answer among few is no rate yet.
        status = side(interval.low >= objective or not prove, interval.high < objective and wrong > 1)
        seen += f" ({interval.value:.3%} right; 95%: {interval.low:.3%} to {interval.high:.3%})"
    if status is Status.INCONCLUSIVE and 0 < checked < needed:
        seen += f", it takes {needed}"
    return slo_check(
        tier,
        "integrity",
        status,
        f"integrity of answers in {where}",
        expected=f"at least {show_ratio(objective)} of checked answers equal the reference",
        seen=seen,
        events=events,
        measured=interval,
        bounded=objective < 1.0,
        limit=objective,
        samples=checked,
    )


def settled(cut: TierSamples, expectation: TierExpectation, timeline: Timeline) -> TierSamples:
    """The samples in which answers must be right: without those for which the drill bears wrong ones."""
    begun, effect, within = timeline.begun, timeline.effect, expectation.integrity_within
    if begun is None or effect is None or within is None:
        return cut
    return joined([cut.cut(-math.inf, begun), cut.cut(effect + within, math.inf)])


def fallback_notes(tiers: Tiers, samples: Mapping[str, TierSamples]) -> tuple[str, ...]:
    """What is to be said of each tier whose document does not say how many answers may come from another model."""
    counted = [
        (tier.name, fallbacks(samples[tier.name]), samples[tier.name].counts["ok"])
        for tier in tiers.by_rank()
        if tier.fallback_allowed is None and tier.name in samples
    ]
    return tuple(
        f"{other} of {total} answers of {name} came from another model than the one asked; "
        "its document does not say how many may."
        for name, other, total in counted
        if other
    )
