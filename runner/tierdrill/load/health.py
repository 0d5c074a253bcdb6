"""Was the load what it was meant to be? From samples and self-reports to a verdict on the generator itself. Pure.

A generator that lags, drops or stalls measures itself and not the system; a run with such a load proves nothing, in
either direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.load.recorder import Sample

_MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """Beyond these the generator is not to be believed."""

    lag_p99_max_s: float = 0.05
    dropped_max: float = 0.0
    achieved_min: float = 0.99
    stall_max_s: float = 0.5
    loop_lag_max_s: float = 0.5
    cpu_max: float = 0.9
    machine_idle_min: float = 0.05


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which arrivals were due and none was sent."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadHealth:
    """The generator's figures over a window, and the reasons for not believing it; none where it is healthy.

    `achieved` is arrivals accounted for (sent) over planned. cpu is one process's busiest interval as a share of one
    CPU's time, machine_idle the mean share over the window; None where nothing was reported.
    """

    planned: int
    sent: int
    dropped: int
    dropped_ratio: float
    achieved: float
    lag_p50_s: float | None
    lag_p99_s: float | None
    stalled: tuple[Stall, ...]
    loop_lag_s: float | None
    cpu: float | None
    machine_idle: float | None
    reasons: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """No limit was passed and nothing was missing."""
        return not self.reasons


def assess(
    samples: Sequence[Sample],
    reports: Sequence[Mapping[str, Any]],
    planned: int,
    limits: HealthLimits | None = None,
    *,
    malformed: int = 0,
) -> LoadHealth:
    """The generator's health over the window that the samples, the reports and the planned count belong to."""
    limits = limits or HealthLimits()
    sent = [sample for sample in samples if sample.outcome != "dropped"]
    dropped = len(samples) - len(sent)
    lags = sorted(sample.lag_s for sample in sent)
    vitals = [report for report in reports if report.get("kind") == "report"]
    idle = [float(report["machine_idle"]) for report in vitals if report.get("machine_idle") is not None]
    figures = LoadHealth(
        planned=planned,
        sent=len(sent),
        dropped=dropped,
        dropped_ratio=dropped / max(len(samples), 1),
        achieved=len(sent) / planned if planned else 1.0,
        lag_p50_s=quantile(lags, 0.50),
        lag_p99_s=quantile(lags, 0.99),
        stalled=stalls(sent, limits.stall_max_s),
        loop_lag_s=max((float(report["loop_lag_s"]) for report in vitals), default=None),
        cpu=max((float(report["cpu"]) for report in vitals), default=None),
        machine_idle=sum(idle) / len(idle) if idle else None,
        reasons=(),
    )
    return replace(figures, reasons=tuple(_reasons(figures, limits, malformed)))


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """The nearest-rank quantile of an ascending list; None of an empty one."""
    if not ordered:
        return None
    return ordered[min(len(ordered), max(1, math.ceil(q * len(ordered)))) - 1]


def stalls(sent: Sequence[Sample], longer_than_s: float) -> tuple[Stall, ...]:
    """Gaps between sends, longer than the limit, counted from the moment an arrival was waiting in them."""
    ordered = sorted(sent, key=lambda sample: sample.due + sample.lag_s)
    # The earliest due of all that are still to be sent, from each send on: that one was waiting.
    waiting = math.inf
    earliest = [math.inf] * len(ordered)
    for place in range(len(ordered) - 1, -1, -1):
        waiting = min(waiting, ordered[place].due)
        earliest[place] = waiting
    found = []
    last_send = -math.inf
    for sample, due in zip(ordered, earliest, strict=True):
        send = sample.due + sample.lag_s
        begins = max(last_send, due)
        if send - begins > longer_than_s:
            found.append(Stall(begins, send - begins))
        last_send = send
    return tuple(found)


def _reasons(health: LoadHealth, limits: HealthLimits, malformed: int) -> list[str]:
    reasons = []
    if health.planned and not health.sent:
        reasons.append(f"no sample of {health.planned} planned arrivals")
    elif health.achieved < limits.achieved_min:
        share = f"{health.sent} of {health.planned} planned arrivals sent"
        reasons.append(f"{share} ({health.achieved:.1%}, at least {limits.achieved_min:.1%})")
    if health.dropped_ratio > limits.dropped_max:
        allowed = f"at most {limits.dropped_max:.2%}"
        reasons.append(f"{health.dropped} arrivals dropped ({health.dropped_ratio:.2%}, {allowed})")
    if health.lag_p99_s is not None and health.lag_p99_s > limits.lag_p99_max_s:
        reasons.append(f"send lag p99 {_ms(health.lag_p99_s)} (at most {_ms(limits.lag_p99_max_s)})")
    if health.stalled:
        longest = max(stall.seconds for stall in health.stalled)
        allowed = f"at most {limits.stall_max_s:.2f} s"
        reasons.append(f"{len(health.stalled)} stalls, the longest {longest:.2f} s ({allowed})")
    if health.loop_lag_s is None or health.cpu is None:
        reasons.append("no self-report of the generator")
    else:
        if health.loop_lag_s > limits.loop_lag_max_s:
            reasons.append(f"event loop {_ms(health.loop_lag_s)} late (at most {_ms(limits.loop_lag_max_s)})")
        if health.cpu > limits.cpu_max:
            reasons.append(f"generator used {health.cpu:.0%} of a CPU (at most {limits.cpu_max:.0%})")
    if health.machine_idle is not None and health.machine_idle < limits.machine_idle_min:
        reasons.append(f"machine {health.machine_idle:.1%} idle (at least {limits.machine_idle_min:.1%})")
    if malformed:
        reasons.append(f"{malformed} unreadable sample lines")
    return reasons


def _ms(seconds: float) -> str:
    return f"{seconds * _MILLISECONDS:.1f} ms"
