"""A load replayed against a policy: what the rules make of each request, and what the queues make of the busiest."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierdrill.documents.models.drill import Drill, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.request_rules import RequestFacts
from tierdrill.tier_policy.capacity_plan import CostRow, Size, cost_rows
from tierdrill.tier_policy.queue_simulation import Arrival, TierQueue, simulate
from tierdrill.tier_policy.recorded_load import RecordedLoad, facts_of
from tierdrill.tier_policy.route_tests import Decision, decide

PEAK_S = 60.0
"""How long the busiest stretch is that is looked at more closely ..."""
PEAK_REQUESTS = 50_000
"""... and how many requests of it at most."""


@dataclass(frozen=True)
class Side:
    """A policy and what it holds for: one side of a comparison."""

    tiers: Tiers
    workloads: Workloads
    size: Size
    drills: tuple[Drill, ...] = ()


def decisions(side: Side, load: RecordedLoad) -> list[Decision]:
    """What the rules make of each kind of request in the load."""
    return [decide(side.tiers, side.workloads, facts) for facts in load.kinds]


def asks_the_hour(*sides: Side) -> bool:
    """Whether a rule looks at the time of the day."""
    return any(route.hours is not None for side in sides for route in side.workloads.routes)


def peak(load: RecordedLoad, span_s: float = PEAK_S) -> RecordedLoad:
    """The busiest stretch of a load: no longer than so many seconds, and no more than `PEAK_REQUESTS` requests."""
    order = sorted(range(len(load)), key=load.at.__getitem__)
    times = [load.at[number] for number in order]
    best, most, first = 0, 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= span_s:
            first += 1
        if last - first + 1 > most:
            best, most = first, last - first + 1
    cut = RecordedLoad(load.source)
    for number in order[best : best + min(most, PEAK_REQUESTS)]:
        cut.add(load.at[number], load.kinds[load.kind[number]], load.held[number])
    return cut


def span_of(load: RecordedLoad) -> float:
    """Seconds that the load lasts, as if one more request came after the last."""
    if len(load) < 2:
        return 1.0
    return max(1e-3, (max(load.at) - min(load.at)) * len(load) / (len(load) - 1))


def arrivals(side: Side, load: RecordedLoad) -> list[Arrival]:
    """The requests that the rules let in, each with the time that it holds a slot."""
    found = decisions(side, load)
    usual = [_service(side, facts) for facts in load.kinds]
    came = []
    for at, kind, held in zip(load.at, load.kind, load.held, strict=True):
        tier = found[kind].tier
        if tier is not None:
            came.append((at, tier, load.kinds[kind].model, usual[kind] if held is None else held))
    return came


def _service(side: Side, facts: RequestFacts) -> float:
    model = side.workloads.model(facts.model)
    return 0.0 if model is None else model.service.seconds(facts.prompt_tokens, facts.max_tokens)


def demand(came: Iterable[Arrival], span_s: float) -> dict[tuple[str, str], float]:
    """Slots kept busy by each (tier, model), on average over the span."""
    busy: dict[tuple[str, str], float] = {}
    for _, tier, model, held in came:
        busy[tier, model] = busy.get((tier, model), 0.0) + held
    return {key: seconds / span_s for key, seconds in busy.items()}


def costs_of(side: Side, environment: Environment, load: RecordedLoad | None = None) -> list[CostRow]:
    """What tiers cost over the load's time; without one what they have reserved costs in an hour."""
    span, asked = 3600.0, dict[tuple[str, str], float]()
    if load is not None:
        load, span = load.minutes_told(asks_the_hour(side)), span_of(load)
        asked = demand(arrivals(side, load), span)
    return cost_rows(side.tiers, side.workloads, environment, side.size, asked, span)


def queues(side: Side, load: RecordedLoad) -> dict[str, TierQueue]:
    """What the load makes of the queues."""
    return simulate(arrivals(side, load), side.tiers, side.workloads, side.size)


def load_of_drill(drill: Drill, seconds: float = PEAK_S) -> RecordedLoad:
    """A drill's load at its peak: random arrivals of each stream, the same each time."""
    load = RecordedLoad(f"the load of {drill.metadata.name}")
    for number, stream in enumerate(drill.load.streams):
        facts = facts_of(stream)
        for at in _arrival_times(stream, seconds, drill.load.seed + number):
            load.add(at, facts)
    return load


def _arrival_times(stream: Stream, seconds: float, seed: int) -> Sequence[float]:
    chance, rate = random.Random(seed), stream.rate * stream.shape.factor_max  # noqa: S311
    times, at = [], chance.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += chance.expovariate(rate)
    return times


def most_asking_drill(side: Side) -> Drill | None:
    """The drill whose load keeps most slots busy for the tier of rank 1; where two are alike, for those after it.

    Slots are held ready for what is promised: a drill that floods the lowest tier asks for no more of them.
    """

    def busy(drill: Drill) -> tuple[float, ...]:
        of_tier: dict[str, float] = {}
        for (tier, _), slots in demand(arrivals(side, load_of_drill(drill, 10.0)), 10.0).items():
            of_tier[tier] = of_tier.get(tier, 0.0) + slots
        return tuple(of_tier.get(tier.name, 0.0) for tier in side.tiers.by_rank())

    return max(side.drills, key=busy, default=None)
