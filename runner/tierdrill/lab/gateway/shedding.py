"""How many requests of a tier are let in: the share that is shed, and caps. Pure, with an injected clock.

What is shed because too many wait is decided in admission_queue.py.
"""

from collections.abc import Callable, Iterable, Mapping

from tierdrill.lab.lab_config import LabConfigError, TierConfig

Clock = Callable[[], float]

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
