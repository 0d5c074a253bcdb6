"""What is in a deployment: nodes, GPUs, replicas and gateways, as every target tells of them."""

from __future__ import annotations

from dataclasses import dataclass

from tierdrill.faults.blast_radius import Layout, links_of


@dataclass(frozen=True)
class GpuState:
    """A GPU as its node's agent reports it; `name` is `node-1/0`."""

    name: str
    node: str
    index: int
    uuid: str
    state: str
    emulated: bool


@dataclass(frozen=True)
class NodeState:
    """A node as the control plane sees it."""

    name: str
    ready: bool
    cordoned: bool
    boot_id: str


@dataclass(frozen=True)
class ReplicaState:
    """A replica as the control plane sees it; `node` is None while it has no place."""

    name: str
    model: str
    tier: str
    rank: int
    node: str | None
    gpu: int | None
    state: str
    ready: bool
    restarts: int
    generation: int


@dataclass(frozen=True)
class Inventory:
    """What is there now."""

    nodes: tuple[NodeState, ...]
    gpus: tuple[GpuState, ...]
    replicas: tuple[ReplicaState, ...]
    gateways: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """What falls with what, as things stand."""
        falls: dict[str, list[str]] = {gpu.node: [] for gpu in self.gpus}
        for gpu in self.gpus:
            falls[gpu.node].append(gpu.name)
        for replica in self.replicas:
            if replica.node is not None:
                for holder in (replica.node, f"{replica.node}/{replica.gpu}"):
                    falls.setdefault(holder, []).append(replica.name)
        links = links_of(self.gateways, [node.name for node in self.nodes])
        tiers = {replica.name: replica.tier for replica in self.replicas}
        return Layout(links, {holder: tuple(names) for holder, names in falls.items()}, tiers)

    def tier_ready_share(self, tier: str) -> float:
        """Ready replicas of a tier over all its replicas; 1.0 for a tier without replicas."""
        mine = [replica for replica in self.replicas if replica.tier == tier]
        return sum(replica.ready for replica in mine) / len(mine) if mine else 1.0
