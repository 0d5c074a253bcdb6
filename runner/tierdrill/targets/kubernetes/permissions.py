"""What the Kubernetes API must allow us: each part says what it needs, and roles, checks and docs derive from that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tierdrill.documents.models.kubernetes import KubernetesSettings

Scope = Literal["cluster", "drilled", "exporter", "own", "kube-node-lease", "default"]
"""In the whole cluster; in each namespace of the document's tiers, gateways and exporter; in the exporter's alone; in
tierdrill's own; in the one where nodes renew their leases, and in that where Kubernetes writes its Events about nodes.
"""
CLUSTER_UID_AT = "kube-system"
READING = ("get", "list", "watch")


@dataclass(frozen=True, order=True)
class Permission:
    """One verb on one kind of resource. `names`: on the objects of these names only. `undo`: the warden, which undoes
    faults when nobody else can, needs it as well.
    """

    resource: str
    verb: str
    group: str = ""
    subresource: str = ""
    scope: Scope = "cluster"
    names: tuple[str, ...] = ()
    undo: bool = False

    def __str__(self) -> str:
        """`patch nodes`, `create pods/eviction`, `list deployments.apps`."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}/{self.subresource}" if self.subresource else f"{self.verb} {kind}"

    @property
    def changes_nodes(self) -> bool:
        """Whether it is about more than reading nodes."""
        return self.resource == "nodes" and self.verb not in READING

    def namespaces(self, settings: KubernetesSettings) -> tuple[str | None, ...]:
        """Where it is needed; None is the whole cluster."""
        if self.scope == "cluster":
            return (None,)
        if self.scope == "drilled":
            return settings.namespaces
        if self.scope == "exporter":
            return () if settings.exporter is None else settings.exporter.namespaces
        return (settings.namespace if self.scope == "own" else self.scope,)


def may(
    resource: str,
    *verbs: str,
    group: str = "",
    subresource: str = "",
    scope: Scope = "cluster",
    names: tuple[str, ...] = (),
    undo: bool = False,
) -> tuple[Permission, ...]:
    """The permissions for several verbs on one resource."""
    return tuple(Permission(resource, verb, group, subresource, scope, names, undo) for verb in verbs)


def reading(settings: KubernetesSettings) -> tuple[Permission, ...]:
    """What `check` and every plan need: to see the nodes, and what runs in the namespaces that the document names.

    Pods are listed in the whole cluster, because a node takes all of its pods with it.
    """
    named = (*settings.namespaces, settings.namespace, CLUSTER_UID_AT)
    return (
        *may("nodes", "list"),
        *may("namespaces", "get", names=tuple(sorted(set(named)))),
        *may("pods", "list"),
        *may("pods", "get", scope="own"),
        *may("leases", "get", group="coordination.k8s.io", scope="own"),
        *may("poddisruptionbudgets", "list", group="policy", scope="drilled"),
        *may("deployments", "list", group="apps", scope="drilled"),
        *may("statefulsets", "list", group="apps", scope="drilled"),
        *may("horizontalpodautoscalers", "list", group="autoscaling", scope="drilled"),
    )


def merged(needed: Iterable[Permission]) -> tuple[Permission, ...]:
    """Each permission once, in order; what the warden needs too is not said twice."""
    found: dict[Permission, Permission] = {}
    for one in needed:
        key = replace(one, undo=False)
        found[key] = replace(one, undo=one.undo or (key in found and found[key].undo))
    return tuple(found[key] for key in sorted(found))
