"""Which checks of a verdict need more from a platform than the status and the time of an answer."""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Objectives, Tier

OBJECTIVE_NEEDS = {
    "queue_wait": ("queue_wait",),
    "integrity": ("answers",),
    "fallback": ("model",),
    "retries": ("attempts",),
}
INVARIANT_NEEDS = {
    "tier-order": ("rejections",),
    "refusal-order": ("rejections", "model"),
    "rejections-cheap": ("rejections",),
    "rejections-labelled": ("rejection_reasons",),
}
SAYS = {
    "queue_wait": "load.response_headers.queue_wait_ms",
    "model": "load.response_headers.model",
    "answers": "load.answers: golden",
    "attempts": "load.response_headers.attempts",
    "rejections": "load.rejected",
    "rejection_reasons": "load.rejected with a header",
}


def not_measured(environment: Environment, group: str, name: str) -> str:
    """Why a check ("slo" or "invariant", and its name without the tier) has nothing to go by here; "" where it has."""
    if group == "slo":
        return missing(environment, OBJECTIVE_NEEDS.get(name.partition("-p")[0], ()))
    return missing(environment, INVARIANT_NEEDS.get(name, ()) if group == "invariant" else ())


def measurable(environment: Environment, tier: Tier) -> Tier:
    """The tier with those of its objectives that are measured here."""
    names = [name for name in OBJECTIVE_NEEDS if not_measured(environment, "slo", name)]
    blind: dict[str, object] = dict.fromkeys(Objectives.model_fields.keys() & names)
    if "queue_wait" in blind:
        blind["queue_wait"] = {}
    return tier.model_copy(update={"objectives": tier.objectives.model_copy(update=blind)}) if blind else tier


def missing(environment: Environment, needs: Iterable[str]) -> str:
    """What the environment's document would have to say; "" where it says it."""
    lacking = [SAYS[need] for need in needs if need not in environment.signals]
    return f"environment {environment.metadata.name} has no {' and no '.join(lacking)}" if lacking else ""


Z_95 = 1.959963984540054
Z_99_ONE_SIDED = 2.3263478740408408
TAIL = 0.025
BAD_AT_LEAST = 3
"""So many bad requests it takes to fail an objective: chance needs no reason for fewer."""
ALL_RIGHT = 0.98
# A product that is a whole number must not be rounded up for the last bit of a float.
_SLACK = 1e-9


def share_requests(share: float) -> int | None:
    """Requests, none of them failed, that prove "at least this share"; None for 100%, which no number proves."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    if share == 1.0:
        return None
    return max(1, math.ceil(Z_95 * Z_95 * share / (1.0 - share) - _SLACK))


def ceiling_requests(ceiling: float) -> int | None:
    """Requests, none of them bad, that prove "at most this share is bad"; None for 0%."""
    return share_requests(1.0 - ceiling)


def integrity_requests(share: float) -> int:
    """Answers, none of them wrong, that prove "at least this share is right".

    100% is taken for proven by as many as prove `ALL_RIGHT`, for no number proves it.
    """
    return share_requests(min(share, ALL_RIGHT) if share == 1.0 else share) or 1


def quantile_requests(quantile: float) -> int:
    """Requests whose slowest bounds the quantile from above with 97.5% (two-sided 95%)."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"a quantile is above 0 and below 1, not {quantile}")
    return max(1, math.ceil(math.log(TAIL) / math.log(quantile) - _SLACK))


def count_surely(expected: float) -> int:
    """Arrivals that a Poisson load of this expected count reaches in 99 of 100 runs."""
    return max(0, math.floor(expected - Z_99_ONE_SIDED * math.sqrt(max(0.0, expected))))


def count_needed(requests: int) -> int:
    """The expected count at which 99 of 100 runs reach that many arrivals."""
    root = (Z_99_ONE_SIDED + math.sqrt(Z_99_ONE_SIDED**2 + 4.0 * (requests + 1))) / 2.0
    return math.ceil(root * root)


@lru_cache(maxsize=4096)
def binomial_at_most(most: int, total: int, share: float) -> float:
    """The chance of at most `most` among `total` independent requests of which each is one with chance `share`."""
    if most < 0:
        return 0.0
    if most >= total or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    return min(1.0, math.fsum(mass for _, mass in binomial_chances(total, share, most)))


def share_bad_passes(total: int, allowed: float) -> int | None:
    """The most bad requests with which a share passes (Wilson's interval is all on the good side); None for none."""
    # Wilson's bound lies on the good side just where the score test says so.
    most = math.floor(total * allowed - Z_95 * math.sqrt(total * allowed * (1.0 - allowed)) + _SLACK)
    return most if most >= 0 and total > 0 else None


def share_bad_fails(total: int, allowed: float) -> int | None:
    """The fewest bad requests with which a share fails; None where even all of them do not show it."""
    fewest = math.floor(total * allowed + Z_95 * math.sqrt(total * allowed * (1.0 - allowed)) + _SLACK) + 1
    return fewest if fewest <= total else None


def quantile_over_passes(total: int, allowed: float) -> int | None:
    """The most requests over the limit with which the quantile that allows this share over it passes; None for none."""
    below, found = 0.0, None
    for count, mass in binomial_chances(total, allowed, total):
        below += mass
        if below > TAIL:
            break
        found = count
    return found


def quantile_over_fails(total: int, allowed: float, tail: float = TAIL) -> int | None:
    """The fewest requests over the limit with which the quantile fails; None where even all do not show it.

    By chance alone so many are seen with probability `tail` at most, where just the share allowed goes over it.
    """
    above, found = 0.0, None
    for within, mass in binomial_chances(total, 1.0 - allowed, total):
        above += mass
        if above > tail:
            break
        found = total - within
    return found if total > 0 else None


def _far_below(total: int, share: float) -> int:
    return max(0, int(total * share - 12 * math.sqrt(total * share * (1 - share)) - 12))


def binomial_chances(total: int, share: float, last: int) -> Iterator[tuple[int, float]]:
    """How many of `total` requests are one, each with chance `share` (above 0, below 1): counts up to `last` with the
    chance of each, from where it begins to matter.
    """
    count = _far_below(total, share)
    mass = math.exp(
        math.lgamma(total + 1)
        - math.lgamma(count + 1)
        - math.lgamma(total - count + 1)
        + count * math.log(share)
        + (total - count) * math.log1p(-share)
    )
    odds = share / (1.0 - share)
    while count <= last:
        yield count, mass
        mass *= (total - count) / (count + 1) * odds
        count += 1
