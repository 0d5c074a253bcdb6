"""What the controller shows: its state as JSON, endpoints for gateways, and what its metrics are made of."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.controller.cluster_metrics import NodeSeen, ReplicaSeen, Seen
from tierdrill.lab.controller.cluster_model import Held, Instance, Node
from tierdrill.lab.controller.desired_state import Core


@dataclass(frozen=True)
class Edge:
    """An edge of the fabric that the controller wants."""

    source: str
    destination: str
    target: str


def edge_id(source: str, replica: str, generation: int) -> str:
    """A moved replica gets an edge of its own, so that connections to the former instance may finish on the old one."""
    return f"{source}>{replica}" if generation == 1 else f"{source}>{replica}.{generation}"


def wanted_edges(core: Core, sources: Iterable[str]) -> dict[str, Edge]:
    """Every edge there should be now: sources to replicas, controller to agents."""
    wanted = {
        f"controller>{node.name}": Edge("controller", node.name, node.agent)
        for node in core.nodes.values()
        if node.agent is not None
    }
    sources = tuple(sources)
    for name, held in core.held.items():
        for instance in (held.current, held.leaving):
            if instance is not None and (address := held.addresses.get(instance.generation)) is not None:
                for source in sources:
                    wanted[edge_id(source, name, instance.generation)] = Edge(source, instance.spot[0], address)
    return wanted


def endpoints(
    core: Core, source: str, open_edges: Mapping[str, tuple[Edge, str]], *, everything: bool
) -> list[dict[str, Any]]:
    """The replicas that `source` can reach, each by its own edge. Those of NotReady nodes only with `everything`."""
    listed = []
    for name, held in sorted(core.held.items()):
        instance = core.serving(held)
        if instance is None or not (everything or core.nodes[instance.spot[0]].ready):
            continue
        edge_name = edge_id(source, name, instance.generation)
        known = open_edges.get(edge_name)
        if known is None:
            continue
        edge, listen = known
        aimed = edge.target == held.addresses.get(instance.generation)
        listed.append(
            {
                "replica": name,
                "name": edge_name.removeprefix(f"{source}>"),
                "model": held.config.model,
                "tier": held.config.tier,
                "node": instance.spot[0],
                "gpu": instance.spot[1],
                "address": listen,
                "slots": held.config.slots,
                "ready": aimed and core.instance_ready(name, instance) and held.retiring_until is None,
            }
        )
    return listed


def state(core: Core, now: float) -> dict[str, Any]:
    return {
        "version": core.version,
        "nodes": [_node(core, node, now) for node in core.nodes.values()],
        "replicas": [_replica(core, held) for held in core.held.values()],
        "events": list(core.events),
        "spare_slots": core.spare_slots(),
        "revisions": dict(core.revisions),
    }


def replica_state(core: Core, held: Held) -> tuple[str, bool]:
    """One word for how a replica is, and whether it serves."""
    instance: Instance | None = core.serving(held)
    if instance is None:
        return "unplaced", False
    if not core.nodes[instance.spot[0]].ready:
        return "unknown", False
    report = core.report(held.config.name, instance)
    if report is None:
        return "starting", False  # its node has not got round to it yet
    return report.state, report.ready


def _node(core: Core, node: Node, now: float) -> dict[str, Any]:
    return {
        "name": node.name,
        "ready": node.ready,
        "cordoned": node.cordoned,
        "last_heartbeat_age_s": None if node.heard_at is None else round(now - node.heard_at, 3),
        "agent": node.agent,
        "boot_id": node.boot_id,
        "gpus": [
            {
                "index": index,
                "uuid": node.gpu_reports.get(index, {}).get("uuid", ""),
                "memory_gib": memory,
                "state": node.gpu_reports.get(index, {}).get("state", "unknown"),
                "xid": node.gpu_reports.get(index, {}).get("xid"),
                "cordoned": node.cordoned or index in node.gpus_cordoned,
                "allocatable": node.gpu_allocatable(index),
                "taint": node.gpu_taints.get(index),
                "usable": node.gpu_usable(index),
            }
            for index, memory in sorted(node.gpus.items())
        ],
    }


def _replica(core: Core, held: Held) -> dict[str, Any]:
    instance = core.serving(held)
    word, ready = replica_state(core, held)
    report = core.report(held.config.name, instance)
    home = core.homes.get(held.config.name)
    return {
        "name": held.config.name,
        "model": held.config.model,
        "tier": held.config.tier,
        "rank": held.config.rank,
        "node": None if instance is None else instance.spot[0],
        "gpu": None if instance is None else instance.spot[1],
        "home": None if home is None else f"{home[0]}/{home[1]}",
        "state": word,
        "ready": ready,
        "moving": held.leaving is not None,
        "pid": None if report is None else report.pid,
        "ticks": None if report is None else report.ticks,
        "address": None if report is None else report.address,
        "exit_code": None if report is None else report.exit_code,
        "generation": held.generation,
        "restarts": held.restarts,
    }


class CoreSeen:
    """The controller's Core as its metrics show it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def seen(self) -> Seen:
        core = self._core
        desired: Counter[tuple[str, str]] = Counter()
        for held in core.held.values():
            desired[held.config.tier, held.config.model] += held.config.slots
        nodes = tuple(_node_seen(node) for node in core.nodes.values())
        replicas = tuple(_replica_seen(core, held) for held in core.held.values())
        return Seen(nodes, replicas, desired, core.moves, core.golden)


def _node_seen(node: Node) -> NodeSeen:
    offered = sum(node.gpu_allocatable(index) and index not in node.gpus_cordoned for index in node.gpus)
    return NodeSeen(node.name, node.ready, node.cordoned, offered, dict(node.gpu_taints))


def _replica_seen(core: Core, held: Held) -> ReplicaSeen:
    instance, of = core.serving(held), held.config
    node, gpu = (None, None) if instance is None else instance.spot
    state, ready = replica_state(core, held)
    return ReplicaSeen(of.name, of.model, of.tier, of.rank, of.slots, node, gpu, state, ready, held.restarts)
