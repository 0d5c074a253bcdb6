"""What is in a cluster, as far as a drill has to do with it: listed once, by the document's selectors and in pages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from tierdrill.documents.models.kubernetes import KubernetesSettings, Pods
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.base import GpuState, Inventory, NodeState, ReplicaState
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.names import NameTable, Slot, table_of
from tierdrill.targets.kubernetes.records import (
    NODE_LIST,
    POD_LIST,
    BudgetRecord,
    NodeRecord,
    PodRecord,
    WorkloadRecord,
    budget_of,
    node_of,
    pod_of,
    workload_of,
)

NOT_FOUND = 404
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WITHOUT_WORD = "unknown"
"""The state of what is on a node that says nothing any more."""
SCALED = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


@dataclass(frozen=True)
class Survey:
    """One look at a cluster. `namespaces` are the labels of each that the document names, None where it is not there;
    `pods` are by tier; `scaled` are the names of workloads that a HorizontalPodAutoscaler changes; `own_node` is where
    this process runs itself, if it does in the cluster; `gpus` are the numbers of those that pods have, by the pods'
    names, where the environment's names ask for it.
    """

    nodes: tuple[NodeRecord, ...] = ()
    namespaces: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    pods: Mapping[str, tuple[PodRecord, ...]] = field(default_factory=dict)
    gateways: tuple[PodRecord, ...] = ()
    workloads: tuple[WorkloadRecord, ...] = ()
    budgets: tuple[BudgetRecord, ...] = ()
    scaled: frozenset[tuple[str, str, str]] = frozenset()
    own_node: str | None = None
    gpus: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str | None, NodeRecord]:
        """The nodes by their real names."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def tier_of(self) -> Mapping[str, str]:
        """The tier of each pod, by its uid."""
        return {pod.uid: tier for tier, pods in self.pods.items() for pod in pods}

    @cached_property
    def by_uid(self) -> Mapping[str, PodRecord]:
        """The pods of tiers and gateways."""
        return {pod.uid: pod for pods in (*self.pods.values(), self.gateways) for pod in pods}

    def names(self, settings: KubernetesSettings, workloads: Workloads, before: NameTable | None = None) -> NameTable:
        """Which object each of the documents' names stands for; see table_of."""
        desired = {(one.kind, one.name): one.desired for one in self.workloads}
        return table_of(settings, workloads, self.nodes, self.pods, self.gateways, desired, before, self.gpus)

    def _gpu(self, names: NameTable, pod: PodRecord) -> int | None:
        """By its number among the drill's names."""
        number = self.gpus.get(pod.name)
        return None if number is None else int(names.alias("gpu", f"{pod.node}/{number}").rpartition("/")[2])

    def inventory(
        self, names: NameTable, settings: KubernetesSettings, workloads: Workloads, ranks: Mapping[str, int]
    ) -> Inventory:
        """What the names stand for. A replica whose pod is gone has no place; of what is on a node that says nothing
        the state is not known. A node that has gone is not in it.
        """
        nodes = {node.uid: node for node in self.nodes}
        mine = {alias: nodes[ref.uid] for alias, ref in names.nodes.items() if ref.uid in nodes}
        tiers = {model.name: model.tier for model in workloads.models}

        def replica(alias: str, slot: Slot) -> ReplicaState:
            pod, model = self.by_uid.get(slot.ref.uid), alias.rpartition("-")[0]
            host = None if pod is None or pod.node is None else self.by_name.get(pod.node)
            heard = host is None or host.ready == "True"
            state = "unplaced" if pod is None else pod.state if heard else WITHOUT_WORD
            return ReplicaState(
                name=alias,
                model=model,
                tier=tiers[model],
                rank=ranks[tiers[model]],
                node=None if pod is None or pod.node is None else names.alias("node", pod.node),
                gpu=None if pod is None else self._gpu(names, pod),
                state=state,
                ready=state == "ready",
                restarts=0 if pod is None else pod.restarts,
                generation=0,
            )

        return Inventory(
            nodes=tuple(
                NodeState(alias, one.ready == "True", one.cordoned, one.boot_id) for alias, one in mine.items()
            ),
            gpus=tuple(gpu for alias, node in mine.items() for gpu in _gpus(alias, node, settings.gpu.resource)),
            replicas=tuple(replica(alias, slot) for alias, slot in names.replicas.items()),
            gateways=tuple(names.gateways),
        )


