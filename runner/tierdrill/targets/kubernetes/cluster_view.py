"""What is in a cluster for one run, as its watches have seen it last: names, inventory, and what a history keeps of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tierdrill.history.kinds.response_kinds import WATCH
from tierdrill.targets.base import Inventory, ReplicaState, TargetError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.evidence import node_sight, pod_sight
from tierdrill.targets.kubernetes.names import NameTable
from tierdrill.targets.kubernetes.records import POD_LIST, ObjectRef, PodRecord
from tierdrill.targets.kubernetes.survey import Survey
from tierdrill.targets.kubernetes.watch import Change, ObjectWatch

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import KubernetesSettings, Pods
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads

LISTED_WITHIN_S = 30.0
NODES = "nodes"
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
        self._settings, self._workloads = settings, workloads
        self._ranks = {tier.name: tier.rank for tier in tiers.tiers}
        self._lock = threading.Lock()
        self._last_change = object()
        self.gpus: Mapping[str, int] = {}
        """As a Survey's; to be set before the first look."""
        self._looked: tuple[object, NameTable, Inventory] | None = None
        self._lives: dict[str, _Lives] = {}

        def tell(what: str, change: Change) -> None:
            self._last_change = object()
            changed(what, change)

        def watch(what: str, path: str, **how: Any) -> ObjectWatch:
            part = what if what == NODES else "pods"
            return ObjectWatch(
                cluster, path, partial(tell, what), lambda seconds, why: gap(f"{WATCH}{part}", seconds, why), **how
            )

        def pods(what: str, group: Pods) -> list[ObjectWatch]:
            how = {"keep": pod_sight, "shape": POD_LIST, "labels": group.selector}
            return [watch(what, path_of("pods", name), **how) for name in group.namespaces]

        self._nodes = watch(NODES, path_of(NODES), keep=node_sight)
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
        with self._lock:
            now = self._last_change
            if self._looked is None or self._looked[0] is not now:
                seen = Survey(
                    nodes=_records([self._nodes]),
                    pods={tier: _records(group) for tier, group in self._tier_pods.items()},
                    gateways=_records(self._gateways),
                    gpus=self.gpus,
                )
                names = seen.names(self._settings, self._workloads, self._looked[1] if self._looked else None)
                inventory = seen.inventory(names, self._settings, self._workloads, self._ranks)
                pods = (seen.by_uid.get(slot.ref.uid) for slot in names.replicas.values())
                replicas = tuple(map(self._lived, inventory.replicas, pods))
                self._looked = (now, names, replace(inventory, replicas=replicas))
            return self._looked[1:]

    def untold(self) -> bool:
        """Whether a ready pod of a tier has a GPU that nobody has told the number of."""
        return bool(self.gpus) and any(
            pod.ready and pod.name not in self.gpus for group in self._tier_pods.values() for pod in _records(group)
        )

    def learn(self, gpus: Mapping[str, int]) -> bool:
        """Take up the GPUs of pods that have come since; whether there was any."""
        new = {**self.gpus, **gpus} != self.gpus
        if new:
            self.gpus = {**self.gpus, **gpus}
            self._last_change = object()
        return new

    def _lived(self, replica: ReplicaState, pod: PodRecord | None) -> ReplicaState:
        lives = self._lives.setdefault(replica.name, _Lives())
        if pod is not None:
            lives.see(pod)
        return replace(replica, restarts=lives.restarts, generation=lives.pods)


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


def _records(watches: Iterable[ObjectWatch]) -> tuple[Any, ...]:
    return tuple(sight.record for watch in watches for sight in list(watch.objects.values()))
