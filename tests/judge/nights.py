"""TEST DATA, made up: figures of nightly runs that never took place, drawn from a seed, with knobs for what changes.

A night is one run of a drill; a proof (blip twin and sabotages) is run now and then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tierdrill.judge.statistics import wilson
from tierdrill.judge.trend.run_figures import Build, ObjectiveFigure, RunFigures, margin_of
from tierdrill.judge.verdict import Times

DAY = 86400.0
FIRST = 1_767_225_600.0  # 2026-01-01 00:00 UTC
TIERS = {"critical": 1, "standard": 2, "best-effort": 3}
LATENCY = {"critical": 0.5, "standard": 2.0}
VARIANTS = ("drill", "blip", "sabotage:playbook-disabled", "sabotage:alert-silenced")


@dataclass(frozen=True)
class Night:
    """What one run is like: times in seconds, the chance that a request is bad, the latency's quantile."""

    mttd: float | None = 4.4
    mitigate: float = 0.5
    mttr: float = 16.2
    bad: float = 0.0005
    p99: float = 0.05
    status: str = "passed"
    build: Build = field(default_factory=lambda: Build("0.1.0", "3f9d2c1" + "0" * 33, False, "81c0" * 4))


Knob = Callable[[int, Night, random.Random], Night]


def as_it_is(number: int, night: Night, chooser: random.Random) -> Night:
    """Every night like the others, but for chance."""
    return night


def made(
    drill: str, number: int, at: float, night: Night, chooser: random.Random, variant: str = "drill"
) -> RunFigures:
    """One run."""
    name = f"{drill}-{number:05d}"
    objectives = tuple(_objectives(night, chooser)) if variant == "drill" else ()
    good = night.status == ("failed" if variant.startswith("sabotage:") else "passed")
    broken = tuple(f"slo/{one.tier}/{one.objective}" for one in objectives if one.status == "failed")
    return RunFigures(
        run=name,
        drill=drill,
        variant=variant,
        status=night.status,
        started_at=at,
        ended_at=at + 57.0,
        environment="lab",
        times=Times(night.mttd, None, night.mitigate, night.mttr),
        watched_s=28.0,
        objectives=objectives,
        tiers=TIERS,
        build=night.build,
        variants=VARIANTS,
        as_expected=good,
        reasons=() if good else broken or ("playbook/reschedule-critical/deadline",),
    )


def _objectives(night: Night, chooser: random.Random) -> Iterator[ObjectiveFigure]:
    for tier, requests, limit in (("critical", 1700, 0.995), ("standard", 550, 0.97), ("best-effort", 540, 0.9)):
        bad = sum(chooser.random() < night.bad for _ in range(requests // 10)) * 10 if night.bad > 0.05 else 0
        bad = bad or sum(1 for _ in range(3) if chooser.random() < night.bad * requests / 3)
        interval = wilson(requests - bad, requests)
        assert interval is not None
        status = "passed" if interval.low >= limit else "failed" if interval.high < limit else "inconclusive"
        yield ObjectiveFigure(
            tier, "availability", "passed" if night.status == "passed" else status, interval.value, interval.low,
            interval.high, limit, requests, margin_of("availability", interval.value, limit, requests),
            margin_of("availability", interval.low, limit, requests),
        )  # fmt: skip
        if tier in LATENCY:
            p99 = night.p99 * chooser.lognormvariate(0, 0.06)
            worst = p99 * 1.05
            yield ObjectiveFigure(
                tier, "latency-p99", "passed" if worst <= LATENCY[tier] else "failed", p99, p99 * 0.97, worst,
                LATENCY[tier], requests, margin_of("latency-p99", p99, LATENCY[tier], requests),
                margin_of("latency-p99", worst, LATENCY[tier], requests),
            )  # fmt: skip
        yield ObjectiveFigure(tier, "integrity", "passed", 1.0, None, None, 1.0, requests, 0.0, 0.0)


def nights(
    drill: str = "node-loss",
    count: int = 60,
    seed: int = 1,
    knob: Knob = as_it_is,
    first: float = FIRST,
    every: float = DAY,
    proofs_every: int = 30,
) -> list[RunFigures]:
    """A run each night, a proof before the first of every `proofs_every` nights (0: never)."""
    chooser = random.Random(seed)
    found: list[RunFigures] = []
    for number in range(count):
        at = first + number * every + chooser.uniform(0, 600)
        plain = Night(
            mttd=4.4 + chooser.gauss(0, 0.15),
            mitigate=max(0.0, chooser.gauss(0.6, 0.5)),
            mttr=16.2 + abs(chooser.gauss(0, 0.1)),
        )
        night = knob(number, plain, chooser)
        if proofs_every and number % proofs_every == 0:
            for place, variant in enumerate(VARIANTS[1:], 1):
                status = "failed" if variant.startswith("sabotage:") else "passed"
                proof = replace(plain, status=status, build=night.build)
                found.append(made(drill, 90_000 + number * 10 + place, at - 400 + place * 60, proof, chooser, variant))
        found.append(made(drill, number, at, night, chooser))
    return found
