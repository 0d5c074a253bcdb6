"""Demand per tier at peak against slots: with all nodes, with one and with two fewer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tierdrill.documents.models.drill import Drill, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Model, Workloads

BUY_MAX = 1000
"""More replicas of one model than that are not looked for."""

Demand = Mapping[tuple[str, str], float]
"""Slots kept busy, by (tier, model)."""


@dataclass(frozen=True)
class Size:
    """An environment's size. `nodes` is None where neither a document nor an inventory tells."""

    nodes: int | None
    gateways: int = 1
    replicas: Mapping[str, int] | None = None

    def replicas_of(self, model: Model) -> int:
        """How many replicas a model has: those counted, or else those the workloads want."""
        return model.replicas if self.replicas is None else self.replicas.get(model.name, 0)

    def left(self, model: Model, nodes_lost: int) -> int:
        """Replicas left at once, before anything is moved, where they are spread evenly and the fullest nodes go."""
        replicas = self.replicas_of(model)
        if not nodes_lost or not self.nodes:
            return replicas
        full, rest = divmod(replicas, self.nodes)
        lost = full * nodes_lost + min(rest, nodes_lost)
        return max(0, replicas - lost)

    def slots(self, model: Model, nodes_lost: int = 0) -> int:
        """Slots that all gateways have together: each has its whole share of every replica."""
        return self.left(model, nodes_lost) * max(1, model.slots // self.gateways) * self.gateways


def size_of(environment: Environment) -> Size:
    """As the document says; of a cluster only an inventory tells how many nodes and replicas there are."""
    if environment.target == "lab":
        return Size(environment.lab.nodes, environment.lab.gateways)
    nodes = environment.names.nodes if environment.target == "external" else ()
    return Size(len(nodes) or None)


def stream_demand(stream: Stream, workloads: Workloads) -> float:
    """Slots that a stream keeps busy at its peak."""
    model = workloads.model(stream.model)
    if model is None:
        return 0.0
    return stream.rate * stream.shape.factor_max * model.service.seconds(stream.prompt_tokens, stream.max_tokens)


def peak_demand(drills: Iterable[Drill], workloads: Workloads) -> dict[tuple[str, str], float]:
    """The most that any one drill's load asks of a model for a tier."""
    most: dict[tuple[str, str], float] = {}
    for drill in drills:
        mine: dict[tuple[str, str], float] = {}
        for stream in drill.load.streams:
            key = (stream.tier, stream.model)
            mine[key] = mine.get(key, 0.0) + stream_demand(stream, workloads)
        for key, slots in mine.items():
            most[key] = max(most.get(key, 0.0), slots)
    return most


@dataclass(frozen=True)
class CapacityRow:
    """A tier's share of a model at peak, in slots. The tuples are N, N+1 and N+2: all nodes, one lost, two lost.

    `headroom` is what is left after this and all more important tiers, below 0 what is missing;
    `preemption` what this tier can take from others; `buy` the replicas that are missing for all tiers to fit at N+1,
    None where it takes another node.
    """

    model: str
    tier: str
    rank: int
    demand: float
    reserved: int
    slots: tuple[int, int, int]
    headroom: tuple[float, float, float]
    preemption: float
    buy: int | None


def capacity_rows(tiers: Tiers, workloads: Workloads, size: Size, demand: Demand) -> list[CapacityRow]:
    """Every tier that a model serves, or is asked by, most important first."""
    rows = []
    for model in workloads.models:
        slots = (size.slots(model), size.slots(model, 1), size.slots(model, 2))
        everything = sum(busy for (_, name), busy in demand.items() if name == model.name)
        used = 0.0
        for tier in tiers.by_rank():
            busy = demand.get((tier.name, model.name), 0.0)
            routed = workloads.serves(tier.name, model.name)
            if not busy and not routed:
                continue
            used += busy
            rows.append(
                CapacityRow(
                    model=model.name,
                    tier=tier.name,
                    rank=tier.rank,
                    demand=busy,
                    reserved=tier.reserved_slots * size.gateways if routed else 0,
                    slots=slots,
                    headroom=(slots[0] - used, slots[1] - used, slots[2] - used),
                    preemption=sum(demand.get((name, model.name), 0.0) for name in tier.may_preempt),
                    buy=_to_buy(model, size, everything),
                )
            )
    return rows


def _to_buy(model: Model, size: Size, demand: float) -> int | None:
    """Replicas to add so that the demand fits with one node lost; None where no number of them is enough."""
    replicas = size.replicas_of(model)
    for more in range(BUY_MAX):
        bigger = Size(size.nodes, size.gateways, {model.name: replicas + more})
        if bigger.slots(model, nodes_lost=1) >= demand - 1e-9:
            return more
    return None


def rank_one_lacking(rows: Iterable[CapacityRow], tiers: Tiers) -> dict[str, float]:
    """Slots that rank 1 lacks with one node lost, by model: after it has preempted whom it may."""
    top = tiers.by_rank()[0].name
    mine = {row.model: row.headroom[1] + row.preemption for row in rows if row.tier == top}
    return {model: -left for model, left in mine.items() if left < 0.0}


def rank_one_short(rows: Iterable[CapacityRow], tiers: Tiers) -> dict[str, float]:
    """As `rank_one_lacking`, without what its fallback model has room for."""
    rows = list(rows)
    top = tiers.by_rank()[0]
    there = [row.headroom[1] for row in rows if row.model == top.fallback_model]
    spare = max(0.0, min(there, default=0.0))
    lacking = rank_one_lacking(rows, tiers).items()
    return {model: lacks for model, lacks in lacking if model == top.fallback_model or lacks > spare}


def spread_over_models(busy: Mapping[str, float], workloads: Workloads) -> dict[tuple[str, str], float]:
    """Slots that each tier keeps busy, over the models that are there for it, by how many slots each has.

    Where a tier has no model of its own, over those whose routes lead to it.
    """
    spread: dict[tuple[str, str], float] = {}
    for tier, slots in busy.items():
        own = [model for model in workloads.models if model.tier == tier]
        mine = own or [model for model in workloads.models if workloads.serves(tier, model.name)]
        total = sum(model.replicas * model.slots for model in mine)
        spread |= {(tier, model.name): slots * model.replicas * model.slots / total for model in mine}
    return spread


@dataclass(frozen=True)
class CostRow:
    """A tier's GPU seconds over a span, used and kept reserved, and what they cost (None without a price)."""

    tier: str
    used_gpu_s: float
    reserved_gpu_s: float
    used_cost: float | None
    reserved_cost: float | None


def cost_rows(
    tiers: Tiers, workloads: Workloads, environment: Environment, size: Size, demand: Demand, span_s: float
) -> list[CostRow]:
    """What each tier uses and has reserved over a span of seconds with that demand. A slot is its part of a replica's
    GPU; in the lab a replica has the part of a GPU that its memory takes.
    """
    price = environment.cost.gpu_hour / 3600.0 if environment.cost is not None else None
    rows = []
    for tier in tiers.by_rank():
        used = reserved = 0.0
        for model in workloads.models:
            gpus = min(1.0, model.memory_gib / environment.lab.gpu_memory_gib) if environment.target == "lab" else 1.0
            routed = workloads.serves(tier.name, model.name)
            kept = min(tier.reserved_slots * size.gateways, size.slots(model)) if routed else 0
            used += demand.get((tier.name, model.name), 0.0) * gpus / model.slots * span_s
            reserved += kept * gpus / model.slots * span_s
        costs = (None, None) if price is None else (used * price, reserved * price)
        rows.append(CostRow(tier.name, used, reserved, *costs))
    return rows
