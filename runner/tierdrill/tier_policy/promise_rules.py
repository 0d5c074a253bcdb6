"""Rules of a Tiers document in itself. A rule's docstring is its reason, as `tiers lint --list-rules` shows it."""

from __future__ import annotations

from itertools import pairwise

from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.text import listed
from tierdrill.tier_policy.tier_set import TierSet

TO_BE_DECIDED = "to be decided"
"""What `tiers import` writes where a tier must have something that the other document does not tell."""
PERSONAL = ("pager", "person", "phone")
"""Kinds of contact that make somebody's own device ring; a chat room or a mailing list may be read by nobody."""


def ranks_without_gaps(tiers: TierSet) -> None:
    """Ranks run from 1 without a gap: priorities of other systems are made from them, and a gap hides a tier that is
    missing.
    """
    ordered = sorted(tiers.by_tier, key=lambda item: item[0].rank)
    for expected, (tier, place) in enumerate(ordered, start=1):
        if tier.rank != expected:
            place.at("rank").report(
                f"{tier.name} has rank {tier.rank}", f"{expected}: ranks run from 1 to {len(ordered)}, each once"
            )


def shed_order_is_the_reverse_of_rank(tiers: TierSet) -> None:
    """When capacity is short the least important tier pays first, and rank 1 last."""
    ordered = sorted(tiers.by_tier, key=lambda item: item[0].rank)
    for (upper, _), (lower, place) in pairwise(ordered):
        if lower.shed_order >= upper.shed_order:
            place.at("shed_order").report(
                f"{lower.name} (rank {lower.rank}) has shed_order {lower.shed_order}, "
                f"{upper.name} (rank {upper.rank}) {upper.shed_order}",
                "the lower tier is shed first: a smaller shed_order",
            )


def preempts_lower_tiers_only(tiers: TierSet) -> None:
    """A tier that may take slots from one of its own rank or above breaks a promise to keep one."""
    rank_of = {tier.name: tier.rank for tier, _ in tiers.by_tier}
    for tier, place in tiers.by_tier:
        for number, name in enumerate(tier.may_preempt):
            if rank_of.get(name, 0) <= tier.rank:
                lower = [other for other, rank in rank_of.items() if rank > tier.rank]
                place.at("may_preempt", number).report(f"{tier.name} may preempt {name}", f"of {listed(lower)} only")


def higher_rank_promises_no_less(tiers: TierSet) -> None:
    """A lower tier that is promised more than a higher one has the wrong rank, or the wrong promise."""
    ordered = sorted(tiers.by_tier, key=lambda item: item[0].rank)
    for (upper, place), (lower, _) in pairwise(ordered):
        above, below = upper.objectives.availability, lower.objectives.availability
        if below is not None and (above is None or above < below):
            said = "no availability" if above is None else show_ratio(above)
            place.at("objectives", "availability").report(
                f"{upper.name} (rank {upper.rank}) promises {said}", f"{lower.name} below it has {show_ratio(below)}"
            )


def ceiling_fits_availability(tiers: TierSet) -> None:
    """An error ceiling above the error budget allows what availability forbids; so does a typical loss that uses it
    up.
    """
    for tier, place in tiers.by_tier:
        promised, spot = tier.objectives, place.at("objectives")
        if promised.availability is None:
            continue
        budget = round(1.0 - promised.availability, 12)
        if promised.error_ceiling is not None and promised.error_ceiling > budget:
            spot.at("error_ceiling").report(
                f"error_ceiling {show_ratio(promised.error_ceiling)} beside availability "
                f"{show_ratio(promised.availability)}",
                f"at most {show_ratio(budget)}",
            )
        if promised.typical is not None and promised.typical >= budget:
            spot.at("typical").report(
                f"typical {show_ratio(promised.typical)} of an error budget of {show_ratio(budget)}",
                "below it: a fault that is handled well keeps the promise",
            )


def rank_one_counts_rejections(tiers: TierSet) -> None:
    """For the most important tier a request turned away is a request failed."""
    for tier, place in tiers.by_tier:
        if tier.rank == 1 and not tier.objectives.rejections_count:
            place.at("objectives", "rejections_count").report(
                f"{tier.name} (rank 1) does not count rejections", "rejections_count: true"
            )


