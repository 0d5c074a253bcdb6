"""What a change of a policy would do, before it is made: `tiers diff`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Cost, Environment
from tierdrill.documents.models.tiers import Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.tier_policy.capacity_plan import CostRow
from tierdrill.tier_policy.load_replay import (
    Side,
    arrivals,
    asks_the_hour,
    costs_of,
    decisions,
    demand,
    load_of_drill,
    peak,
    queues,
    span_of,
)
from tierdrill.tier_policy.queue_simulation import TierQueue
from tierdrill.tier_policy.recorded_load import RecordedLoad
from tierdrill.tier_policy.tier_changes import Change, tier_changes, workload_changes

OUTLOOK_HEAD = ("tier", "requests", "busy slots", "wait p50", "wait p99", "rejected")
DRILL_S = 10.0
"""How long each drill's load is simulated."""


@dataclass(frozen=True)
class Moved:
    """Requests whose tier, or whose refusal, is another one after the change."""

    before: str
    after: str
    requests: int


@dataclass(frozen=True)
class TierOutlook:
    """A tier in the busiest stretch, before and after: requests a second, slots kept busy, waits (seconds), and the
    share turned away. None where the tier is not there.
    """

    tier: str
    rate: tuple[float | None, float | None]
    busy_slots: tuple[float | None, float | None]
    wait_p50: tuple[float | None, float | None]
    wait_p99: tuple[float | None, float | None]
    rejected: tuple[float | None, float | None]

    def told(self) -> tuple[str, ...]:
        """As `OUTLOOK_HEAD` names them: each figure before and after, or once where it stays."""
        pairs = (self.rate, self.busy_slots, self.wait_p50, self.wait_p99, self.rejected)
        forms = ("{:.1f}/s", "{:.1f}", "{:.3f}s", "{:.3f}s", "{:.2%}")
        return self.tier, *map(_pair, pairs, forms)


def _pair(pair: tuple[float | None, float | None], form: str) -> str:
    before, after = ("-" if value is None else form.format(value) for value in pair)
    return before if before == after else f"{before} -> {after}"


@dataclass(frozen=True)
class LostDrill:
    """A drill that would no longer pass, or that could not even be run, and why."""

    drill: str
    why: str


@dataclass(frozen=True)
class Impact:
    """Everything that a change does, as far as documents and a recorded load tell."""

    changes: tuple[Change, ...]
    source: str
    requests: int
    moved: tuple[Moved, ...]
    outlooks: tuple[TierOutlook, ...]
    lost: tuple[LostDrill, ...]
    costs: tuple[tuple[CostRow, ...], tuple[CostRow, ...]]
    cost: Cost | None

    @property
    def price(self) -> str:
        """What tiers have reserved, before and after, and what it costs an hour where the environment has a price."""
        was, now = (sum(row.reserved_gpu_s for row in rows) / 3600.0 for rows in self.costs)
        told = f"reserved GPUs: {was:.2f} -> {now:.2f}"
        if self.cost is None:
            return told
        price = self.cost.gpu_hour
        return f"{told}, {self.cost.currency} {was * price:.2f} -> {now * price:.2f} an hour"

    @property
    def unapproved(self) -> tuple[Change, ...]:
        """Promises of rank 1 that get weaker without an approval in the new document."""
        return tuple(one for one in self.changes if one.weaker and one.rank == 1 and one.approved_by is None)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        known = asdict(self)
        del known["costs"]
        return {
            **known,
            "cost": [[asdict(row) for row in rows] for rows in self.costs],
            "unapproved": [str(one) for one in self.unapproved],
        }


def assess(old: Side, new: Side, load: RecordedLoad, environment: Environment) -> Impact:
    """The impact of going from one policy to the other in that environment, under that load."""
    load = load.minutes_told(asks_the_hour(old, new))
    return Impact(
        changes=(*tier_changes(old.tiers, new.tiers), *workload_changes(old.workloads, new.workloads)),
        source=load.source,
        requests=len(load),
        moved=tuple(_moved(old, new, load)),
        outlooks=tuple(_outlooks(old, new, peak(load))),
        lost=tuple(_lost(old, new)),
        costs=(tuple(costs_of(old, environment)), tuple(costs_of(new, environment))),
        cost=environment.cost,
    )


def _moved(old: Side, new: Side, load: RecordedLoad) -> Iterator[Moved]:
    before, after = ([one.tier or f"refused: {one.refused}" for one in decisions(side, load)] for side in (old, new))
    count: Counter[tuple[str, str]] = Counter()
    for kind, requests in Counter(load.kind).items():
        if before[kind] != after[kind]:
            count[before[kind], after[kind]] += requests
    for (was, now), requests in count.most_common():
        yield Moved(was, now, requests)


