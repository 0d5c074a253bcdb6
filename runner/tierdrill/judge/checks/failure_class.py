"""Blip, partial or systemic: how large a failure was, from what was measured of it.

systemic   the order of the tiers or the total goodput broke, or two tiers or more missed their objectives, or a
           budget burnt over 14.4 times too fast on both windows, or over 5% of a budget is gone
blip       one replica at most, under 2% of every budget, back within its tier's time, with no playbook's help
partial    everything between: several replicas or a node, 2 to 5% of a budget, or one replica that needed a playbook
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tierdrill.documents.models.error_budget import QUICK_PAGE
from tierdrill.text import plural

SYSTEMIC_INVARIANTS = frozenset({"tier-order", "goodput-holds"})
SYSTEMIC_TIERS = 2
SYSTEMIC_BURN = QUICK_PAGE.factor
SYSTEMIC_BUDGET = 0.05
BLIP_BUDGET = 0.02
BLIP_REPLICAS = 1


class FailureClass(StrEnum):
    BLIP = "blip"
    PARTIAL = "partial"
    SYSTEMIC = "systemic"


@dataclass(frozen=True)
class Failure:
    """What was measured. None is "not known", and never makes a failure smaller than it may have been.

    `budget_spent` is the largest share of any tier's error budget (0.02 = 2%), burn rates are multiples of the
    sustainable rate on the long and the short window, `recovery_s` counts from effect to SLI back in target,
    `recovery_limit_s` is what the tier allows.
    """

    replicas_affected: int | None
    budget_spent: float | None
    tiers_out_of_objective: Collection[str] = ()
    invariants_broken: Collection[str] = ()
    burn_long: float | None = None
    burn_short: float | None = None
    recovered_without_playbook: bool | None = None
    recovery_s: float | None = None
    recovery_limit_s: float | None = None
    zones_affected: int = 0


@dataclass(frozen=True)
class Classified:
    kind: FailureClass
    reasons: tuple[str, ...]


def classify(failure: Failure) -> Classified:
    """The class of a failure; the worst that any measurement shows."""
    if systemic := _systemic(failure):
        return Classified(FailureClass.SYSTEMIC, tuple(systemic))
    if partial := _more_than_blip(failure):
        return Classified(FailureClass.PARTIAL, tuple(partial))
    return Classified(FailureClass.BLIP, ("one replica at most, under 2% of every budget, recovered by itself",))


def _systemic(failure: Failure) -> list[str]:
    broken = sorted(SYSTEMIC_INVARIANTS.intersection(failure.invariants_broken))
    reasons = [f"invariant {name} broken" for name in broken]
    out = sorted(set(failure.tiers_out_of_objective))
    if len(out) >= SYSTEMIC_TIERS:
        reasons.append(f"{plural(len(out), 'tier')} out of objective: {', '.join(out)}")
    long, short = failure.burn_long, failure.burn_short
    if long is not None and short is not None and min(long, short) > SYSTEMIC_BURN:
        reasons.append(f"burn of {long:.1f}x and {short:.1f}x, over {SYSTEMIC_BURN:g}x on both windows")
    if failure.budget_spent is not None and failure.budget_spent > SYSTEMIC_BUDGET:
        reasons.append(f"{failure.budget_spent:.1%} of an error budget spent")
    return reasons


def _more_than_blip(failure: Failure) -> list[str]:
    reasons = []
    if failure.replicas_affected is None or failure.replicas_affected > BLIP_REPLICAS:
        reasons.append(f"{_known(failure.replicas_affected)} replicas affected")
    if failure.zones_affected:
        one = failure.zones_affected == 1
        reasons.append("a whole node" if one else f"{failure.zones_affected} whole nodes")
    if failure.budget_spent is None or failure.budget_spent >= BLIP_BUDGET:
        spent = "an unknown share" if failure.budget_spent is None else f"{failure.budget_spent:.1%}"
        reasons.append(f"{spent} of an error budget spent")
    if not failure.recovered_without_playbook:
        known = failure.recovered_without_playbook is not None
        reasons.append("it needed a playbook" if known else "how it recovered is unknown")
    limit = failure.recovery_limit_s
    if limit is not None and (failure.recovery_s is None or failure.recovery_s > limit):
        took = "not yet recovered" if failure.recovery_s is None else f"recovered after {failure.recovery_s:.1f} s"
        reasons.append(f"{took}, allowed {limit:g} s")
    if out := sorted(set(failure.tiers_out_of_objective)):
        reasons.append(f"tier out of objective: {', '.join(out)}")
    return reasons


def _known(count: int | None) -> str:
    return "an unknown number of" if count is None else str(count)