def waiting_and_attempts_fit_the_deadline(tiers: TierSet) -> None:
    """A request that may wait or be tried for longer than its deadline uses slots for answers that nobody takes."""
    for tier, place in tiers.by_tier:
        tries = tier.retry_budget.attempts * tier.attempt_timeout
        for name, length, told in (
            ("queue", tier.queue.wait + tier.attempt_timeout, "the queue's wait and one attempt"),
            ("attempt_timeout", tries, f"{tier.retry_budget.attempts} attempts"),
        ):
            if length > tier.deadline + 1e-9:
                place.at(name).report(
                    f"{told} of {tier.name} take up to {show_duration(round(length, 6))}",
                    f"at most its deadline, {show_duration(tier.deadline)}",
                )


def promised_times_can_be_kept(tiers: TierSet) -> None:
    """A promised quantile beyond the deadline can only be kept by answers that were given up on before."""
    for tier, place in tiers.by_tier:
        for name in QUANTILE_OBJECTIVES:
            most = tier.queue.wait if name == "queue_wait" else tier.deadline
            what = "the longest wait in the queue" if name == "queue_wait" else "the deadline"
            for quantile, limit in getattr(tier.objectives, name).items():
                if limit > most:
                    place.at("objectives", name, quantile).report(
                        f"{tier.name} promises {name} {quantile} of {show_duration(limit)}",
                        f"{what} is {show_duration(most)}: at most that",
                    )


def escalation_ends_at_a_person(tiers: TierSet) -> None:
    """An incident that nobody took must end at somebody whose own device rings."""
    for tier, place in tiers.by_tier:
        last = tier.escalation[-1].contact if tier.escalation else ""
        if last.partition(":")[0] not in PERSONAL:
            spot = place.at("escalation", len(tier.escalation) - 1) if tier.escalation else place.at("escalation")
            told = f"the escalation of {tier.name} ends at {last}" if last else f"{tier.name} has no escalation"
            spot.report(told, f"last a contact that begins with {' or '.join(f'{kind}:' for kind in PERSONAL)}")


def every_tier_has_an_owner(tiers: TierSet) -> None:
    """A promise without an owner is nobody's."""
    if not tiers.tiers.metadata.owner.strip():
        place = tiers.place("Tiers", tiers.tiers.metadata.name)
        place.at("metadata").report(f"tiers {tiers.tiers.metadata.name} have no owner", "metadata.owner says who")
    for tier, place in tiers.by_tier:
        if not tier.owner.strip():
            place.at("owner").report(f"tier {tier.name} has no owner", "owner says who answers for its promises")


def somebody_may_override(tiers: TierSet) -> None:
    """In an incident somebody must be allowed to set a rule aside, and it must be known before who."""
    for tier, place in tiers.by_tier:
        if not tier.may_override:
            place.report(f"nobody may override a rule of {tier.name}", "rights.override names a role")


def nothing_is_left_to_be_decided(tiers: TierSet) -> None:
    """What an import had to make up is a question; until somebody answers it nobody owns the promise, may override it
    or is paged.
    """
    for tier, place in tiers.by_tier:
        said: dict[str, tuple[str, ...]] = {
            "owner": (tier.owner,),
            "rationale": (tier.rationale,),
            "override_by": tier.may_override,
            "escalation": tuple(level.contact.partition(":")[2] for level in tier.escalation),
        }
        for name, words in said.items():
            if any(word.replace("-", " ").strip().lower() == TO_BE_DECIDED for word in words):
                place.at(name).report(f"{name} of {tier.name} is {TO_BE_DECIDED}", "a decision; no import can make it")


def reviews_are_not_overdue(tiers: TierSet) -> None:
    """A promise that nobody has looked at for longer than agreed is one of another time."""
    for tier, place in tiers.by_tier:
        if tier.review_overdue(tiers.today):
            told = f"{tier.name} was to be reviewed by {tier.review_due}"
            place.at("reviewed").report(told, "the day of its last review")
        elif tier.review_every is not None and tier.reviewed is None:
            place.at("review_every").report(f"{tier.name} was never reviewed", "reviewed says on which day it was")
