"""Faults that agents do on nodes: to whom they are bound, how they are taken back, what scouts and the kernel see."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agents import ANSWER_S, NEEDS, AgentLine, RunOver, agent_on, drop_line, scout_beside
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, find, seen
from tierdrill.targets.kubernetes.permissions import Permission
from tierdrill.targets.kubernetes.pod_ends import still_there
from tierdrill.targets.kubernetes.records import NodeRecord, PodRecord, node_of, pod_of
from tierdrill.targets.kubernetes.warden_program import ENDS_IN_S

REACH_S = 4.0
"""So long an agent is asked that may be cut off by what it does."""
PROBE_S = 0.7
SECONDS = 60.0
"""So long a fault that ends by itself lasts where neither it nor a run says how long."""
SCOUT, KERNEL = "a scout on another node", "the node's kernel"
MECHANISM = Mechanism("", landed_within_s=20.0, gone_within_s=30.0, poll_s=0.3)
"""The times that most of them have."""

Found = tuple[Sequence["Aim"], Parameters]


@dataclass(frozen=True)
class Aim:
    """What one agent does: a kind of its program's, to a target on its node."""

    node: NodeRecord
    kind: str
    target: Mapping[str, Any]
    parameters: Mapping[str, Any]


def agent_fault(
    text: str,
    aim: Callable[[Place, Parameters], Found],
    landed: Callable[[Place, Parameters], Proof],
    gone: Callable[[Place, Parameters], Proof],
    *,
    times: Mechanism = MECHANISM,
    self_timed: bool = False,
    needs: tuple[Permission, ...] = (),
) -> KubernetesFault:
    """A fault by agents. `aim` gives what each has to do, and what the witnesses need to know.

    One that is `self_timed` cuts its agent off, which ends it by itself after the parameter `seconds`; where it has
    none, with the fault phase of the run.
    """

    def bind(place: Place, p: Parameters) -> Parameters:
        aims, facts = aim(place, p)
        bound = []
        for number, one in enumerate(aims):
            line = agent_on(place, p["run"], one.node.name, p["lease_s"])
            what: dict[str, Any] = {"kind": one.kind, "target": one.target, "parameters": one.parameters}
            record = line.order("bind", fault=f"{p['fault']}/{number}", **what)["record"]
            bound.append({"node": one.node.ref.plain(), "boot": one.node.boot_id, "record": record})
        lasts = {ENDS_IN_S: p.get("seconds", place.told.get("fault_s", SECONDS))} if self_timed else {}
        return {**facts, **lasts, "agents": bound, "away": sorted({one.node.name for one in aims})}

    def inject(place: Place, p: Parameters) -> None:
        planned = {"self_timed": True, "ends_in_s": p[ENDS_IN_S]} if self_timed else {}
        for one in p["agents"]:
            line = _line(place, p, one)
            line.order("arm", lease_s=p["lease_s"])
            line.order("inject", record=one["record"], **planned)

    def revert(place: Place, p: Parameters) -> str:
        said = []
        for one in p["agents"]:
            if why := _over(place, one):
                said.append(f"nothing to do, {why}")
                continue
            try:
                said.append(_reverted_in_time(place, p, one) if self_timed else _reverted(place, p, one, ANSWER_S))
            except RunOver as over:
                return f"nothing to do, {over}"
        return "; ".join(said)

    def seen_gone(place: Place, p: Parameters) -> Proof:
        try:
            return gone(place, p)
        except RunOver as over:
            return seen(True, "the run's ConfigMap", str(over))

    how = replace(times, text=text)
    return KubernetesFault(how, bind, inject, landed, seen_gone, "agent", (*NEEDS, *needs), revert)


def _reverted(place: Place, p: Parameters, one: Mapping[str, Any], answer_s: float) -> str:
    return str(_line(place, p, one).order("revert", answer_s, record=one["record"])["outcome"])


def _reverted_in_time(place: Place, p: Parameters, one: Mapping[str, Any]) -> str:
    """A line that was cut off may hang for long after: another one is tried, before the node is taken to be away."""
    for _ in range(2):
        try:
            return _reverted(place, p, one, REACH_S)
        except RunOver:
            raise
        except TargetError:
            drop_line(place, p["run"], one["node"]["name"])
    return f"not now: it ends by itself {p['seconds']} s after it began"


def _line(place: Place, p: Parameters, one: Mapping[str, Any]) -> AgentLine:
    return agent_on(place, p["run"], one["node"]["name"], p["lease_s"])


def _over(place: Place, one: Mapping[str, Any]) -> str:
    """Why nothing of a fault can be on a node any more; "" where it can."""
    name = one["node"]["name"]
    found = find(place.cluster, path_of("nodes", name=name))
    if found is None or found["metadata"]["uid"] != one["node"]["uid"]:
        return f"node {name} is gone"
    return "" if node_of(found).boot_id == one["boot"] else f"node {name} has booted since"


def kernel_sees(place: Place, p: Parameters) -> Proof:
    """Is it in effect on every node, as the kernel's own tables show it?"""
    return _kernel(place, p, all)


def kernel_sees_none(place: Place, p: Parameters) -> Proof:
    """Is it in effect on no node any more, as the kernel's own tables show it?"""
    proof = _kernel(place, p, any)
    return replace(proof, seen=not proof.seen)


def share_of_looks(place: Place, p: Parameters, looks: int, pause_s: float) -> float:
    """In which share of so many looks, at moments of no order, the kernel shows it in effect on its only node."""
    (one,) = p["agents"]
    if _over(place, one):
        return 0.0
    found = []
    for _ in range(looks):
        found.append(bool(_line(place, p, one).order("look", record=one["record"])["seen"]))
        time.sleep(random.uniform(0, pause_s))  # noqa: S311
    return sum(found) / looks