def pods_in(cluster: Cluster, settings: KubernetesSettings, tiers: Iterable[str] | None = None) -> Survey:
    """The pods of these tiers (None: all of the document's) and of the gateways, and nothing else."""
    return Survey(
        pods={tier: _pods(cluster, settings.tiers[tier]) for tier in (settings.tiers if tiers is None else tiers)},
        gateways=_pods(cluster, settings.gateways) if settings.gateways is not None else (),
    )


def look(cluster: Cluster, settings: KubernetesSettings, tiers: Iterable[str] | None = None) -> Survey:
    """As `pods_in`, and the nodes."""
    nodes = cluster.records(path_of("nodes"), node_of, NODE_LIST)
    return replace(pods_in(cluster, settings, tiers), nodes=nodes)


def survey(cluster: Cluster, settings: KubernetesSettings, tiers: Iterable[str] | None = None) -> Survey:
    """As `look`, and what else a plan has to know. TargetError where the cluster refuses."""
    names = settings.namespaces
    return replace(
        look(cluster, settings, tiers),
        namespaces={name: _labels(cluster, name) for name in (*names, settings.namespace)},
        workloads=tuple(
            workload
            for kind, path in SCALED.items()
            for name in names
            for workload in cluster.records(path_of(path, name, group="apps"), partial(workload_of, kind))
        ),
        budgets=tuple(
            budget
            for name in names
            for budget in cluster.records(path_of("poddisruptionbudgets", name, group="policy"), budget_of)
        ),
        scaled=frozenset(
            (name, target.get("kind", ""), target.get("name", ""))
            for name in names
            for raw in cluster.pages(path_of("horizontalpodautoscalers", name, group="autoscaling", version="v2"))
            for target in [raw["spec"]["scaleTargetRef"]]
        ),
        own_node=_own_node(cluster),
    )


def pods_on(cluster: Cluster, nodes: Sequence[str]) -> dict[str, tuple[PodRecord, ...]]:
    """Every pod that is on these nodes and has not ended, whosever it is, by the node's real name."""
    return {
        name: tuple(
            pod
            for pod in cluster.records(path_of("pods"), pod_of, POD_LIST, fields=f"spec.nodeName={name}")
            if not pod.ended
        )
        for name in nodes
    }


def _pods(cluster: Cluster, group: Pods) -> tuple[PodRecord, ...]:
    lists = (
        cluster.records(path_of("pods", name), pod_of, POD_LIST, labels=group.selector) for name in group.namespaces
    )
    return tuple(pod for pods in lists for pod in pods if not pod.ended)


def _gpus(alias: str, node: NodeRecord, resource: str) -> Iterator[GpuState]:
    """By number: the last are those that the node's device plugin does not offer any more."""
    capacity, usable = (int(has.get(resource, 0)) for has in (node.capacity, node.allocatable))
    for index in range(capacity):
        state = WITHOUT_WORD if node.ready != "True" else "healthy" if index < usable else "defective"
        yield GpuState(f"{alias}/{index}", alias, index, "", state, emulated=False)


def _labels(cluster: Cluster, namespace: str) -> Mapping[str, str] | None:
    try:
        labels: Mapping[str, str] = cluster.get(path_of("namespaces", name=namespace))["metadata"].get("labels") or {}
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None
    return labels


def _own_node(cluster: Cluster) -> str | None:
    if not OWN_NAMESPACE.is_file():
        return None
    pod = cluster.get(path_of("pods", OWN_NAMESPACE.read_text().strip(), os.environ.get("HOSTNAME", "")))
    return str(pod["spec"].get("nodeName") or "") or None
