"""What must be left alone in a cluster, and what a fault there would bring about beside what it is meant for. Pure.

A refusal keeps a drill from being run; a remark is worth knowing before it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tierdrill.documents.label_selectors import Selector, equal_to
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.units import show_duration
from tierdrill.targets.kubernetes.records import BudgetRecord, NodeRecord, PodRecord, WorkloadRecord
from tierdrill.targets.kubernetes.survey import Survey
from tierdrill.text import listed, plural

UNHEALTHY_SHARE, FEW_NODES, LARGE_ZONE = 0.55, 2, 50
"""Of the node lifecycle controller: from this share of a zone's nodes on, when they are more than these few, it stops
evicting from them; in a zone of more than so many nodes it only slows down.
"""
DEPLOYERS = ("argocd", "flux", "kustomize-controller", "helm-controller", "fleetagent", "kapp")
"""What field managers of tools begin with that put back what others change."""


@dataclass(frozen=True)
class Objections:
    """What speaks against a fault, in words; "" is nothing."""

    refusals: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Objections) -> Objections:
        refusals = dict.fromkeys(filter(None, (*self.refusals, *other.refusals)))
        return Objections(tuple(refusals), tuple(dict.fromkeys((*self.remarks, *other.remarks))))


def namespace_refused(settings: KubernetesSettings, name: str, labels: Mapping[str, str] | None) -> str:
    """Why nothing in a namespace with these labels (None: there is none) may be drilled; "" where it may."""
    if any(fnmatchcase(name, pattern) for pattern in settings.protected.namespaces):
        return f"namespace {name} is protected (kubernetes.protected.namespaces)"
    if labels is None:
        return f"there is no namespace {name}"
    if not settings.opted_in(labels):
        return f"namespace {name} has not opted in: it lacks the label {equal_to(settings.opt_in)}"
    return ""


def node_refused(settings: KubernetesSettings, node: NodeRecord, own_node: str | None = None) -> str:
    """Why a node may not be drilled; "" where it may."""
    if not settings.opted_in(node.labels):
        return f"node {node.name} has not opted in: it lacks the label {equal_to(settings.opt_in)}"
    shields = [one for one in settings.protected.nodes if Selector.parse(one).matches(node.labels)]
    if shields:
        return f"node {node.name} is protected (kubernetes.protected.nodes): it has {listed(shields)}"
    return f"tierdrill itself runs on node {node.name}" if node.name == own_node else ""


def pod_refused(settings: KubernetesSettings, pod: PodRecord) -> str:
    """Why a pod may not be touched, apart from its namespace and its node; "" where it may."""
    if pod.mirror:
        return f"{pod.ref} is a static pod of its node"
    if pod.priority >= settings.protected.priority_at_least:
        return f"{pod.ref} has priority {pod.priority}, protected from {settings.protected.priority_at_least} on"
    return ""


def network_refused(pod: PodRecord) -> str:
    """Why the network of a pod may not be faulted: with hostNetwork it is its node's."""
    return f"{pod.ref} has hostNetwork: its network is its node's" if pod.host_network else ""


def budgets_hit(budgets: Iterable[BudgetRecord], falling: Iterable[PodRecord]) -> dict[BudgetRecord, int]:
    """The disruption budgets that count these pods, each with how many of them."""
    pods = list(falling)
    found = {
        budget: sum(pod.namespace == budget.namespace and budget.selector.matches(pod.labels) for pod in pods)
        for budget in budgets
    }
    return {budget: count for budget, count in found.items() if count}


def budget_objections(budgets: Iterable[BudgetRecord], falling: Iterable[PodRecord], *, evicts: bool) -> Objections:
    """An eviction that a budget does not allow never ends; a failure asks no budget, and may go below it."""
    refusals: list[str] = []
    remarks: list[str] = []
    for budget, count in budgets_hit(budgets, falling).items():
        if count <= budget.allowed:
            continue
        told = (
            f"PodDisruptionBudget {budget.namespace}/{budget.name} allows {plural(budget.allowed, 'disruption')} now "
            f"({budget.healthy} healthy, {budget.wanted} wanted), and {plural(count, 'pod')} of it would go"
        )
        (refusals if evicts and budget.allowed == 0 else remarks).append(told)
    return Objections(tuple(refusals), tuple(remarks))


