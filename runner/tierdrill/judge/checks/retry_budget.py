"""How much more work the gateways made of a tier's requests by trying again: within the tier's retry budget or not."""

from collections import Counter

from tierdrill.documents.models.tiers import RETRY_BURST, Tier
from tierdrill.documents.models.units import show_ratio
from tierdrill.judge.checks.objective_check import slo_check
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.verdict import Check, Status


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
