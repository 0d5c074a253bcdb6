"""What the controller shows: its state as JSON, endpoints for gateways, metrics in kube-state-metrics' names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tierdrill.lab.controller.cluster_model import Held, Instance, Node
from tierdrill.lab.controller.desired_state import Core

STATES = ("ready", "starting", "unresponsive", "exited", "stopped", "unknown", "unplaced")


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
        known = open_edges.get(edge_id(source, name, instance.generation))
        if known is None:
            continue
        edge, listen = known
        aimed = edge.target == held.addresses.get(instance.generation)
        listed.append(
            {
                "replica": name,
                "model": held.config.model,
                "tier": held.config.tier,
                "node": instance.spot[0],
                "gpu": instance.spot[1],
                "address": listen,
                "slots": held.config.slots,
                "ready": aimed and core.instance_ready(name, instance),
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


class ControllerCollector(Collector):
    """Metrics computed from the state at each scrape, so that they cannot disagree with it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def collect(self) -> Iterable[Metric]:
        yield from self._nodes()
        yield from self._replicas()
        yield self._gpu_ranks()

    def _nodes(self) -> Iterable[Metric]:
        ready = GaugeMetricFamily(
            "kube_node_status_condition", "Condition of a node.", labels=("node", "condition", "status")
        )
        cordoned = GaugeMetricFamily("kube_node_spec_unschedulable", "Whether a node is cordoned.", labels=("node",))
        gpus = GaugeMetricFamily(
            "kube_node_status_allocatable", "Healthy GPUs of a node.", labels=("node", "resource", "unit")
        )
        for node in self._core.nodes.values():
            for status in ("true", "false"):
                ready.add_metric([node.name, "Ready", status], float(node.ready is (status == "true")))
            cordoned.add_metric([node.name], float(node.cordoned))
            healthy = sum(node.gpu_healthy(index) and index not in node.gpus_cordoned for index in node.gpus)
            gpus.add_metric([node.name, "nvidia_com_gpu", "integer"], healthy)
        return (ready, cordoned, gpus)

    def _gpu_ranks(self) -> Metric:
        ranks = GaugeMetricFamily(
            "tierdrill_gpu_tier_rank",
            "Rank of a tier that has a replica on this GPU; 1 is the most important.",
            labels=("node", "gpu", "tier"),
        )
        placed = {
            (*instance.spot, held.config.tier): held.config.rank
            for held in self._core.held.values()
            if (instance := self._core.serving(held)) is not None
        }
        for (node, gpu, tier), rank in sorted(placed.items()):
            ranks.add_metric([node, str(gpu), tier], rank)
        return ranks

    def _replicas(self) -> Iterable[Metric]:
        labels = ("pod", "node", "model", "tier", "condition")
        ready = GaugeMetricFamily("kube_pod_status_ready", "Whether a replica is ready.", labels=labels)
        slots = GaugeMetricFamily(
            "tierdrill_serving_slots", "Serving slots of a tier's replicas.", labels=("tier", "model", "state")
        )
        states = GaugeMetricFamily(
            "tierdrill_replica_state", "1 for the state a replica is in.", labels=("replica", "state")
        )
        restarts = CounterMetricFamily("tierdrill_replica_restarts", "Restarts of a replica.", labels=("replica",))
        moves = CounterMetricFamily(
            "tierdrill_placement_moves", "Replicas given another place.", labels=("replica", "reason")
        )
        capacity: dict[tuple[str, str], list[int]] = {}
        for name, held in self._core.held.items():
            word, is_ready = replica_state(self._core, held)
            for each in STATES:
                states.add_metric([name, each], float(each == word))
            instance = self._core.serving(held)
            node = "" if instance is None else instance.spot[0]
            ready.add_metric([name, node, held.config.model, held.config.tier, "true"], float(is_ready))
            restarts.add_metric([name], held.restarts)
            have = capacity.setdefault((held.config.tier, held.config.model), [0, 0])
            have[0] += held.config.slots * is_ready
            have[1] += held.config.slots
        for (tier, model), (now_ready, desired) in sorted(capacity.items()):
            slots.add_metric([tier, model, "ready"], now_ready)
            slots.add_metric([tier, model, "desired"], desired)
        for (name, reason), count in sorted(self._core.moves.items()):
            moves.add_metric([name, reason], count)
        return (ready, states, slots, restarts, moves)
