"""The alerts of gateways that do not go by the tiers' policy: who is served first, and how often they try again; and of
requests that they keep off because replicas end by them.
"""

from typing import Any

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.tiers import RETRY_BURST, Tier, Tiers
from tierdrill.documents.models.units import promql_duration, show_ratio

INVERSION_FOR_S = 3.0
"""A blip of 1.5 s, 0.4 s to take it back, and a scrape are less."""
POISON_FOR_S = 6.0
"""The same, and the window that is looked at (3 s in the lab)."""


def policy_alerts(tiers: Tiers, clock: Clock) -> list[dict[str, Any]]:
    ranked = tiers.by_rank()
    return [_inversion_alert(ranked[0], clock), *(_retry_alert(tier, clock) for tier in ranked), _poison_alert(clock)]


def _inversion_alert(tier: Tier, clock: Clock) -> dict[str, Any]:
    """The gateways go by another rank than was reviewed, and it shows: requests of the most important tier lose their
    slots, which nobody may take from them, or, once they have none left, are turned away.
    """
    lately = promql_duration(scaled("1h", clock))
    mine = f'{{tier="{tier.name}"}}'
    short = f'{{tier="{tier.name}",reason=~"shed|queue-full|queue-timeout|preempted"}}'
    return {
        "alert": "TierInversion",
        "expr": (
            f"max by (tier) (tierdrill_tier_rank{mine}) != {tier.rank}"
            f" and on (tier) sum by (tier) (increase(tierdrill_preemptions_total{mine}[{lately}])"
            f" or increase(tierdrill_rejections_total{short}[{lately}])) > 0"
        ),
        "for": promql_duration(INVERSION_FOR_S),
        "labels": {"tier": tier.name, "severity": "page"},
        "annotations": {
            "summary": f"Requests of tier {tier.name} lose their slots to less important tiers",
            "description": (
                f"Requests of {tier.name} are preempted or turned away, and the gateways go by another rank for it than"
                " was reviewed. Compare tierdrill_tier_rank with the tiers' document, and put back what was rolled out"
                " last. This is no lack of capacity: to shed or to scale would only hide it."
            ),
        },
    }


def _retry_alert(tier: Tier, clock: Clock) -> dict[str, Any]:
    """More retries than the tier's budget can have allowed over the long window, and still over the short one."""
    ratio = f"{tier.retry_budget.ratio:.12g}"

    def counted(counter: str, window: str) -> str:
        length = promql_duration(scaled(window, clock))
        return f'sum by (tier) (increase(tierdrill_{counter}_total{{tier="{tier.name}"}}[{length}]))'

    gateways = f'count by (tier) (tierdrill_inflight{{tier="{tier.name}"}})'
    return {
        "alert": "RetryAmplification",
        "expr": (
            f"{counted('retries', '1h')} > {ratio} * {counted('requests', '1h')} + {RETRY_BURST:g} * {gateways}"
            f" and on (tier) {counted('retries', '5m')} > {ratio} * {counted('requests', '5m')}"
        ),
        "labels": {"tier": tier.name, "severity": "ticket"},
        "annotations": {
            "summary": f"Retries multiply the requests of tier {tier.name} beyond its retry budget",
            "description": (
                f"Gateways make more further attempts than {show_ratio(tier.retry_budget.ratio)} of the requests of"
                f" tier {tier.name}, which its budget does not allow: whatever fails gets all the more to do. Hold the"
                " tier's retries first, then see what fails (tierdrill_upstream_failures_total) and who took the budget"
                " away (tierdrill_retry_budget_ratio). More replicas would get more of the same."
            ),
        },
    }


def _poison_alert(clock: Clock) -> dict[str, Any]:
    """A tier's customers go on sending what ended two replicas."""
    lately = promql_duration(scaled("5m", clock))
    return {
        "alert": "PoisonRequests",
        "expr": f'sum by (tier) (increase(tierdrill_rejections_total{{reason="quarantined"}}[{lately}])) > 0',
        "for": promql_duration(POISON_FOR_S),
        "labels": {"severity": "ticket"},
        "annotations": {
            "summary": "Requests of tier {{ $labels.tier }} end the replicas that serve them, and are kept off",
            "description": (
                "Two replicas ended under the same prompt, and the gateways answer it with 422 until half a minute has"
                " passed without it. Replicas that ended are started once; one that ends again by it must not be"
                " started in a loop. Find the prompt in a replica's log, speak to who sends it, and have the server"
                " refuse it."
            ),
        },
    }
