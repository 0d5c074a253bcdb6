"""A cluster for the playbook engine: facts, and what its API and the gateways can do to mend it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tierdrill.remedies.facts import FACTS
from tierdrill.remedies.known_remedies import REMEDIES, implemented
from tierdrill.targets.base import Inventory, RemedyResult, TargetError
from tierdrill.targets.kubernetes.actor_watch import OwnDeeds
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_facts import ClusterFacts, named_in
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.gateway_admin import GatewayAdmin
from tierdrill.targets.kubernetes.nodes import cordon, fenced, read_node, uncordon
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.power import commands_for, cycle
from tierdrill.targets.kubernetes.records import NodeRecord, ObjectRef, PodRecord, node_of, pod_of
from tierdrill.text import listed

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import KubernetesSettings, Pods
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.targets.kubernetes.names import NameTable

Arguments = dict[str, Any]
EVICT_AGAIN_S, STUCK_S = 1.0, 8.0
METRICS_S = 1.5
"""In so long an exporter has to tell its metrics."""
TOO_MANY, GONE, CONFLICT = 429, 404, 409
BUDGET, DEPLOYMENT = "DisruptionBudget", "Deployment"
HEALTH, FAILURE = "DCGM_EXP_GPU_HEALTH_STATUS", 20
"""DCGM's word for a GPU whose health is bad."""
NEEDS = (
    *may("pods", "delete", scope="drilled"),
    *may("pods", "create", subresource="eviction", scope="drilled"),
    *may("pods", "get", subresource="proxy", scope="drilled"),
    *may("nodes", "get", "patch", undo=True),
)


