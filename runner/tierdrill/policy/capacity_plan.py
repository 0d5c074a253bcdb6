"""Demand per tier at peak against slots: with all nodes, with one and with two fewer. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tierdrill.documents.models.drill import Drill, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.workloads import Model, Workloads

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


def replicas_needed(slots: float, model: Model, gateways: int) -> int:
    """Replicas that have so many slots."""
    return math.ceil(slots / (max(1, model.slots // gateways) * gateways) - 1e-9)
