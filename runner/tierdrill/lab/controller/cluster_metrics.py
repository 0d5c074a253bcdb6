"""What a control plane says of nodes and replicas as metrics, in kube-state-metrics' names where it has any.

The lab's own controller and the feed of a cluster's pods say the same, so that the same rules judge both.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = ("ready", "starting", "unresponsive", "blocked", "exited", "stopped", "unknown", "unplaced")


@dataclass(frozen=True)
class NodeSeen:
    """A node, how many of its GPUs are healthy and may be used, and the taints (their effects) of single ones."""

    name: str
    ready: bool
    cordoned: bool
    gpus: int
    gpu_taints: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplicaSeen:
    """A replica; `node` and `gpu` are None while it has no place, `gpu` also where nobody knows it."""

    name: str
    model: str
    tier: str
    rank: int
    slots: int
    node: str | None
    gpu: int | None
    state: str
    ready: bool
    restarts: int


@dataclass(frozen=True)
class Seen:
    """Everything at one moment. `desired` slots are by tier and model, `moves` by replica and reason; `golden` is by
    gateway, tier and model: whether the last golden request there was answered rightly, None where it is not known.
    """

    nodes: tuple[NodeSeen, ...]
    replicas: tuple[ReplicaSeen, ...]
    desired: Mapping[tuple[str, str], int]
    moves: Mapping[tuple[str, str], int] = field(default_factory=dict)
    golden: Mapping[tuple[str, str, str], bool | None] = field(default_factory=dict)


class ControlPlane(Protocol):
    """Who knows."""

    def seen(self) -> Seen: ...


class ClusterCollector(Collector):
    """Metrics computed from the state at each scrape, so that they cannot disagree with it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def collect(self) -> Iterable[Metric]:
        seen = self._plane.seen()
        yield from _nodes(seen)
        yield from _replicas(seen)
        yield _slots(seen)
        yield _gpu_ranks(seen)
        golden = GaugeMetricFamily(
            "tierdrill_golden_answer_right",
            "The last golden request of a tier through a gateway was answered rightly.",
            labels=("gateway", "tier", "model"),
        )
        for where, right in sorted(seen.golden.items()):
            if right is not None:
                golden.add_metric(where, float(right))
        yield golden


def _nodes(seen: Seen) -> Iterable[Metric]:
    ready = GaugeMetricFamily(
        "kube_node_status_condition", "Condition of a node.", labels=("node", "condition", "status")
    )
    cordoned = GaugeMetricFamily("kube_node_spec_unschedulable", "Whether a node is cordoned.", labels=("node",))
    gpus = GaugeMetricFamily(
        "kube_node_status_allocatable", "Healthy GPUs of a node.", labels=("node", "resource", "unit")
    )
    taints = GaugeMetricFamily(
        "tierdrill_gpu_tainted", "1 for the effect of a taint on a GPU.", labels=("node", "gpu", "effect")
    )
    for node in seen.nodes:
        for gpu, effect in sorted(node.gpu_taints.items()):
            taints.add_metric([node.name, str(gpu), effect], 1.0)
        for status in ("true", "false"):
            ready.add_metric([node.name, "Ready", status], float(node.ready is (status == "true")))
        cordoned.add_metric([node.name], float(node.cordoned))
        gpus.add_metric([node.name, "nvidia_com_gpu", "integer"], node.gpus)
    return (ready, cordoned, gpus, taints)


def _gpu_ranks(seen: Seen) -> Metric:
    ranks = GaugeMetricFamily(
        "tierdrill_gpu_tier_rank",
        "Rank of a tier that has a replica on this GPU; 1 is the most important.",
        labels=("node", "gpu", "tier"),
    )
    placed = {
        (one.node, one.gpu, one.tier): one.rank
        for one in seen.replicas
        if one.node is not None and one.gpu is not None
    }
    for (node, gpu, tier), rank in sorted(placed.items()):
        ranks.add_metric([node, str(gpu), tier], rank)
    return ranks


def _slots(seen: Seen) -> Metric:
    slots = GaugeMetricFamily(
        "tierdrill_serving_slots", "Serving slots of a tier's replicas.", labels=("tier", "model", "state")
    )
    ready: Counter[tuple[str, str]] = Counter()
    for one in seen.replicas:
        ready[one.tier, one.model] += one.slots * one.ready
    for (tier, model), desired in sorted(seen.desired.items()):
        slots.add_metric([tier, model, "ready"], ready[tier, model])
        slots.add_metric([tier, model, "desired"], desired)
    return slots


def _replicas(seen: Seen) -> Iterable[Metric]:
    labels = ("pod", "node", "model", "tier", "condition")
    ready = GaugeMetricFamily("kube_pod_status_ready", "Whether a replica is ready.", labels=labels)
    states = GaugeMetricFamily(
        "tierdrill_replica_state", "1 for the state a replica is in.", labels=("replica", "state")
    )
    restarts = CounterMetricFamily("tierdrill_replica_restarts", "Restarts of a replica.", labels=("replica",))
    moves = CounterMetricFamily(
        "tierdrill_placement_moves", "Replicas given another place.", labels=("replica", "reason")
    )
    for one in seen.replicas:
        for each in STATES:
            states.add_metric([one.name, each], float(each == one.state))
        ready.add_metric([one.name, one.node or "", one.model, one.tier, "true"], float(one.ready))
        restarts.add_metric([one.name], one.restarts)
    for (name, reason), count in sorted(seen.moves.items()):
        moves.add_metric([name, reason], count)
    return (ready, states, restarts, moves)
