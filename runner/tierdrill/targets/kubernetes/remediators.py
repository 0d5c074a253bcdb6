"""What known remediation tools leave in a cluster's API, by which what they do can be seen.

What every tool does to nodes and pods (cordon, taint, evict) is seen anyway; here is what is a tool's own: custom
resources, and labels of nodes by which it tells how far it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.permissions import Permission, may

Raw = Mapping[str, Any]
NODE_NAME = "spec.nodeName"
OWN_NAME = "metadata.name"


@dataclass(frozen=True)
class CustomResource:
    """A kind of custom resource by which a tool works; `node` is the path of the node's name in it, "" for none.

    `done` is what it says once it has succeeded, as `external.observe` wants it. `drilled`: it stands beside what it is
    about, so that those in the drilled namespaces matter and no others.
    """

    kind: str
    plural: str
    group: str
    node: str = ""
    done: str = ""
    drilled: bool = False

    @property
    def name(self) -> str:
        """`RebootNode.janitor.dgxc.nvidia.com`."""
        return f"{self.kind}.{self.group}"

    @property
    def permissions(self) -> tuple[Permission, ...]:
        return may(self.plural, "list", "watch", group=self.group, scope="drilled" if self.drilled else "cluster")

    def paths(self, version: str, namespaces: Iterable[str]) -> tuple[str, ...]:
        """Where those are listed that matter where these namespaces are drilled."""
        where = namespaces if self.drilled else (None,)
        return tuple(path_of(self.plural, one, group=self.group, version=version) for one in where)

    def node_of(self, raw: Raw) -> str:
        """The real name of the node that one of them is about."""
        value: Any = raw
        for part in self.node.split(".") if self.node else ():
            value = value.get(part) if isinstance(value, Mapping) else None
        told = raw["metadata"].get("annotations") or {}
        return str(told.get("remediation.medik8s.io/node-name") or (value if isinstance(value, str) else ""))


@dataclass(frozen=True)
class Remediator:
    """A tool: its resources, patterns of the node labels that are its own, and the field managers that it goes by."""

    name: str
    resources: tuple[CustomResource, ...] = ()
    labels: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    """As its documentation and defaults give them: a Go program goes by its file's name, a Python one by
    OpenAPI-Generator.
    """


def _janitor(kind: str, plural: str, done: str) -> CustomResource:
    return CustomResource(kind, plural, "janitor.dgxc.nvidia.com", NODE_NAME, done)


def _medik8s(kind: str, plural: str, group: str, node: str = OWN_NAME) -> CustomResource:
    return CustomResource(kind, plural, f"{group}.medik8s.io", node, "conditions[Succeeded]=True")


REMEDIATORS = (
    Remediator(
        "nvsentinel",
        (
            _janitor("RebootNode", "rebootnodes", "conditions[NodeReady]=True"),
            _janitor("TerminateNode", "terminatenodes", "conditions[NodeTerminated]=True"),
            _janitor("GPUReset", "gpuresets", "conditions[Complete]=True"),
            CustomResource(
                "ExternalRemediationRequest",
                "externalremediationrequests",
                "nvsentinel.dgxc.nvidia.com",
                NODE_NAME,
                "conditions[ExternalRemediationComplete]=True",
            ),
        ),
        ("dgxc.nvidia.com/nvsentinel-state", "k8saas.nvidia.com/*"),
        ("fault-quarantine*", "node-drainer*", "fault-remediation*", "janitor*"),
    ),
    Remediator("draino", managers=("draino*",)),
    Remediator(
        "medik8s",
        (
            _medik8s("SelfNodeRemediation", "selfnoderemediations", "self-node-remediation"),
            _medik8s("FenceAgentsRemediation", "fenceagentsremediations", "fence-agents-remediation"),
            _medik8s("MachineDeletionRemediation", "machinedeletionremediations", "machine-deletion-remediation"),
            CustomResource(
                "NodeMaintenance", "nodemaintenances", "nodemaintenance.medik8s.io", NODE_NAME, "phase=Succeeded"
            ),
        ),
        ("remediation.medik8s.io/*",),
        ("manager",),
    ),
    Remediator("robusta", managers=("OpenAPI-Generator",)),
    Remediator(
        "kueue",
        (CustomResource("Workload", "workloads", "kueue.x-k8s.io", "", "conditions[Admitted]=True", drilled=True),),
        managers=("kueue*",),
    ),
    Remediator(
        "argo",
        (CustomResource("Workflow", "workflows", "argoproj.io", "", "phase=Succeeded"),),
        managers=("workflow-controller", "argo*"),
    ),
)
RESOURCES = tuple(resource for tool in REMEDIATORS for resource in tool.resources)
LABELS = tuple(pattern for tool in REMEDIATORS for pattern in tool.labels)


def told_label(key: str) -> bool:
    """Whether a node's label is one by which a tool tells how far it is."""
    return any(fnmatchcase(key, pattern) for pattern in LABELS)


def resource_of(name: str) -> CustomResource:
    """That of a kind by its name with the group; of one that no known tool has, by how such are usually made."""
    kind, _, group = name.partition(".")
    known = next((one for one in RESOURCES if one.name == name), None)
    return known or CustomResource(kind, f"{kind.lower()}s", group, NODE_NAME)
