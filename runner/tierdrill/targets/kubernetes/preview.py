"""What a drill's faults come to in a cluster as it is now: which objects they hit, what goes with them, and what speaks
against it. The cluster is only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.faults.blast_radius import ConcurrentFaults
from tierdrill.faults.known_kinds import KINDS
from tierdrill.targets.base import FaultOrder, Preview, TargetError
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.drill_permissions import denied, needed
from tierdrill.targets.kubernetes.fault_port import faults_of
from tierdrill.targets.kubernetes.guard import (
    Objections,
    budget_objections,
    can_host,
    homeless,
    moves,
    namespace_refused,
    network_refused,
    node_refused,
    owners,
    pod_refused,
    repair_objections,
    zone_objections,
)
from tierdrill.targets.kubernetes.monitoring_client import gpus_of_pods
from tierdrill.targets.kubernetes.records import NodeRecord, PodRecord
from tierdrill.targets.kubernetes.survey import Survey, pods_on, survey
from tierdrill.text import listed, plural

DOWN = frozenset(kind for kind, one in KINDS.items() if one.pods == "lost")
"""The kinds by which a node stops being ready, and all that is on it with it."""
EVICTING = frozenset(kind for kind, one in KINDS.items() if one.pods == "evicted")
HOSTS_MAX = 12
"""So many other nodes are asked what is on them, to see whether there is room."""


def preview(setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview:
    """What these faults, which stand so many seconds, come to now; TargetError where the cluster cannot be asked."""
    settings = setting.environment.kubernetes
    if settings is None:
        raise TargetError(f"environment {setting.environment.metadata.name} has no kubernetes section")
    cluster = Cluster.of(settings)
    try:
        uid = cluster.fingerprint()
        permissions = needed(settings, [order.kind for order in orders], setting.custom_resources)
        missing = denied(cluster, settings, permissions)
        there = survey(cluster, settings, _tiers(setting, settings, orders))
        there = replace(there, gpus=gpus_of_pods(setting.environment))
        look = _Look(setting, settings, cluster, there)
        found = [look.at(order) for order in orders]
    finally:
        cluster.close()
    against = sum((objections for _, objections in found), Objections())
    down = [node.name for order in orders if order.kind in DOWN and (node := look.node(order.target)) is not None]
    if down:
        against += zone_objections(there.nodes, down) + repair_objections(settings, fault_s)
    falls = {order.target: words for order, (words, _) in zip(orders, found, strict=True)}
    real = {alias: _real(ref) for alias, ref in look.names.plain().items()}
    return Preview(f"{cluster.server}, uid {uid}", real, falls, missing, against.refusals, against.remarks)


def _tiers(setting: DrillSetting, settings: KubernetesSettings, orders: Iterable[FaultOrder]) -> list[str]:
    """Those that the drill has to do with: it sends them load, expects something of them, or hits what is theirs."""
    models = {model.name: model.tier for model in setting.workloads.models}
    found = [stream.tier for stream in setting.drill.load.streams] + [one.tier for one in setting.drill.expect.tiers]
    found += [models.get(order.target.rpartition("-")[0], order.target) for order in orders]
    found += [choice.hosting for choice in settings.names.values() if choice.hosting is not None]
    found += [models[choice.serves] for choice in settings.names.values() if choice.serves in models]
    return [tier for tier in dict.fromkeys(found) if tier in settings.tiers]


def _real(ref: Mapping[str, str]) -> str:
    return f"{ref['namespace']}/{ref['name']}" if ref["namespace"] else ref["name"]


class _Look:
    """The faults of one plan, one after the other."""

    def __init__(self, setting: DrillSetting, settings: KubernetesSettings, cluster: Cluster, there: Survey) -> None:
        self._settings, self._cluster, self._there = settings, cluster, there
        self._limits = setting.environment.limits
        self.names = there.names(settings, setting.workloads)
        ranks = {tier.name: tier.rank for tier in setting.tiers.tiers}
        self._layout = there.inventory(self.names, settings, setting.workloads, ranks).layout
        self._on: dict[str, tuple[PodRecord, ...]] = {}

    def node(self, target: str) -> NodeRecord | None:
        """The node that a target is, or has in it; None where there is none of that name."""
        ref = self.names.nodes.get(target.partition("/")[0])
        return None if ref is None else self._there.by_name.get(ref.name)

    def at(self, order: FaultOrder) -> tuple[tuple[str, ...], Objections]:
        """What goes with the target, in words, and what speaks against the fault."""
        reach = ConcurrentFaults(self._limits, self._layout)
        refusals = [str(violation) for violation in reach.add(order.kind, order.target)]
        if faults_of(self._settings)[order.kind].keeper == "agent" and self._settings.agent == "forbidden":
            refusals.append(f"{order.kind} needs an agent on a node, and kubernetes.agent is forbidden")
        if order.target_kind == "stream":  # it is the load's own, and nothing of the cluster
            return (), Objections(tuple(refusals))
        looks = {"tier": self._tier, "link": self._link}
        words, more = looks.get(order.target_kind, self._object)(order)
        return words, Objections(tuple(refusals)) + more

    def _tier(self, order: FaultOrder) -> tuple[tuple[str, ...], Objections]:
        pods = self._there.pods.get(order.target)
        if pods is None:
            return (), Objections((f"the environment has no kubernetes.tiers.{order.target}",))
        hit = {pod.workload for pod in pods}
        workloads = [one for one in self._there.workloads if (one.kind, one.name) in hit]
        words = tuple(f"{one.kind} {one.namespace}/{one.name}, {plural(one.desired, 'pod')}" for one in workloads)
        return words, self._refused(pods) + Objections((), owners(self._there, workloads))

    def _link(self, order: FaultOrder) -> tuple[tuple[str, ...], Objections]:
        """Broken in the network of the gateway's pod, or at its far end where the gateway's node may not be drilled."""
        ends = order.target.split(">")
        gateway = next((self.names.gateways[one].ref for one in ends if one in self.names.gateways), None)
        node = next((node for one in ends if (node := self.node(one)) is not None), None)
        if gateway is None or node is None:
            told = f"got link {order.target}, on a cluster expected one between a gateway and a node"
            return (), Objections((told,))
        pod = self._there.by_uid.get(gateway.uid)
        host = self._there.by_name.get(pod.node) if pod is not None else None
        if pod is None or host is None:
            return (), Objections((f"{gateway} is gone",))
        near = not node_refused(self._settings, host, self._there.own_node)
        served = [one for pods in self._there.pods.values() for one in pods if one.node == node.name]
        hit = [pod] if near else served
        against = self._refused([pod, *hit])
        against += Objections((node_refused(self._settings, node, self._there.own_node), *map(network_refused, hit)))
        return tuple(f"in the network of {_real(one.ref.plain())}" for one in hit), against

    def _object(self, order: FaultOrder) -> tuple[tuple[str, ...], Objections]:
        node, pod, against = self.node(order.target), None, Objections()
        if order.target_kind in ("replica", "gateway"):
            alias = order.target
            slots = self.names.pods
            pod = self._there.by_uid.get(slots[alias].ref.uid) if alias in slots else None
            if pod is None:
                return (), Objections((self._unknown(alias),))
            told = faults_of(self._settings)[order.kind].keeper == "gateway"  # and nothing is done on its node
            against += self._refused([pod], with_nodes=not told)
        elif node is None:
            return (), Objections((self._unknown(order.target.partition("/")[0]),))
        if node is not None:
            against += Objections((node_refused(self._settings, node, self._there.own_node),))
        falling = self._falling(order, node, pod)
        evicts = order.kind in EVICTING
        if evicts or order.kind in DOWN:
            against += budget_objections(self._there.budgets, falling, evicts=evicts) + self._room(falling)
            against += self._refused([one for one in falling if moves(one)], everywhere=True)
        return self._words(falling), against

    def _unknown(self, alias: str) -> str:
        try:
            return f"{self.names.ref(alias)} ({alias}) is gone"
        except TargetError as error:
            return str(error)

    def _falling(self, order: FaultOrder, node: NodeRecord | None, pod: PodRecord | None) -> list[PodRecord]:
        if pod is not None:
            return [pod]
        if node is None or (order.kind not in DOWN | EVICTING and order.target_kind != "gpu"):
            return []
        found = self._pods_on(node.name)
        if order.target_kind == "gpu":
            return [one for one in found if one.requests.get(self._settings.gpu.resource)]
        return [one for one in found if order.kind in DOWN or moves(one)]

    def _pods_on(self, name: str) -> tuple[PodRecord, ...]:
        if name not in self._on:
            self._on |= pods_on(self._cluster, [name])
        return self._on[name]

    def _refused(self, pods: Iterable[PodRecord], *, with_nodes: bool = False, everywhere: bool = False) -> Objections:
        """Why these pods may not be hit. `everywhere`: they go with their node, whoever's they are, which is worth
        knowing of namespaces that have not opted in.
        """
        refusals, remarks = [], []
        for pod in pods:
            labels = self._there.namespaces.get(pod.namespace, {})
            of_namespace = namespace_refused(self._settings, pod.namespace, labels)
            if of_namespace and everywhere:
                remarks.append(f"{pod.ref} goes too, and its namespace has not opted in")
            elif of_namespace:
                refusals.append(of_namespace)
            host = self._there.by_name.get(pod.node) if with_nodes else None
            refusals.append(node_refused(self._settings, host, self._there.own_node) if host is not None else "")
            refusals.append(pod_refused(self._settings, pod))
        return Objections(tuple(refusals), tuple(remarks))

    def _room(self, falling: Sequence[PodRecord]) -> Objections:
        """Whether what has to go elsewhere would fit there, on a few nodes that are asked."""
        going = [pod for pod in falling if moves(pod) and self._there.tier_of.get(pod.uid)]
        lost = {pod.node for pod in falling}
        hosts = [node for node in self._there.nodes if node.name not in lost and can_host(node)]
        asked = hosts[:HOSTS_MAX]
        left = homeless(going, asked, {host.name: self._pods_on(host.name) for host in asked}) if going else []
        if not left:
            return Objections()
        where = f"on {len(asked)} of the {len(hosts)} other nodes" if len(hosts) > len(asked) else "anywhere else"
        told = listed([f"{pod.name} ({self._there.tier_of.get(pod.uid)})" for pod in left], 4)
        return Objections((), (f"no room {where}, by requests, for {told}",))

    def _words(self, falling: Sequence[PodRecord]) -> tuple[str, ...]:
        """The pods by the names of the documents, with the share of each tier; others by how many they are."""
        mine = sorted(
            (tier, self.names.alias("replica", pod.name), _real(pod.ref.plain()))
            for pod in falling
            if (tier := self._there.tier_of.get(pod.uid)) is not None
        )
        words = [f"{alias} ({real}, {tier})" for tier, alias, real in mine]
        for tier in dict.fromkeys(tier for tier, _, _ in mine):
            count, of = sum(one == tier for one, _, _ in mine), len(self._there.pods[tier])
            words.append(f"{tier}: {count} of {plural(of, 'pod')} ({count / of:.0%})")
        rest = len(falling) - len(mine)
        return (*words, *([plural(rest, "other pod")] if rest else []))
