"""Whether a cluster is as an environment's document says, and what drills would find there. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.base import Finding, TargetError
from tierdrill.targets.kubernetes.agents import agent_pod
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.drill_permissions import denied
from tierdrill.targets.kubernetes.guard import namespace_refused, node_refused, owners, pod_refused
from tierdrill.targets.kubernetes.lease import DrillLease, LeaseState
from tierdrill.targets.kubernetes.manifests.load_jobs import load_jobs
from tierdrill.targets.kubernetes.manifests.warden_job import warden_job
from tierdrill.targets.kubernetes.monitoring_client import gpus_of_pods
from tierdrill.targets.kubernetes.names import NameTable
from tierdrill.targets.kubernetes.permissions import Permission
from tierdrill.targets.kubernetes.survey import Survey, survey
from tierdrill.text import listed, plural

FORBIDDEN = 403
NOT_ALLOWED = "cannot create resource"
RUN = "check"


@dataclass(frozen=True)
class ClusterCheck:
    """What was found: the cluster, each check, what the names stand for, and what is worth knowing."""

    server: str
    version: str
    uid: str
    findings: tuple[Finding, ...]
    names: NameTable
    remarks: tuple[str, ...]


def check_cluster(environment: Environment, workloads: Workloads, needs: Iterable[Permission]) -> ClusterCheck:
    """Ask the cluster; ApiError where it cannot be reached, TargetError where it is another one."""
    settings = environment.kubernetes
    if settings is None:
        raise TargetError(f"environment {environment.metadata.name} has no kubernetes section")
    cluster = Cluster.of(settings)
    try:
        uid = cluster.fingerprint()
        version = str(cluster.get("/version").get("gitVersion", "unknown"))
        missing = denied(cluster, settings, needs)
        advice = "" if settings.cluster else f"; kubernetes.cluster: {uid} keeps drills from any other cluster"
        findings = [Finding("cluster", True, f"{cluster.server}, {version}, uid {uid}{advice}")]
        findings += [Finding("permission", False, f"denied: {one}") for one in missing]
        findings += [] if missing else [Finding("permissions", True, "all that are needed")]
        try:
            there = survey(cluster, settings)
            names = replace(there, gpus=gpus_of_pods(environment)).names(settings, workloads)
            findings += [*_places(settings, there), *_tiers(settings, there), *_pods(cluster, settings, there)]
            lease = DrillLease(cluster, settings.namespace).look()
            if lease.halt:
                findings.append(Finding("kill switch", False, f"on: {lease.halt}"))
        except TargetError as error:
            if isinstance(error, ApiError) and error.status != FORBIDDEN:
                raise
            findings.append(Finding("inventory", False, str(error)))
            return ClusterCheck(cluster.server, version, uid, tuple(findings), NameTable(), ())
    finally:
        cluster.close()
    return ClusterCheck(cluster.server, version, uid, tuple(findings), names, tuple(_remarks(there, lease)))


def _places(settings: KubernetesSettings, there: Survey) -> list[Finding]:
    found = []
    for name in settings.namespaces:
        why = namespace_refused(settings, name, there.namespaces[name])
        found.append(Finding(f"namespace {name}", not why, why or "has opted in"))
    own = there.namespaces[settings.namespace] is not None
    advice = "is there" if own else "is missing; `tierdrill kubernetes rbac` prints it"
    found.append(Finding(f"namespace {settings.namespace}", own, advice))
    refused = {node.name: node_refused(settings, node, there.own_node) for node in there.nodes}
    may = [name for name, why in refused.items() if not why]
    ready = sum(node.ready == "True" for node in there.nodes)
    told = f"{len(may)} of {len(refused)} may be drilled, {ready} are ready"
    if not may:
        told += f": {next(iter(refused.values()), 'there is none')}"
    found.append(Finding("nodes", bool(may), told))
    return found


def _tiers(settings: KubernetesSettings, there: Survey) -> list[Finding]:
    found = []
    for tier, pods in there.pods.items():
        group = settings.tiers[tier]
        where = f"{group.selector} in {listed(group.namespaces)}"
        ready = sum(pod.ready for pod in pods)
        refused = [why for pod in pods if (why := pod_refused(settings, pod))]
        hosts = len({pod.node for pod in pods if pod.node})
        told = f"{plural(len(pods), 'pod')}, {ready} ready, on {plural(hosts, 'node')} ({where})"
        found.append(Finding(f"tier {tier}", bool(pods) and not refused, "; ".join([told, *refused[:1]])))
        lacking = [pod.name for pod in pods if group.container not in (None, *(one.name for one in pod.containers))]
        if lacking:
            found.append(Finding(f"tier {tier}", False, f"no container {group.container} in {listed(lacking, 4)}"))
    first: dict[str, str] = {}
    for tier, pods in there.pods.items():
        if both := [f"{pod.name} ({first[pod.uid]} too)" for pod in pods if first.setdefault(pod.uid, tier) != tier]:
            found.append(Finding(f"tier {tier}", False, f"pods of another tier: {listed(both, 4)}"))
    if settings.gateways is not None:
        ready = sum(pod.ready for pod in there.gateways)
        told = f"{plural(len(there.gateways), 'pod')}, {ready} ready ({settings.gateways.selector})"
        found.append(Finding("gateways", bool(there.gateways), told))
    return found


def _pods(cluster: Cluster, settings: KubernetesSettings, there: Survey) -> Iterator[Finding]:
    """Whether the API server would take the pods that drills start: it is asked by a dry run."""
    if settings.image is None:
        yield Finding("image", False, "none named; kubernetes.image is what the pods that drills start are made from")
        return
    if there.namespaces[settings.namespace] is None:
        return
    node = next((one.name for one in there.nodes if not node_refused(settings, one, there.own_node)), None)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": RUN, "uid": RUN}
    job = warden_job(settings.image, RUN, {}, owner, "program", {}, (), 1.0)
    pods = {"warden": {**job["spec"]["template"], "metadata": {"name": "warden-check"}}}
    if node is not None and settings.agent == "per-run":
        pods["agent"] = agent_pod(settings, RUN, node)
        pods["scout"] = agent_pod(settings, RUN, None)
    if settings.load is not None:
        _, workers = load_jobs(settings.load, RUN, {}, owner, (), 1.0)
        pods["load"] = {**workers["spec"]["template"], "metadata": {"name": "load-check"}}
    path = path_of("pods", settings.namespace)
    for name, pod in pods.items():
        try:
            cluster.send("POST", path, {"apiVersion": "v1", "kind": "Pod", **pod}, query={"dryRun": "All"})
            yield Finding(f"{name} pod", True, "would be admitted")
        except ApiError as error:
            if error.status == FORBIDDEN and NOT_ALLOWED in str(error):
                yield Finding(f"{name} pod", True, "not tried: it takes the permission to create pods there")
            elif error.status:
                yield Finding(f"{name} pod", False, str(error))
            else:
                raise


def _remarks(there: Survey, lease: LeaseState) -> Iterable[str]:
    if lease.holder:
        yield f"{lease.holder} holds the Lease, last renewed {lease.renewed}"
    zones: dict[str, list[bool]] = {}
    for node in there.nodes:
        zones.setdefault(node.zone or "none", []).append(node.ready == "True")
    for zone, ready in sorted(zones.items()):
        yield f"zone {zone}: {sum(ready)} of {plural(len(ready), 'node')} ready"
    for one in there.budgets:
        told = f"PodDisruptionBudget {one.namespace}/{one.name} allows {plural(one.allowed, 'disruption')}"
        yield f"{told} now ({one.healthy} healthy, {one.wanted} wanted)"
    hosted = {pod.workload for pods in there.pods.values() for pod in pods}
    yield from owners(there, [one for one in there.workloads if (one.kind, one.name) in hosted])