def _kernel(place: Place, p: Parameters, of_all: Callable[[list[bool]], bool]) -> Proof:
    looks, told = [], []
    for one in p["agents"]:
        if why := _over(place, one):
            looks.append(False)
            told.append(why)
            continue
        look = _line(place, p, one).order("look", record=one["record"])
        looks.append(bool(look["seen"]))
        told.append(f"{one['node']['name']}: {look['detail']}")
    return seen(of_all(looks), KERNEL, "; ".join(told))


def scouted(place: Place, p: Parameters, probes: Sequence[Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """What a scout on another node sees of the order's probes."""
    scout = scout_beside(place, p["run"], tuple(p["away"]), p["lease_s"])
    wanted = list(p["probes"] if probes is None else probes)
    return list(scout.order("probe", probes=wanted, within_s=PROBE_S)["results"])


def told(results: Sequence[Mapping[str, Any]]) -> str:
    """Results of probes in words."""
    return "; ".join(f"{one['to']}: {_result(one)}" for one in results)


def _result(one: Mapping[str, Any]) -> str:
    words = [f"connected in {one['connect_ms']:.0f} ms"] if "connect_ms" in one else []
    words += [f"HTTP {one['status']} after {one['answer_ms']:.0f} ms"] if one.get("status") else []
    return ", ".join([*words, *([str(one["error"])] if "error" in one else [])])


def well(result: Mapping[str, Any]) -> bool:
    """Whether a probe got all that it asked for."""
    return "error" not in result


def hung(result: Mapping[str, Any]) -> bool:
    """Whether somebody's kernel took a connection, and nobody answers."""
    return "connect_ms" in result and result.get("error") == "no answer"


def host_of(place: Place, pod: PodRecord) -> NodeRecord:
    """The node that a pod is on; TargetError where it has none."""
    found = None if pod.node is None else find(place.cluster, path_of("nodes", name=pod.node))
    if found is None:
        raise TargetError(f"{pod.ref} is on no node")
    return node_of(found)


def container_of(place: Place, pod: PodRecord, name: str | None) -> tuple[str, str]:
    """Name and id of a pod's container: the one that is named, else its first. TargetError where it does not run."""
    found = next((one for one in pod.containers if name in (None, one.name)), None)
    if found is None or not found.id:
        raise TargetError(f"{pod.ref}: container {name or 'of it'} is not running")
    return found.name, found.id.rpartition("/")[2]


def serving_container(place: Place, replica: str) -> tuple[PodRecord, str, str]:
    """A replica's pod, and name and id of the container that serves its tier. TargetError where it does not run."""
    pod = drilled.pod(place, replica)
    tier = drilled.tier_of(place, pod)
    return (pod, *container_of(place, pod, None if tier is None else place.settings.tiers[tier].container))


def probe_of(raw: Mapping[str, Any], container: str) -> dict[str, Any]:
    """How a caller asks a container: its readiness probe, else its first port. TargetError where it has neither."""
    spec = next(one for one in raw["spec"]["containers"] if one["name"] == container)
    ports = {str(one.get("name")): one["containerPort"] for one in spec.get("ports") or ()}
    address = (raw.get("status") or {}).get("podIP", "")
    http = (spec.get("readinessProbe") or {}).get("httpGet") or {}
    port = http.get("port", next(iter(ports.values()), None))
    if port is None or not address:
        name = raw["metadata"]["name"]
        raise TargetError(f"pod {name}: {container} has neither a port nor a readiness probe to see it by")
    host = f"[{address}]" if ":" in address else address
    probe: dict[str, Any] = {"to": f"{host}:{ports.get(str(port), port)}"}
    if http and str(http.get("scheme", "HTTP")).upper() == "HTTP":
        probe["path"] = http.get("path") or "/"
    return probe


def ready_replicas(place: Place, node: str) -> list[tuple[dict[str, Any], str]]:
    """The ready pods of the tiers on a node, as the API tells of them, each with the container that serves."""
    found = []
    for tier, told_of in place.settings.tiers.items():
        for raw in drilled.raw_tier_pods(place, tier):
            pod = pod_of(raw)
            if drilled.lives(raw) and pod.ready and pod.ip and pod.node == node:
                found.append((dict(raw), container_of(place, pod, told_of.container)[0]))
    return found


def exporters_on(place: Place, node: str) -> list[PodRecord]:
    """The pods that tell of a node's GPUs. TargetError where the environment names none."""
    exporter = place.settings.exporter
    if exporter is None:
        raise TargetError("the environment names no kubernetes.exporter")
    found = [
        pod_of(raw)
        for namespace in exporter.namespaces
        for raw in place.cluster.pages(
            path_of("pods", namespace), labels=exporter.selector, fields=f"spec.nodeName={node}"
        )
    ]
    return [one for one in found if not one.ended and not one.deleting]


def raw_pod(place: Place, pod: PodRecord) -> dict[str, Any]:
    """A pod as the API tells of it; TargetError where it is gone."""
    found = find(place.cluster, path_of("pods", pod.namespace, pod.name))
    if found is None or found["metadata"]["uid"] != pod.uid:
        raise TargetError(f"{pod.ref} was replaced since; nothing was touched")
    return found


def same_container(place: Place, p: Parameters) -> str:
    """Why a fault in the processes of the order's container can be there no more; "" where it can."""
    pod = still_there(place, p["pod"])
    if pod is None:
        return f"pod {p['pod']['name']} is gone"
    now = {one.name: one.id.rpartition("/")[2] for one in pod.containers}
    return "" if now.get(p["container"]) == p["container_id"] else f"container {p['container']} was started again"