def zone_objections(nodes: Sequence[NodeRecord], down: Iterable[str]) -> Objections:
    """With these nodes down too: whether Kubernetes would stop evicting pods from nodes that are not ready."""
    lost = set(down) | {node.name for node in nodes if node.ready != "True"}
    zones: dict[str, list[NodeRecord]] = {}
    for node in nodes:
        zones.setdefault(node.zone, []).append(node)
    if all(node.name in lost for node in nodes):
        return Objections((f"no node would be left: all {len(nodes)} would be down",))
    refusals, remarks = [], []
    for zone, there in sorted(zones.items()):
        gone = sum(node.name in lost for node in there)
        share = gone / len(there)
        where = f"zone {zone}" if zone else "the cluster" if len(zones) == 1 else "the nodes without a zone"
        told = f"{gone} of {len(there)} nodes of {where} would be down ({share:.0%})"
        if FEW_NODES < gone < len(there) and share >= UNHEALTHY_SHARE:
            if len(there) <= LARGE_ZONE:
                refusals.append(f"{told}; from {UNHEALTHY_SHARE:.0%} on Kubernetes evicts no pod from them")
            else:
                remarks.append(f"{told}; from {UNHEALTHY_SHARE:.0%} on Kubernetes evicts from them slowly")
        elif gone > 1:
            remarks.append(told)
    return Objections(tuple(refusals), tuple(remarks))


def homeless(
    falling: Iterable[PodRecord],
    hosts: Sequence[NodeRecord],
    on_them: Mapping[str, Sequence[PodRecord]],
) -> list[PodRecord]:
    """Of the pods that would have to go elsewhere those that would not fit on these nodes, by their requests alone.

    The most important are placed first, each on the first node that has room. `on_them` are the pods that are there.
    """
    free = {
        host.name: {
            resource: amount - sum(pod.requests.get(resource, 0.0) for pod in on_them.get(host.name, ()))
            for resource, amount in host.allocatable.items()
        }
        for host in hosts
    }
    room = {host.name: host.allocatable.get("pods", 0.0) - len(on_them.get(host.name, ())) for host in hosts}
    left = []
    for pod in sorted(falling, key=lambda one: (-one.priority, -max(one.requests.values(), default=0.0), one.name)):
        for host, has in free.items():
            if room[host] >= 1 and all(has.get(what, 0.0) >= need for what, need in pod.requests.items()):
                room[host] -= 1
                free[host] = {what: amount - pod.requests.get(what, 0.0) for what, amount in has.items()}
                break
        else:
            left.append(pod)
    return left


def moves(pod: PodRecord) -> bool:
    """Whether somebody makes a pod anew elsewhere when its node is gone."""
    return not pod.mirror and pod.controller is not None and pod.controller[0] != "DaemonSet"


def can_host(node: NodeRecord) -> bool:
    """Whether pods without tolerations can be placed there now."""
    kept_out = any(effect in ("NoSchedule", "NoExecute") for _, _, effect in node.taints)
    return node.ready == "True" and not node.cordoned and not kept_out


def repair_objections(settings: KubernetesSettings, seconds: float) -> Objections:
    """Tools that replace a node before its fault is over: it would not come back, and another one would."""
    quicker = {tool: after for tool, after in settings.external_repair.items() if after <= seconds}
    return Objections(
        tuple(
            f"{tool} replaces a node after {show_duration(after)}, and the fault lasts {show_duration(seconds)}"
            for tool, after in sorted(quicker.items())
        )
    )


def owners(there: Survey, workloads: Iterable[WorkloadRecord]) -> tuple[str, ...]:
    """Who else changes these workloads, and may put back what a drill changes in them."""
    found = []
    for one in workloads:
        by = [manager for manager in one.managers if manager.lower().startswith(DEPLOYERS)]
        by += ["a HorizontalPodAutoscaler"] if (one.namespace, one.kind, one.name) in there.scaled else []
        if by:
            found.append(f"{one.kind} {one.namespace}/{one.name} is also changed by {listed(by)}")
    return tuple(found)
