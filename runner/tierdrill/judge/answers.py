"""Who gave the answers, and whether they were right: fallback and integrity as checks of a tier.

An answer counts as available whoever gave it, so what came from another model than the one asked has its own allowance.
Integrity is a share of the answers that were compared with a reference, that of the model which gave them, and takes
an interval and a number of answers as every share does. 100% is no share that any number proves: it means that not one
is wrong, of so many that 2% wrong ones would have been seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tierdrill.judge.samples import TierSamples, joined
from tierdrill.judge.statistics import wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.drill import TierExpectation
from tierdrill.spec.samplesize import integrity_requests
from tierdrill.spec.tiers import Tier, Tiers
from tierdrill.spec.units import show_ratio

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
    bounds = None if allowed == 0.0 else interval  # of nothing allowed there is no share to be near to
    expected = f"at most {show_ratio(allowed)} of the answers from another model than the one asked"
    if interval is None:
        status, seen = Status.INCONCLUSIVE, "no answers"
    else:
        if allowed == 0.0:
            status = Status.FAILED if other else Status.PASSED
        else:
            status = _side(interval.high <= allowed or not prove, interval.low > allowed)
        seen = f"{other} of {total} ({interval.value:.2%}; 95%: {interval.low:.2%} to {interval.high:.2%})"
    return [
        Check(
            id=f"slo/{tier.name}/{FALLBACK}",
            group="slo",
            status=status,
            title=f"{tier.name}: answers from another model in {where}",
            expected=expected,
            seen=seen,
            events=events,
            value=None if interval is None else interval.value,
            low=None if bounds is None else bounds.low,
            high=None if bounds is None else bounds.high,
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
    bounds = None if objective == 1.0 else interval
    seen = f"{wrong} wrong of {checked} checked" if checked else "no answer was checked"
    if interval is None:
        status = Status.INCONCLUSIVE
    elif objective == 1.0:
        status = Status.FAILED if wrong else _side(checked >= needed or not prove, False)
    else:
        # One wrong answer among few is no rate yet.
        status = _side(interval.low >= objective or not prove, interval.high < objective and wrong > 1)
        seen += f" ({interval.value:.3%} right; 95%: {interval.low:.3%} to {interval.high:.3%})"
    if status is Status.INCONCLUSIVE and 0 < checked < needed:
        seen += f", it takes {needed}"
    return Check(
        id=f"slo/{tier}/integrity",
        group="slo",
        status=status,
        title=f"{tier}: integrity of answers in {where}",
        expected=f"at least {show_ratio(objective)} of checked answers equal the reference",
        seen=seen,
        events=events,
        value=None if interval is None else interval.value,
        low=None if bounds is None else bounds.low,
        high=None if bounds is None else bounds.high,
        limit=objective,
        samples=checked,
    )


def settled(cut: TierSamples, expectation: TierExpectation, timeline: Timeline) -> TierSamples:
    """The samples in which answers must be right: without those for which the drill bears wrong ones."""
    effect, within = timeline.effect, expectation.integrity_within
    if effect is None or within is None:
        return cut
    return joined([cut.cut(-math.inf, effect), cut.cut(effect + within, math.inf)])


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


def _side(good: bool, bad: bool) -> Status:
    return Status.FAILED if bad else Status.PASSED if good else Status.INCONCLUSIVE
