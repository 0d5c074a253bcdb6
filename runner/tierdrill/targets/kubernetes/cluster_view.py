"""What is in a cluster for one run, as its watches have seen it last: names, inventory, and what a history keeps of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tierdrill.history.kinds.response_kinds import WATCH
from tierdrill.targets.base import GpuState, Inventory, NodeState, ReplicaState, TargetError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.evidence import node_sight, pod_sight
from tierdrill.targets.kubernetes.names import NameTable, table_of
from tierdrill.targets.kubernetes.records import NodeRecord, ObjectRef, PodRecord
from tierdrill.targets.kubernetes.watch import Change, ObjectWatch, Raw

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import KubernetesSettings, Pods
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads

LISTED_WITHIN_S = 30.0
NODES = "nodes"
WITHOUT_WORD = "unknown"
"""The state of what is on a node that says nothing any more."""
Gap = Callable[[str, float, str], object]
"""What was not heard of, for how many seconds, and why."""


class ClusterView:
    """Nodes, and the pods of tiers and gateways. `changed` is told of each change and of what (nodes, gateways, or a
    tier's name), in a watch's thread.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: KubernetesSettings,
        tiers: Tiers,
        workloads: Workloads,
        changed: Callable[[str, Change], object],
        gap: Gap,
    ) -> None:
        self._settings, self._tiers, self._workloads = settings, tiers, workloads
        self._lock = threading.Lock()
        self._table: NameTable | None = None
        self._lives: dict[str, _Lives] = {}

        def watch(what: str, path: str, keep: Callable[[Raw], Any], labels: str = "") -> ObjectWatch:
            part = what if what == NODES else "pods"
            return ObjectWatch(
                cluster,
                path,
                lambda change: changed(what, change),
                lambda seconds, why: gap(f"{WATCH}{part}", seconds, why),
                labels=labels,
                keep=keep,
            )

        def pods(what: str, group: Pods) -> list[ObjectWatch]:
            return [watch(what, path_of("pods", name), pod_sight, group.selector) for name in group.namespaces]

        self._nodes = watch(NODES, path_of(NODES), node_sight)
        self._tier_pods = {tier: pods(tier, group) for tier, group in settings.tiers.items()}
        self._gateways = pods("gateways", settings.gateways) if settings.gateways is not None else []

    @property
    def watches(self) -> list[ObjectWatch]:
        """Each to be run in a thread of its own."""
        return [self._nodes, *(one for group in self._tier_pods.values() for one in group), *self._gateways]

    def await_lists(self) -> None:
        """Until everything has been listed once; TargetError where that takes too long."""
        for watch in self.watches:
            watch.await_list(LISTED_WITHIN_S)

    def close(self) -> None:
        """End the watches."""
        for watch in self.watches:
            watch.close()

    def node_of_pod(self, ref: ObjectRef) -> str | None:
        """The real name of the node that a pod of tiers or gateways is on, if it is there and has one."""
        found = (watch.objects.get(ref.uid) for watch in self.watches[1:])
        return next((sight.record.node for sight in found if sight is not None), None)

    def look(self) -> tuple[NameTable, Inventory]:
        """Names and inventory as of now; TargetError before everything was listed."""
        if not all(watch.listed.is_set() for watch in self.watches):
            raise TargetError("the cluster has not been listed yet")
        nodes = [sight.record for sight in list(self._nodes.objects.values())]
        pods = {tier: _pods(group) for tier, group in self._tier_pods.items()}
        gateways = _pods(self._gateways)
        with self._lock:
            self._table = table_of(self._settings, self._workloads, nodes, pods, gateways, before=self._table)
            every = {pod.uid: pod for group in pods.values() for pod in group}
            return self._table, self._inventory(self._table, nodes, every)

    def _inventory(
        self, names: NameTable, nodes: Sequence[NodeRecord], pods: Mapping[str, PodRecord]
    ) -> Inventory:
        by_uid = {node.uid: node for node in nodes}
        mine = {alias: by_uid[ref.uid] for alias, ref in names.nodes.items() if ref.uid in by_uid}
        ready = {node.name: node.ready == "True" for node in nodes}
        tier_of = {model.name: model.tier for model in self._workloads.models}
        ranks = {tier.name: tier.rank for tier in self._tiers.tiers}

        def replica(alias: str) -> ReplicaState:
            pod, model = pods.get(names.replicas[alias].ref.uid), alias.rpartition("-")[0]
            lives = self._lives.setdefault(alias, _Lives())
            if pod is not None:
                lives.see(pod)
            heard = pod is not None and ready.get(pod.node or "", True)
            state = "unplaced" if pod is None else pod.state if heard else WITHOUT_WORD
            return ReplicaState(
                name=alias,
                model=model,
                tier=tier_of[model],
                rank=ranks[tier_of[model]],
                node=None if pod is None or pod.node is None else names.alias("node", pod.node),
                gpu=None,
                state=state,
                ready=state == "ready",
                restarts=lives.restarts,
                generation=lives.pods,
            )

        return Inventory(
            nodes=tuple(
                NodeState(alias, node.ready == "True", node.cordoned, node.boot_id) for alias, node in mine.items()
            ),
            gpus=tuple(gpu for alias, node in mine.items() for gpu in self._gpus(alias, node)),
            replicas=tuple(map(replica, names.replicas)),
            gateways=tuple(names.gateways),
        )

    def _gpus(self, alias: str, node: NodeRecord) -> Iterable[GpuState]:
        """By number: the last are those that the node's device plugin does not offer any more."""
        resource = self._settings.gpu.resource
        capacity, usable = (int(has.get(resource, 0)) for has in (node.capacity, node.allocatable))
        for index in range(capacity):
            state = WITHOUT_WORD if node.ready != "True" else "healthy" if index < usable else "defective"
            yield GpuState(f"{alias}/{index}", alias, index, "", state, emulated=False)


class _Lives:
    """How often what has a replica's name was made anew, and started again, since the run began."""

    def __init__(self) -> None:
        self.pods, self._before, self._uid, self._now = 0, 0, "", 0

    def see(self, pod: PodRecord) -> None:
        if pod.uid != self._uid:
            self.pods += bool(self._uid)
            self._before, self._uid = self._before + self._now, pod.uid
        self._now = pod.restarts

    @property
    def restarts(self) -> int:
        return self._before + self._now


def shown(inventory: Inventory, names: NameTable) -> dict[str, Any]:
    """The part of an inventory that a history keeps. `object` is what a name stands for, where that is another name."""
    refs = {**names.nodes, **{alias: slot.ref for alias, slot in names.replicas.items()}}

    def real(alias: str) -> dict[str, str]:
        return {} if refs[alias].name == alias else {"object": refs[alias].name}

    nodes = [
        {
            "name": node.name,
            "ready": node.ready,
            "cordoned": node.cordoned,
            "boot_id": node.boot_id,
            "gpus": [{"index": gpu.index, "state": gpu.state} for gpu in inventory.gpus if gpu.node == node.name],
            **real(node.name),
        }
        for node in inventory.nodes
    ]
    kept = ("name", "model", "tier", "node", "gpu", "state", "ready", "generation", "restarts")
    replicas = [{key: getattr(one, key) for key in kept} | real(one.name) for one in inventory.replicas]
    return {"nodes": nodes, "replicas": replicas}


def _pods(watches: Iterable[ObjectWatch]) -> list[PodRecord]:
    return [sight.record for watch in watches for sight in list(watch.objects.values())]
