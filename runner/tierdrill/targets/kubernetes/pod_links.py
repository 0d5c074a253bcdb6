"""Links on a cluster, between a gateway's pod and the pods of a node: broken in the network of the gateway's, and where
its node may not be drilled, in those of the pods at the far end that are there now.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    Aim,
    Found,
    agent_fault,
    host_of,
    probe_of,
    raw_pod,
    ready_replicas,
    told,
)
from tierdrill.targets.kubernetes.agents import agent_on
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.guard import network_refused, node_refused
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, find, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there
from tierdrill.targets.kubernetes.records import NodeRecord, PodRecord, pod_of

PROBES = 12
"""So many connections at a time show what happens to a share of them."""

Results = Sequence[Mapping[str, Any]]


def link_fault(
    text: str,
    kind: str,
    settings: Callable[[Parameters, bool], Mapping[str, Any]],
    faulty: Callable[[Results, Parameters], bool],
    well: Callable[[Results, Parameters], bool],
    within_s: Callable[[Parameters], float] = lambda p: 0.5,
    request: Callable[[Parameters], Mapping[str, Any]] = lambda p: {},
) -> KubernetesFault:
    """A fault of a link: what the agent's program is told, and by which results of probes it is seen there and gone.

    `settings` also gets whether that is at the link's source, which what it carries leaves. Probes only connect, unless
    `request` says what they ask for.
    """

    def aim(place: Place, p: Parameters) -> Found:
        gateway, node = _ends(place, p)
        replicas = ready_replicas(place, node.name)
        if not replicas:
            raise TargetError(f"no ready pod of a tier is on {node.name}: nothing goes over that link")
        host = host_of(place, gateway)
        near = not node_refused(place.settings, host)
        if near:
            own = find(place.cluster, path_of("nodes", name=node.name)) or {}
            ends, peers = [gateway], _peers(own, [raw["status"]["podIP"] for raw, _ in replicas])
            probe = probe_of(*replicas[0])
        else:
            ends, peers = [pod_of(raw) for raw, _ in replicas], [gateway.ip]
            probe = probe_of(raw_pod(place, gateway), gateway.containers[0].name)
        drilled.refuse_pods(place, [gateway, *ends])
        if why := next(filter(None, map(network_refused, ends)), ""):
            raise TargetError(why)
        facts: Parameters = {
            "ends": [one.ref.plain() for one in ends],
            "host": (host if near else node).name,
            "probes": [{"to": probe["to"], **request(p)}] * PROBES,
        }
        before = _probed(place, {**p, **facts}, ends[0].uid, max(1.0, within_s(p)))
        if failed := [one for one in before if "connect_ms" not in one]:
            words = f"{len(failed)} of {PROBES} connections failed: {told(failed[:1])}"
            raise TargetError(f"{p['source']} and {p['destination']} do not meet as it is: {words}")
        facts["before_ms"] = sorted(one["connect_ms"] for one in before)[PROBES // 2]
        if request(p) and not well(before, {**p, **facts}):
            raise TargetError(f"{p['source']} and {p['destination']} are as slow as it is: {_summary(before)}")
        outward = near == (p["source"] in place.names.gateways)
        wanted = {"peers": peers, **settings(p, outward)}
        return [Aim(host if near else node, kind, {"pod": one.uid}, wanted) for one in ends], facts

    def landed(place: Place, p: Parameters) -> Proof:
        return look(place, p, faulty)

    def gone(place: Place, p: Parameters) -> Proof:
        return look(place, p, well)

    def look(place: Place, p: Parameters, is_so: Callable[[Results, Parameters], bool]) -> Proof:
        end = next((one for one in p["ends"] if still_there(place, one) is not None), None)
        if end is None:
            return seen(is_so is well, KUBELET, "its pods are gone, and their networks with them")
        results = _probed(place, p, end["uid"], within_s(p))
        return seen(is_so(results, p), f"a caller in the network of pod {end['name']}", _summary(results))

    return agent_fault(text, aim, landed, gone)


def _ends(place: Place, p: Parameters) -> tuple[PodRecord, NodeRecord]:
    ends = (p["source"], p["destination"])
    gateway = next((one for one in ends if one in place.names.gateways), None)
    host = next((one for one in ends if one in place.names.nodes), None)
    if gateway is None or host is None:
        raise TargetError(f"got link {'>'.join(ends)}, on a cluster expected one between a gateway and a node")
    ref = place.names.ref(gateway)
    found = find(place.cluster, path_of("pods", ref.namespace, ref.name))
    if found is None or found["metadata"]["uid"] != ref.uid or not drilled.lives(found):
        raise TargetError(f"{ref} ({gateway}) was replaced since; nothing was touched")
    return pod_of(found), drilled.node(place, host)


def _peers(node: Mapping[str, Any], addresses: Sequence[str]) -> list[str]:
    """The node's networks for pods where these are in them, and so those that come later; else these alone."""
    networks = [ipaddress.ip_network(one) for one in (node.get("spec") or {}).get("podCIDRs") or ()]
    if all(any(ipaddress.ip_address(one) in network for network in networks) for one in addresses):
        return [str(one) for one in networks]
    return sorted(addresses)


def _probed(place: Place, p: Parameters, uid: str, within_s: float) -> list[dict[str, Any]]:
    line = agent_on(place, p["run"], p["host"], p["lease_s"])
    asked = {"target": {"pod": uid}, "probes": p["probes"], "within_s": within_s}
    return list(line.order("probe", **asked)["results"])


def _summary(results: Results) -> str:
    times = sorted(one["connect_ms"] for one in results if "connect_ms" in one)
    answers = sorted(one["answer_ms"] for one in results if "answer_ms" in one)
    errors = sorted({str(one["error"]) for one in results if "error" in one})
    words = [f"{len(times)} of {len(results)} connections"]
    words += [f"in {times[0]:.0f} to {times[-1]:.0f} ms"] if times else []
    words += [f"and answers in {answers[0]:.0f} to {answers[-1]:.0f} ms"] if answers else []
    return f"{' '.join(words)}{', ' if errors else ''}{', '.join(errors)}"


def connected(results: Results, p: Parameters) -> bool:
    """Every connection was made."""
    return all("connect_ms" in one for one in results)


def prompt(results: Results, p: Parameters) -> bool:
    """Every connection was made about as fast as before."""
    limit = p["before_ms"] + float(p["delay_ms"] if "delay_ms" in p else p["jitter_ms"]) / 2
    return connected(results, p) and all(one["connect_ms"] <= limit for one in results)


def none(error: str) -> Callable[[Results, Parameters], bool]:
    """No connection was made, and all for this reason."""
    return lambda results, p: all(one.get("error") == error for one in results)
