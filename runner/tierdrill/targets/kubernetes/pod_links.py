"""Links on a cluster: from a gateway's pod to the pods of a node, broken in the network of the gateway's pod."""

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
    ready_replicas,
    told,
)
from tierdrill.targets.kubernetes.agents import agent_on
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, find, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there

PROBES = 12
"""So many connections at a time show what happens to a share of them."""
WITNESS = "a caller in the gateway's own network"

Results = Sequence[Mapping[str, Any]]


def link_fault(
    text: str,
    kind: str,
    settings: Callable[[Parameters], Mapping[str, Any]],
    faulty: Callable[[Results, Parameters], bool],
    well: Callable[[Results, Parameters], bool],
    within_s: Callable[[Parameters], float] = lambda p: 0.5,
) -> KubernetesFault:
    """A fault of a link: what the agent's program is told, and by which results of probes it is seen there and gone."""

    def aim(place: Place, p: Parameters) -> Found:
        gateway, node = _ends(place, p)
        replicas = ready_replicas(place, node.name)
        if not replicas:
            raise TargetError(f"no ready pod of a tier is on {p['destination']}: nothing goes over that link")
        probe = {"to": probe_of(*replicas[0])["to"]}
        own = find(place.cluster, path_of("nodes", name=node.name)) or {}
        host = host_of(place, gateway)
        facts = {"pod": gateway.ref.plain(), "probes": [probe] * PROBES}
        before = _probed(place, {**p, **facts}, host.name, 1.0)
        if not all("connect_ms" in one for one in before):
            raise TargetError(f"{p['source']} does not reach {p['destination']} as it is: {told(before[:1])}")
        peers = {"peers": _peers(own, [raw["status"]["podIP"] for raw, _ in replicas])}
        facts["before_ms"] = sorted(one["connect_ms"] for one in before)[PROBES // 2]
        return [Aim(host, kind, {"pod": gateway.uid}, {**peers, **settings(p)})], facts

    def landed(place: Place, p: Parameters) -> Proof:
        return look(place, p, faulty)

    def gone(place: Place, p: Parameters) -> Proof:
        if still_there(place, p["pod"]) is None:
            return seen(True, KUBELET, f"pod {p['pod']['name']} is gone, and its network with it")
        return look(place, p, well)

    def look(place: Place, p: Parameters, is_so: Callable[[Results, Parameters], bool]) -> Proof:
        results = _probed(place, p, p["agents"][0]["node"]["name"], within_s(p))
        return seen(is_so(results, p), WITNESS, _summary(results))

    return agent_fault(text, aim, landed, gone)


def _ends(place: Place, p: Parameters) -> tuple[Any, Any]:
    if p["source"] not in place.names.gateways or p["destination"] not in place.names.nodes:
        raise TargetError(
            f"got link {p['source']}>{p['destination']}, on a cluster expected one from a gateway to a node"
        )
    return drilled.pod(place, p["source"]), drilled.node(place, p["destination"])


def _peers(node: Mapping[str, Any], addresses: Sequence[str]) -> list[str]:
    """The node's networks for pods where these are in them, and so those that come later; else these alone."""
    networks = [ipaddress.ip_network(one) for one in (node.get("spec") or {}).get("podCIDRs") or ()]
    if all(any(ipaddress.ip_address(one) in network for network in networks) for one in addresses):
        return [str(one) for one in networks]
    return sorted(addresses)


def _probed(place: Place, p: Parameters, node: str, within_s: float) -> list[dict[str, Any]]:
    line = agent_on(place, p["run"], node, p["lease_s"])
    asked = {"target": {"pod": p["pod"]["uid"]}, "probes": p["probes"], "within_s": within_s}
    return list(line.order("probe", **asked)["results"])


def _summary(results: Results) -> str:
    times = sorted(one["connect_ms"] for one in results if "connect_ms" in one)
    errors = sorted({str(one["error"]) for one in results if "error" in one})
    words = [f"{len(times)} of {len(results)} connections"]
    words += [f"in {times[0]:.0f} to {times[-1]:.0f} ms"] if times else []
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
