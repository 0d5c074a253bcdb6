"""Small governors of the gateway, free of I/O, with injected clocks: retry budget, shedder, caps, circuit breaker,
Retry-After."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from tierdrill.lab.lab_config import LabConfigError, TierConfig

Clock = Callable[[], float]

RETRY_AFTER_UNKNOWN_S = 1
RETRY_AFTER_MAX_S = 60


def retry_after_s(wait_s: float | None) -> int:
    """What `Retry-After` says, in whole seconds, for a wait until another try may be let in (None: not known)."""
    return RETRY_AFTER_UNKNOWN_S if wait_s is None else min(RETRY_AFTER_MAX_S, max(1, math.ceil(wait_s)))


class RetryBudget:
    """Token bucket: every request earns a fraction of a retry, so retries cannot become a storm of their own.

    Over any span, retries are at most `burst + ratio * requests`.
    """

    def __init__(self, ratio: float, burst: float) -> None:
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        self._tokens = min(self._burst, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry; False when the budget has none left."""
        if self._tokens < 1.0 - 1e-9:  # ten times a tenth must be a whole
            return False
        self._tokens -= 1.0
        return True


class Shedder:
    """Rejects a set fraction of a tier's requests, evenly spread: no dice, so that a drill repeats."""

    def __init__(self, tiers: Iterable[TierConfig]) -> None:
        self._tiers = tuple(sorted(tiers, key=lambda tier: tier.rank))
        self._fractions = {tier.name: 0.0 for tier in self._tiers}
        self._owed = {tier.name: 0.0 for tier in self._tiers}

    @property
    def fractions(self) -> dict[str, float]:
        return dict(self._fractions)

    def change(self, changes: Mapping[str, object]) -> dict[str, float]:
        """Set fractions, all or none. The most important tier is never shed more than any other."""
        wanted = dict(self._fractions)
        for tier, value in changes.items():
            if tier not in wanted:
                raise LabConfigError(f"shed: unknown tier {tier!r}, expected one of: {', '.join(wanted)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise LabConfigError(f"shed.{tier}: {value!r} is not a fraction between 0 and 1")
            wanted[tier] = float(value)
        top = self._tiers[0].name
        if any(wanted[tier.name] < wanted[top] for tier in self._tiers):
            raise LabConfigError(f"shed.{top}: the most important tier is shed last; shed the others at least as much")
        changed = {tier: value for tier, value in wanted.items() if value != self._fractions[tier]}
        self._fractions = wanted
        for tier in changed:
            self._owed[tier] = 0.0
        return changed

    def sheds(self, tier: str) -> bool:
        """Whether this request of the tier is one of those to reject."""
        fraction = self._fractions[tier]
        if fraction <= 0.0:
            return False
        self._owed[tier] += fraction
        if self._owed[tier] < 1.0 - 1e-9:
            return False
        self._owed[tier] -= 1.0
        return True


class Caps:
    """Lets no more than so many requests a second of a tier in, by a token bucket of half a second; none where not set.

    Unlike shedding, which turns away a share of whatever comes, a cap holds however much comes.
    """

    BURST_S = 0.5

    def __init__(self, tiers: Iterable[TierConfig], clock: Clock) -> None:
        self._names = tuple(tier.name for tier in tiers)
        self._clock = clock
        self._rates: dict[str, float] = {}
        self._tokens: dict[str, tuple[float, float]] = {}

    @property
    def rates(self) -> dict[str, float]:
        """Requests a second of each tier that is capped."""
        return dict(self._rates)

    def change(self, changes: Mapping[str, object]) -> dict[str, float | None]:
        """Set rates in requests a second, all or none; None takes a cap away."""
        wanted: dict[str, float | None] = {}
        for tier, value in changes.items():
            if tier not in self._names:
                raise LabConfigError(f"caps: unknown tier {tier!r}, expected one of: {', '.join(self._names)}")
            if value is None:
                wanted[tier] = None
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0.0:
                raise LabConfigError(f"caps.{tier}: {value!r} is not a rate of 0 or more")
            wanted[tier] = float(value)
        changed = {tier: value for tier, value in wanted.items() if self._rates.get(tier) != value}
        for tier, value in changed.items():
            self._rates.pop(tier, None)
            self._tokens.pop(tier, None)
            if value is not None:
                self._rates[tier] = value
        return changed

    def refuses(self, tier: str) -> bool:
        """Whether this request of the tier is one too many."""
        rate = self._rates.get(tier)
        if rate is None:
            return False
        now = self._clock()
        full = max(1.0, rate * self.BURST_S) if rate > 0 else 0.0
        tokens, at = self._tokens.get(tier, (full, now))
        tokens = min(full, tokens + (now - at) * rate)
        refused = tokens < 1.0 - 1e-9
        self._tokens[tier] = (tokens if refused else tokens - 1.0, now)
        return refused

    def wait_s(self, tier: str) -> float | None:
        """Until there is room under the tier's cap again; None where it lets nothing in."""
        rate = self._rates.get(tier)
        if not rate:
            return 0.0 if rate is None else None
        tokens, at = self._tokens.get(tier, (1.0, self._clock()))
        return max(0.0, (1.0 - tokens) / rate - (self._clock() - at))


class CircuitBreaker:
    """Opens when nearly every attempt on a model fails, so that callers fail over at once instead of waiting.

    Ejection deals with a bad replica; this deals with a bad pool. After `open_s` one trial at a time is let through,
    and only from the most important tier that asked lately: a trial given to best effort would be an admission
    refused to tier 1.
    """

    WINDOW_S = 2.0
    SAMPLES_MIN = 10
    SAMPLES_MAX = 512
    FAILURE_RATIO = 0.8
    TRIAL_TIMEOUT_S = 2.0

    def __init__(self, clock: Clock, open_s: float = 1.0) -> None:
        self._clock = clock
        self._open_s = open_s
        self._results: deque[tuple[float, bool]] = deque(maxlen=self.SAMPLES_MAX)
        self._opened_at: float | None = None
        self._trial_at: float | None = None
        self._asked: dict[int, float] = {}

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._clock() - self._opened_at >= self._open_s else "open"

    @property
    def refuses(self) -> bool:
        """Whether it keeps requests from the model: one that nobody asks any more cannot close, and refuses nobody."""
        asked = any(self._clock() - at < self.WINDOW_S for at in self._asked.values())
        return self.state == "open" or (self.state == "half-open" and asked)

    def wait_s(self) -> float:
        """Until the next trial; 0 while it is closed."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._open_s - self._clock())

    def allows(self, rank: int) -> bool:
        """Whether a request of that rank may try. In half-open a True is the trial itself."""
        now = self._clock()
        if self._opened_at is None:
            return True
        self._asked[rank] = now
        if now - self._opened_at < self._open_s:
            return False
        if self._trial_at is not None and now - self._trial_at < self.TRIAL_TIMEOUT_S:
            return False
        if any(other < rank and now - at < self.WINDOW_S for other, at in self._asked.items()):
            return False
        self._trial_at = now
        return True

    def record(self, ok: bool) -> bool:
        """An attempt ended; True when this opened or closed the circuit."""
        now = self._clock()
        if self._opened_at is not None:
            if now - self._opened_at < self._open_s:
                return False  # an attempt from before the opening: says nothing about now
            if ok:
                self.reset()
                return True
            self._opened_at = now
            self._trial_at = None
            return False
        self._results.append((now, ok))
        while self._results and now - self._results[0][0] > self.WINDOW_S:
            self._results.popleft()
        failures = sum(1 for _, good in self._results if not good)
        if not ok and len(self._results) >= self.SAMPLES_MIN and failures >= self.FAILURE_RATIO * len(self._results):
            self._opened_at = now
            self._trial_at = None
            return True
        return False

    def reset(self) -> None:
        """Close and forget (also when the mechanism is switched off)."""
        self._opened_at = None
        self._trial_at = None
        self._results.clear()
        self._asked.clear()
