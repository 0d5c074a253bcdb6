"""Tiers among themselves: ranks, shedding order and preemption, and promises that can be kept and proven."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, Objectives, Tier, Tiers, quantile_share
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import listed
from tierdrill.documents.reading.reading_state import Place


def check_tiers(context: Context) -> None:
    """Every Tiers document."""
    for name, document in context.catalogue.tiers.items():
        place = context.reading.place("Tiers", name).at("tiers")
        place.unique([tier.name for tier in document.tiers], "tier", "name")
        _check_order(place, document.tiers)
        for number, tier in enumerate(document.tiers):
            _check_tier(place.at(number), tier, document)


def _check_order(place: Place, tiers: Sequence[Tier]) -> None:
    for name in ("rank", "shed_order"):
        first: dict[int, str] = {}
        for number, tier in enumerate(tiers):
            value = getattr(tier, name)
            if value in first:
                place.at(number, name).report(
                    f"{name} {value} of {first[value]} again", f"each tier has its own {name}"
                )
            first.setdefault(value, tier.name)
    ranked = sorted(enumerate(tiers), key=lambda item: item[1].rank)
    for (_, upper), (number, lower) in pairwise(ranked):
        if upper.rank < lower.rank and upper.shed_order < lower.shed_order:
            place.at(number, "shed_order").report(
                f"{upper.name} (rank {upper.rank}) would be shed before {lower.name} (rank {lower.rank})",
                "shed_order 1 is shed first, and a less important tier before a more important one",
            )


def _check_tier(place: Place, tier: Tier, document: Tiers) -> None:
    for name in ("owner", "rationale"):
        if not getattr(tier, name).strip():
            place.at(name).report(f"nothing for {name}", f"a tier has its {name}")
    by_name = {other.name: other for other in document.tiers}
    for number, name in enumerate(tier.may_preempt):
        spot = place.at("may_preempt", number)
        if spot.known(name, "tier", by_name) and by_name[name].rank <= tier.rank:
            lower = [other.name for other in document.tiers if other.rank > tier.rank]
            spot.report(
                f"{tier.name} (rank {tier.rank}) may preempt {name} (rank {by_name[name].rank})",
                f"only a less important tier may be preempted: {listed(lower)}",
            )
    if tier.attempt_timeout > tier.deadline:
        place.at("attempt_timeout").report(
            f"attempt_timeout {show_duration(tier.attempt_timeout)} beyond the deadline",
            f"at most the deadline, {show_duration(tier.deadline)}",
        )
    elif tier.retry_budget.attempts * tier.attempt_timeout > tier.deadline:
        place.at("attempt_timeout").report(
            f"{tier.retry_budget.attempts} attempts of {show_duration(tier.attempt_timeout)} beyond the deadline",
            f"together at most the deadline, {show_duration(tier.deadline)}: the last could never be made",
        )
    if tier.queue.wait > tier.deadline:
        place.at("queue", "wait").report(
            f"a queue wait of {show_duration(tier.queue.wait)} beyond the deadline",
            f"at most the deadline, {show_duration(tier.deadline)}",
        )
    for name in ("deadline", "attempt_timeout"):
        if getattr(tier, name) <= 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    if tier.fallback_model is not None and tier.objectives.fallback_at_most is None:
        place.at("fallback_model").report(
            f"{tier.name} falls back on {tier.fallback_model} without a limit",
            "objectives.fallback_at_most says which share of the answers may come from it, such as 5%",
        )
    for number, level in enumerate(tier.escalation):
        if not level.contact.strip():
            place.at("escalation", number, "contact").report("nothing for contact", "whom to page")
    _check_objectives(place.at("objectives"), tier.objectives)


def _check_objectives(place: Place, objectives: Objectives) -> None:
    if objectives.availability == 1.0:
        place.at("availability").report("availability 100%", "no number of requests proves it; below 100%", "99.99%")
    if objectives.error_ceiling == 0.0:
        place.at("error_ceiling").report("error_ceiling 0%", "no number of requests proves it; above 0%", "0.01%")
    for name in QUANTILE_OBJECTIVES:
        limits = sorted(getattr(objectives, name).items(), key=lambda item: quantile_share(item[0]))
        for quantile, limit in limits:
            if limit <= 0:
                place.at(name, quantile).report(f"{quantile} of no time", "a time above 0")
        for (lower, low), (upper, high) in pairwise(limits):
            if high < low:
                place.at(name, upper).report(
                    f"{upper} of {show_duration(high)} below {lower} of {show_duration(low)}",
                    "a higher quantile is never lower",
                )
    for name in ("time_to_detect", "time_to_mitigate", "time_to_recover", "mttr"):
        if getattr(objectives, name) == 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    if objectives.mttr is not None and objectives.time_to_mitigate is not None:
        place.at("mttr").report("mttr beside time_to_mitigate", "mttr is its older name: one of them", key=True)
    if objectives.worst_window is not None and objectives.worst_window.lasts <= 0:
        place.at("worst_window", "lasts").report("a window of no time", "a time above 0")