class ClusterRemedies(ClusterFacts):
    """RemedyPort over one cluster: the methods named after remedies carry them out."""

    def __init__(
        self,
        cluster: Cluster,
        settings: KubernetesSettings,
        tiers: Tiers,
        names: Callable[[], NameTable],
        look: Callable[[], Inventory],
        admin: GatewayAdmin | None,
        deeds: OwnDeeds | None = None,
    ) -> None:
        super().__init__(look, names, admin)
        self._cluster, self._settings, self._deeds = cluster, settings, deeds or OwnDeeds()
        self._ranks = {tier.name: tier.rank for tier in tiers.tiers}

    async def inventory(self) -> Inventory:
        return self._look()

    async def fact(self, name: str, subject: str) -> Any:
        look = _FACTS.get(name)
        if look is None:
            known = listed(sorted(_FACTS))
            raise TargetError(f"fact of {subject!r}: {name} is not known of a cluster, expected {known}")
        return await asyncio.to_thread(look, self, subject)

    async def remedy(self, action: str, arguments: Arguments) -> RemedyResult:
        work = _REMEDIES.get(action)
        if work is None:
            raise TargetError(f"remedy {action} is not offered on Kubernetes, expected {listed(sorted(_REMEDIES))}")
        if arguments.get("gpu") is not None and REMEDIES[action].target == "place":
            raise TargetError(f"{action}: Kubernetes takes whole nodes out of service, not a GPU")
        found: RemedyResult = await work(self, arguments)
        return found

    def exporter_lost(self, source: str) -> bool:
        """The node is well, and no exporter on it has metrics."""
        if not self.node_ready(source):
            return False
        node, group = self._names().ref(source), self._settings.exporter
        if group is None:
            raise TargetError("exporter.lost is known only where kubernetes.exporter says which pods those are")
        return not any(map(self._tells, self._pods_on(node.name, [group])))

    def gpu_state(self, gpu: str) -> str:
        """By what its node's exporter says of its health; where none says anything, by what the kubelet offers."""
        state = str(named_in(self._look().gpus, gpu).state)
        node, group = self._names().ref(gpu), self._settings.exporter
        if group is None or not self.node_ready(gpu.partition("/")[0]):
            return state
        number = self._names().real_gpu(gpu).rpartition("/")[2]
        for pod in self._pods_on(node.name, [group]):
            for health in map(_gpu_health, filter(None, self._metrics(pod))):
                if number in health:
                    return "defective" if health[number] >= FAILURE else "healthy"
        return state

    def _tells(self, pod: PodRecord) -> bool:
        return any(text is not None for text in self._metrics(pod))

    def _metrics(self, pod: PodRecord) -> Iterable[str | None]:
        """What each port of an exporter answers; None where it does not."""
        raw = self._cluster.get(path_of("pods", pod.namespace, pod.name))
        for port in [port["containerPort"] for one in raw["spec"]["containers"] for port in one.get("ports") or ()]:
            try:
                where = f"{pod.name}:{port}"
                yield self._cluster.through(pod.namespace, where, "GET", "metrics", within_s=METRICS_S)
            except ApiError:
                yield None

    async def notify(self, arguments: Arguments) -> RemedyResult:
        return RemedyResult(True, str(arguments.get("message", "")))

    async def restart_replica(self, arguments: Arguments) -> RemedyResult:
        """Its controller makes another pod in its place."""
        pod = self._names().ref(arguments["replica"])
        return await asyncio.to_thread(self._deleted, arguments["replica"], pod)

    replace_replica = restart_replica

    async def restart_gateway(self, arguments: Arguments) -> RemedyResult:
        gateway, names = arguments["gateway"], self._names()
        if gateway not in names.gateways:
            raise TargetError(f"got gateway {gateway!r}, expected {listed(sorted(names.gateways))}")
        return await asyncio.to_thread(self._deleted, gateway, names.ref(gateway))

    async def restart_exporter(self, arguments: Arguments) -> RemedyResult:
        node = self._names().ref(arguments["node"])
        group = [self._settings.exporter] if self._settings.exporter is not None else []
        pods = await asyncio.to_thread(lambda: [*self._pods_on(node.name, group)])
        if not pods:
            return RemedyResult(False, f"no exporter runs on {node.name}")
        done = [await asyncio.to_thread(self._deleted, pod.name, pod.ref) for pod in pods]
        return RemedyResult(all(one.ok for one in done), "; ".join(one.detail for one in done))

    async def cordon(self, arguments: Arguments) -> RemedyResult:
        node = self._names().ref(arguments["node"])
        return RemedyResult(True, await asyncio.to_thread(cordon, self._cluster, node))

    async def uncordon(self, arguments: Arguments) -> RemedyResult:
        node = self._names().ref(arguments["node"])
        self._deeds.expect("uncordon", node.uid)
        if await asyncio.to_thread(uncordon, self._cluster, node):
            return RemedyResult(True, f"{node.name} takes pods again")
        self._deeds.expect("uncordon", node.uid, -1)
        return RemedyResult(True, f"{node.name} was not cordoned by tierdrill")

    async def drain(self, arguments: Arguments) -> RemedyResult:
        """Cordon, then evict what serves tiers, the least important first; waits as long as budgets forbid it."""
        node = self._names().ref(arguments["node"])
        await asyncio.to_thread(cordon, self._cluster, node)
        return await self._evicted(await asyncio.to_thread(self._meant, node, arguments))

    async def reschedule(self, arguments: Arguments) -> RemedyResult:
        """What a lost node ran is made anew elsewhere. Pods of a Deployment are deleted as Kubernetes itself does it:
        the node ends them should it come back. Others are let go only once it cannot run them any more: two of a
        stateful pod would be worse than none.
        """
        node = self._names().ref(arguments["node"])
        now = await asyncio.to_thread(read_node, self._cluster, node)
        pods = await asyncio.to_thread(self._meant, node, arguments)
        if now.ready == "True":
            return await self._evicted(pods)
        fence = await asyncio.to_thread(fenced, now, self._settings)
        alone = [pod.name for pod in pods if pod.workload is None or pod.workload[0] != DEPLOYMENT]
        if alone and not fence:
            why = "no kubernetes.power says that it is off, and it has no taint node.kubernetes.io/out-of-service"
            return RemedyResult(False, f"{node.name} is not ready and may still run {listed(alone, 4)}: {why}")
        done = [await asyncio.to_thread(self._deleted, pod.name, pod.ref, bool(fence)) for pod in pods]
        names = ", ".join(pod.name for pod in pods) or "nothing"
        ok = all(one.ok for one in done)
        told = f"{fence or f'{node.name} is not ready'}; taken off it: {names}"
        return RemedyResult(ok, told if ok else "; ".join(one.detail for one in done))

    async def rebalance(self, arguments: Arguments) -> RemedyResult:
        """Evict, one at a time, what a node has more of a workload than another that could take it."""
        surplus = await asyncio.to_thread(self._surplus)
        return await self._evicted(surplus)

    async def power_cycle(self, arguments: Arguments) -> RemedyResult:
        node = self._names().ref(arguments["node"])
        if self._settings.power is None:
            raise TargetError("the environment's document has no kubernetes.power")
        commands = commands_for(self._settings.power.model_dump(), node.name)
        await asyncio.to_thread(cycle, commands)
        return RemedyResult(True, f"{node.name} was power-cycled")

    async def set_weight(self, arguments: Arguments) -> RemedyResult:
        node, gateway = str(arguments["node"]), arguments.get("gateway")
        where = self._names().ref(node).name
        if "gpu" in arguments:
            where = self._names().real_gpu(f"{node}/{arguments['gpu']}")
        weights = {where: float(arguments["weight"])}
        await self._tell("weights", weights, gateway)
        return RemedyResult(True, f"{where} weighs {weights[where]:g} at {gateway or 'all gateways'}")

    async def shed(self, arguments: Arguments) -> RemedyResult:
        await self._tell("shed", {arguments["tier"]: float(arguments["fraction"])})
        return RemedyResult(True, f"{float(arguments['fraction']):.0%} of {arguments['tier']} is shed")

    async def cap(self, arguments: Arguments) -> RemedyResult:
        """So many requests a second over all gateways; None lifts it."""
        tier, rate = str(arguments["tier"]), arguments.get("rate")
        each = None if rate is None else float(rate) / max(1, len(self._names().gateways))
        await self._tell("caps", {tier: each})
        return RemedyResult(True, f"{tier} is not capped" if rate is None else f"{tier} is held to {rate:g}/s")

    async def set_retry_budget(self, arguments: Arguments) -> RemedyResult:
        tier, ratio = str(arguments["tier"]), float(arguments["ratio"])
        await self._tell("retries", {tier: ratio})
        return RemedyResult(True, f"retries of {tier} are held to {ratio:.0%} of its requests")

    async def set_flag(self, arguments: Arguments) -> RemedyResult:
        gateway = arguments.get("gateway")
        await self._tell("flags", {arguments["flag"]: bool(arguments["value"])}, gateway)
        return RemedyResult(True, f"flag {arguments['flag']} is {arguments['value']} at {gateway or 'all gateways'}")

    async def _tell(self, what: str, changes: Arguments, gateway: str | None = None) -> None:
        if self._admin is None:
            raise TargetError(f"{what} can be set only where kubernetes.gateways.admin says how")
        await asyncio.to_thread(self._admin.tell, what, changes, gateway)

    def _deleted(self, name: str, pod: ObjectRef, at_once: bool = True) -> RemedyResult:
        options = {"preconditions": {"uid": pod.uid}} | ({"gracePeriodSeconds": 0} if at_once else {})
        self._deeds.expect("delete", pod.uid)
        try:
            self._cluster.send("DELETE", path_of("pods", pod.namespace, pod.name), options)
        except ApiError as error:
            if error.status not in (GONE, CONFLICT):
                raise
            return RemedyResult(True, f"{name} ({pod.name}) has gone already")
        return RemedyResult(True, f"{name} ({pod.name}) was deleted, to be made anew")

    def _meant(self, node: ObjectRef, arguments: Arguments) -> list[PodRecord]:
        """The pods of those tiers and models on a node, the least important tier first."""
        tiers = arguments.get("tiers") or list(self._settings.tiers)
        models, names = arguments.get("models"), self._names()
        worst_first = sorted(tiers, key=lambda tier: -self._ranks.get(tier, 0))
        return [
            pod
            for tier in worst_first
            if tier in self._settings.tiers
            for pod in self._pods_on(node.name, [self._settings.tiers[tier]])
            if not models or names.alias("replica", pod.name).rpartition("-")[0] in models
        ]

    def _pods_on(self, node: str, groups: Iterable[Pods]) -> Iterable[PodRecord]:
        for group in groups:
            for namespace in group.namespaces:
                pods = map(
                    pod_of,
                    self._cluster.pages(
                        path_of("pods", namespace), labels=group.selector, fields=f"spec.nodeName={node}"
                    ),
                )
                yield from (pod for pod in pods if not (pod.deleting or pod.ended or pod.mirror))

    async def _evicted(self, pods: Sequence[PodRecord]) -> RemedyResult:
        """Evict one after the other. A budget that forbids one is asked again for a while, and then named."""
        for number, pod in enumerate(pods):
            until = time.monotonic() + STUCK_S
            while (why := await asyncio.to_thread(self._evict, pod)) is not None:
                if time.monotonic() >= until:
                    done = listed([one.name for one in pods[:number]]) if number else "nothing"
                    return RemedyResult(False, f"{pod.name} may not be evicted: {why}; evicted: {done}")
                await asyncio.sleep(EVICT_AGAIN_S)
        return RemedyResult(True, f"evicted: {', '.join(pod.name for pod in pods) or 'nothing'}")

    def _evict(self, pod: PodRecord) -> str | None:
        """None where it is done; else what forbids it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
        }
        self._deeds.expect("evict", pod.uid)
        try:
            self._cluster.send("POST", path_of("pods", pod.namespace, pod.name, "eviction"), body)
        except ApiError as error:
            self._deeds.expect("evict", pod.uid, -1)
            if error.status == GONE:
                return None
            if error.status == TOO_MANY and BUDGET in error.causes:
                return str(error)
            raise
        return None

    def _surplus(self) -> list[PodRecord]:
        """Of each workload that has two pods more on one node than on another that takes pods, one of the first's."""
        groups = self._settings.tiers.values()
        open_to = {node.name for node in map(node_of, self._cluster.pages(path_of("nodes"))) if _takes_pods(node)}
        by_workload: dict[tuple[str, str], dict[str, list[PodRecord]]] = {}
        for node in open_to:
            for pod in self._pods_on(node, groups):
                if pod.workload is not None:
                    by_workload.setdefault(pod.workload, {name: [] for name in open_to})[node].append(pod)
        found = []
        for places in by_workload.values():
            fullest, emptiest = max(places.values(), key=len), min(places.values(), key=len)
            if len(fullest) > len(emptiest) + 1:
                found.append(fullest[-1])
        return found


def _gpu_health(metrics: str) -> dict[str, float]:
    """DCGM's word on the health of each GPU, by its number."""
    try:
        families = list(text_string_to_metric_families(metrics))
    except ValueError:
        return {}
    told = (sample for family in families if family.name == HEALTH for sample in family.samples)
    return {sample.labels["gpu"]: sample.value for sample in told if "gpu" in sample.labels}


def _takes_pods(node: NodeRecord) -> bool:
    return node.ready == "True" and not node.cordoned


_FACTS = implemented(FACTS, {**vars(ClusterFacts), **vars(ClusterRemedies)})
_REMEDIES = implemented(REMEDIES, vars(ClusterRemedies))