def _outlooks(old: Side, new: Side, busiest: RecordedLoad) -> Iterator[TierOutlook]:
    span = span_of(busiest)
    both = [(queues(side, busiest), demand(arrivals(side, busiest), span)) for side in (old, new)]
    names = list(dict.fromkeys(tier.name for side in (old, new) for tier in side.tiers.by_rank()))

    def figure(name: str, of: Any) -> tuple[float | None, float | None]:
        first, second = (of(queue[name], asked) if name in queue else None for queue, asked in both)
        return first, second

    for name in names:
        yield TierOutlook(
            name,
            figure(name, lambda queue, _: queue.requests / span),
            figure(name, lambda _, asked, tier=name: sum(slots for key, slots in asked.items() if key[0] == tier)),
            figure(name, lambda queue, _: queue.wait(0.5)),
            figure(name, lambda queue, _: queue.wait(0.99)),
            figure(name, lambda queue, _: queue.rejected_share),
        )


def _lost(old: Side, new: Side) -> Iterator[LostDrill]:
    known = {drill.metadata.name: drill for drill in new.drills}
    before, after = _Simulations(old), _Simulations(new)
    for drill in old.drills:
        name = drill.metadata.name
        if name not in known:
            yield LostDrill(name, "it is not there any more")
            continue
        reasons = list(_contradictions(known[name], new)) or _newly_broken(drill, known[name], before, after)
        yield from (LostDrill(name, why) for why in reasons[:1])


def _contradictions(drill: Drill, side: Side) -> Iterator[str]:
    """Why a drill makes no sense under a policy: what it expects is not promised, or its load is of another tier."""
    tiers = {tier.name: tier for tier in side.tiers.tiers}
    for one in drill.expect.tiers:
        if one.tier not in tiers:
            yield f"it expects tier {one.tier}, which is not there"
            continue
        promised = tiers[one.tier].objectives
        for objective in one.objectives:
            if getattr(promised, objective) in (None, {}):
                yield f"it expects {objective} of {one.tier}, which is not promised"
    load = load_of_drill(drill, 1.0)
    by_stream = {(stream.model, stream.customer_class): stream.tier for stream in drill.load.streams}
    for facts, decided in zip(load.kinds, decisions(side, load), strict=True):
        stream = by_stream.get((facts.model, facts.customer_class))
        if stream is not None and decided.tier != stream:
            yield f"its load for {stream} ({facts.model}) would be {decided.tier or f'refused: {decided.refused}'}"


class _Simulations:
    """What each drill's load makes of the queues; many drills have the same load."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._known: dict[str, dict[str, TierQueue]] = {}

    def of(self, drill: Drill) -> dict[str, TierQueue]:
        load = drill.load.model_dump_json()
        if load not in self._known:
            self._known[load] = queues(self.side, load_of_drill(drill, DRILL_S))
        return self._known[load]


def _newly_broken(before: Drill, after: Drill, old: _Simulations, new: _Simulations) -> list[str]:
    """Objectives that the drill's load alone would break in the simulation after the change and not before."""
    broken = dict(_broken(after, new))
    if not broken:
        return []
    already = dict(_broken(before, old))
    return [why for key, why in broken.items() if key not in already]


def _broken(drill: Drill, simulations: _Simulations) -> Iterator[tuple[tuple[str, str], str]]:
    outcome = simulations.of(drill)
    for one in drill.expect.tiers:
        tier = simulations.side.tiers.by_name(one.tier)
        for objective in one.objectives:
            if (why := _breaks(objective, tier, outcome[tier.name])) is not None:
                yield (tier.name, objective), f"{tier.name}: {why}"


def _breaks(objective: str, tier: Tier, queue: TierQueue) -> str | None:
    promised = tier.objectives
    budget = promised.error_budget if promised.rejections_count else None
    if objective in ("availability", "error_ceiling") and budget is not None and queue.rejected_share > budget:
        return f"{show_ratio(queue.rejected_share)} turned away, budget {show_ratio(budget)}"
    if objective == "queue_wait":
        for quantile, limit in promised.queue_wait.items():
            if (wait := queue.wait(quantile_share(quantile))) > limit:
                return f"queue wait {quantile} {show_duration(round(wait, 3))}, promised {show_duration(limit)}"
    return None
