"""How long a tier was out of target after a fault, and whether it then held.

Counted in seconds from the fault's effect. A tier is back in target only where requests say so: right after its last
bad second, and at the end of the recovery.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.tiers import Tier, quantile_share
from tierdrill.spec.units import show_duration

HOLD_S = 3.0
SPAN_MAX_S = 7 * 86400.0
BAD_AT_LEAST = 2


@dataclass(frozen=True)
class Second:
    """One second of a tier: how many requests tell of the service, and whether it was out of target."""

    asked: int
    out: bool


@dataclass(frozen=True)
class Recovery:
    """What became of a tier after a fault. Times are seconds from the fault's effect.

    `back` is the end of the last second out of target, 0 where there was none. `out_at_end` says that less than the
    hold is left after it; `held` that there were requests right after `back` and at the end to tell. `asked` counts
    the requests that do tell.
    """

    back: float
    out_at_end: bool
    held: bool
    asked: int

    @property
    def seconds(self) -> float | None:
        """How long until the tier was back in target and stayed there; None where that did not happen or is unknown."""
        return self.back if self.held and not self.out_at_end else None


def recovery_of(tier: Tier, samples: TierSamples, effect: float, end: float) -> Recovery:
    """A tier's recovery between a fault's effect and the end of the recovery phase.

    A second is out of target with a bad share above what availability (or else the error ceiling) allows, and at least
    two bad requests or none but bad ones: a lone failure among others says nothing about the service.
    """
    silent, late = _silent(tier), _late(tier)
    seconds = seconds_of(tier, samples, effect, end)
    out = [number for number, second in enumerate(seconds) if second.out]
    back = out[-1] + 1 if out else 0
    after = any(second.asked for second in seconds[back : back + int(HOLD_S)])
    final, _ = _asked_and_bad(samples.cut(max(effect, end - HOLD_S), end), silent, late)
    return Recovery(
        back=float(back),
        out_at_end=bool(out) and effect + back + HOLD_S > end,
        held=after and final > 0,
        asked=sum(second.asked for second in seconds),
    )


def seconds_of(tier: Tier, samples: TierSamples, effect: float, end: float) -> list[Second]:
    """Every second from the effect to the end; what is left over after the last whole one belongs to it.

    ValueError for more of them than a run has: such a history was not written by one.
    """
    if end - effect > SPAN_MAX_S:
        raise ValueError(f"a fault took effect {end - effect:g} s before the end of the recovery")
    target = tier.objectives.availability
    if target is None:
        target = 1.0 - (tier.objectives.error_ceiling or 0.05)
    silent, late = _silent(tier), _late(tier)
    edges = [effect + second for second in range(max(1, int(end - effect)))]
    found = []
    for span in pairwise([*edges, max(end, edges[-1])]):
        asked, bad = _asked_and_bad(samples.cut(*span), silent, late)
        found.append(Second(asked, (bad >= BAD_AT_LEAST or 0 < bad == asked) and bad / asked > 1.0 - target))
    return found


def _silent(tier: Tier) -> Collection[str]:
    return {"dropped"} if tier.objectives.rejections_count else {"dropped", "rejected"}


def _late(tier: Tier) -> float:
    limits = sorted(tier.objectives.latency.items(), key=lambda item: quantile_share(item[0]))
    return limits[-1][1] if limits else math.inf


def _asked_and_bad(part: TierSamples, silent: Collection[str], late: float) -> tuple[int, int]:
    """How many requests tell of the service, and how many of them were not answered, or too late."""
    counts = part.counts
    asked = len(part) - sum(counts[outcome] for outcome in silent)
    bad = asked - counts["ok"]
    if part.latency and max(part.latency) > late:
        bad += sum(
            outcome == "ok" and latency > late for outcome, latency in zip(part.outcome, part.latency, strict=True)
        )
    return asked, bad


def judge_mttr(tier: Tier, samples: TierSamples, timeline: Timeline, events: tuple[int, ...]) -> Check:
    """From the fault's effect to the tier back in target and held there for a few seconds."""
    limit = tier.objectives.mttr or 0.0
    effect, span = timeline.effect, timeline.span(("fault", "recovery"))
    found = recovery_of(tier, samples, effect, span[1]) if effect is not None and span is not None else None
    took: float | None = None
    if effect is None or span is None or found is None:
        status, seen = Status.INCONCLUSIVE, "no fault was seen to land"
    elif not found.asked:
        status, seen = Status.INCONCLUSIVE, "no requests after the fault"
    elif found.out_at_end:
        took, status, seen = span[1] - effect, Status.FAILED, "still out of target at the end of recovery"
    elif found.back > limit:
        took, status = found.back, Status.FAILED
        seen = f"still out of target {took:.1f}s after the fault's effect"
    elif not found.held:
        status, seen = Status.INCONCLUSIVE, f"no requests to tell that it held for {show_duration(HOLD_S)}, to the end"
    else:
        took, status = found.back, Status.PASSED
        seen = f"back in target {took:.1f}s after the fault's effect" if took else "never out of target"
    return Check(
        id=f"slo/{tier.name}/mttr",
        group="slo",
        status=status,
        title=f"{tier.name}: time to recover",
        expected=f"in target again within {show_duration(limit)} of the fault's effect, and held",
        seen=seen,
        events=events,
        value=took,
        limit=limit,
        samples=found.asked if found is not None else None,
    )
