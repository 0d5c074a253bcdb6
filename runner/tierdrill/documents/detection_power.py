"""How likely a drill is to pass for a service that is so and so good, and which outage it would notice.

Every promise about requests allows a share of them to go bad: availability 99.5% allows 0.5% to fail, a p99 of 500 ms
allows 1% to take longer. So how many bad ones pass, and how many fail, follows from the number of requests; and from
that, with each request going bad by itself with some chance (a binomial), how likely a pass is. A request that failed
is late too, so that what is typical of errors is the least that is typical of a latency.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, Objectives, Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.sample_size import (
    BAD_AT_LEAST,
    binomial_at_most,
    quantile_over_fails,
    quantile_over_passes,
    share_bad_fails,
    share_bad_passes,
)

TYPICAL_PASSES = 0.95
"""How often a service that goes bad as often as is typical must pass, for a drill's load to be large enough."""
REQUESTS_MAX, STEPS_MAX = 2**24, 400


@dataclass(frozen=True)
class Promise:
    """An objective as the share of requests that it allows to go bad. `name` is as in the verdict's checks."""

    objective: str
    name: str
    words: str
    allowed: float

    @property
    def passes(self) -> Callable[[int, float], int | None]:
        """The most bad requests of so many that pass, for the share allowed."""
        return quantile_over_passes if self.objective in QUANTILE_OBJECTIVES else share_bad_passes

    @property
    def fails(self) -> Callable[[int, float], int | None]:
        """The fewest bad requests of so many that fail, for the share allowed."""
        return quantile_over_fails if self.objective in QUANTILE_OBJECTIVES else share_bad_fails


@dataclass(frozen=True)
class Power:
    """What so many requests can show of one promise.

    `bad_passes` is the most bad requests that still pass (None: none do, there are too few), `passes` the chance to
    pass for a service at a tenth, half and all of what is allowed to go bad, `passes_typical` at the tier's typical
    share. `notices_s` is the shortest total outage (seconds) that fails it, at the mean rate and with nothing else
    wrong; None where no outage does.
    """

    tier: str
    promise: str
    requests: int
    allowed: float
    bad_passes: int | None
    passes: tuple[float, float, float]
    typical: float | None
    passes_typical: float | None
    notices_s: float | None


def promises(objectives: Objectives, wanted: Collection[str] = ()) -> list[Promise]:
    """The promises about requests that a tier makes, of the objectives wanted (none named: all)."""
    found = []
    if objectives.availability is not None:
        words = f"availability {show_ratio(objectives.availability)}"
        found.append(Promise("availability", "availability", words, 1.0 - objectives.availability))
    if objectives.error_ceiling is not None:
        words = f"errors {show_ratio(objectives.error_ceiling)}"
        found.append(Promise("error_ceiling", "error_ceiling", words, objectives.error_ceiling))
    for name in QUANTILE_OBJECTIVES:
        limits: dict[str, float] = getattr(objectives, name)
        for label, limit in sorted(limits.items(), key=lambda item: quantile_share(item[0])):
            words = f"{name.replace('_', ' ')} {label} {show_duration(limit)}"
            found.append(Promise(name, f"{name}-{label}", words, 1.0 - quantile_share(label)))
    return [one for one in found if not wanted or one.objective in wanted]


def power_of(tier: Tier, promise: Promise, requests: int, seconds: float) -> Power:
    """What that many requests, due in so many seconds of judged phases, can show of the promise."""
    most = promise.passes(requests, promise.allowed)
    fewest = promise.fails(requests, promise.allowed)
    fewest = None if fewest is None or requests < BAD_AT_LEAST else max(fewest, BAD_AT_LEAST)
    # A request that is not admitted is late, and tells no wait in the queue.
    told = promise.objective != "queue_wait"
    typical = tier.objectives.typical if told else None

    def chance(share: float) -> float:
        return 0.0 if most is None else binomial_at_most(most, requests, share)

    return Power(
        tier=tier.name,
        promise=promise.words,
        requests=requests,
        allowed=promise.allowed,
        bad_passes=most,
        passes=(chance(promise.allowed / 10), chance(promise.allowed / 2), chance(promise.allowed)),
        typical=typical,
        passes_typical=None if typical is None else chance(typical),
        notices_s=None if fewest is None or not told else fewest * seconds / requests,
    )


def requests_for(promise: Promise, typical: float) -> int | None:
    """The fewest requests from which on a service of that typical share passes `TYPICAL_PASSES`; None where none do.

    With more requests the chance falls, until one more bad one is allowed: so it is looked at just before each step.
    """
    if typical >= promise.allowed:
        return None
    enough = 1
    for _ in range(STEPS_MAX):
        following = _next_step(promise, enough)
        if following is None:
            return None
        most = promise.passes(following - 1, promise.allowed)
        if most is None or binomial_at_most(most, following - 1, typical) < TYPICAL_PASSES:
            enough = following
        elif _steady(promise, following, typical):
            break
    return enough


def _steady(promise: Promise, begin: int, typical: float) -> bool:
    """Whether it stays so over the next steps; the dips become smaller from one to the next."""
    for _ in range(3):
        following = _next_step(promise, begin)
        if following is None:
            return False
        most = promise.passes(following - 1, promise.allowed)
        if most is None or binomial_at_most(most, following - 1, typical) < TYPICAL_PASSES:
            return False
        begin = following
    return True


def _next_step(promise: Promise, requests: int) -> int | None:
    """The next number of requests with which one more bad one passes."""

    def most(count: int) -> int:
        found = promise.passes(count, promise.allowed)
        return -1 if found is None else found

    here, high = most(requests), requests + 1
    while most(high) == here:
        high = requests + 2 * (high - requests)
        if high > REQUESTS_MAX:
            return None
    low = requests + (high - requests) // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if most(middle) == here else (low, middle)
    return high
