"""What is in a cluster, as far as a drill has to do with it: listed once, by the document's selectors and in pages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tierdrill.documents.models.kubernetes import KubernetesSettings, Pods
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.names import NameTable, table_of
from tierdrill.targets.kubernetes.records import (
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
SCALED = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


@dataclass(frozen=True)
class Survey:
    """One look at a cluster. `namespaces` are the labels of each that the document names, None where it is not there;
    `pods` are by tier; `scaled` are the names of workloads that a HorizontalPodAutoscaler changes; `own_node` is where
    this process runs itself, if it does in the cluster.
    """

    nodes: tuple[NodeRecord, ...]
    namespaces: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    pods: Mapping[str, tuple[PodRecord, ...]] = field(default_factory=dict)
    gateways: tuple[PodRecord, ...] = ()
    workloads: tuple[WorkloadRecord, ...] = ()
    budgets: tuple[BudgetRecord, ...] = ()
    scaled: frozenset[tuple[str, str, str]] = frozenset()
    own_node: str | None = None

    def node(self, name: str | None) -> NodeRecord | None:
        """The node of that real name."""
        return next((one for one in self.nodes if one.name == name), None)

    def names(self, settings: KubernetesSettings, workloads: Workloads) -> NameTable:
        """Which object each of the documents' names stands for; TargetError."""
        desired = {(one.kind, one.name): one.desired for one in self.workloads}
        return table_of(settings, workloads, self.nodes, self.pods, self.gateways, desired)


def survey(cluster: Cluster, settings: KubernetesSettings, tiers: Iterable[str] | None = None) -> Survey:
    """Look at the nodes, and at these tiers (None: all of the document's). TargetError where the cluster refuses."""
    wanted = settings.tiers if tiers is None else {name: settings.tiers[name] for name in tiers}
    names = settings.namespaces
    return Survey(
        nodes=cluster.records(path_of("nodes"), node_of),
        namespaces={name: _labels(cluster, name) for name in (*names, settings.namespace)},
        pods={tier: _pods(cluster, group) for tier, group in wanted.items()},
        gateways=_pods(cluster, settings.gateways) if settings.gateways is not None else (),
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
            pod for pod in cluster.records(path_of("pods"), pod_of, fields=f"spec.nodeName={name}") if not pod.ended
        )
        for name in nodes
    }


def _pods(cluster: Cluster, group: Pods) -> tuple[PodRecord, ...]:
    lists = (cluster.records(path_of("pods", name), pod_of, labels=group.selector) for name in group.namespaces)
    return tuple(pod for pods in lists for pod in pods if not pod.ended)


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
