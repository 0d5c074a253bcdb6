"""Emulated GPUs of a cluster's nodes, which report what their exporter's file of overrides says (as nvml-mock does).

The agent changes the file, and the witness is what the exporter tells a scout of the GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    MECHANISM,
    SCOUT,
    Aim,
    Found,
    agent_fault,
    container_of,
    exporters_on,
    probe_of,
    raw_pod,
    scouted,
)
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there


def gpu_fault(text: str, overrides: Callable[[Parameters], Mapping[str, Any]], metric: str) -> KubernetesFault:
    """A fault of an emulated GPU by these overrides. `metric` is a regular expression of a line of the exporter's that
    is there with the fault only; `{labels}` in it stands for the GPU's.
    """

    def aim(place: Place, p: Parameters) -> Found:
        file = place.settings.gpu.overrides
        if file is None:
            raise TargetError("the environment has no kubernetes.gpu.overrides: its GPUs are not emulated ones")
        node = drilled.node(place, p["node"])
        pods = exporters_on(place, node.name)
        if len(pods) != 1:
            raise TargetError(f"got {len(pods)} exporters on {p['node']} ({node.name}), expected one")
        drilled.refuse_pods(place, pods)
        name, _ = container_of(place, pods[0], None)
        labels = rf'\{{[^}}]*gpu="{p["gpu"]}"[^}}]*\}}'
        find = f"^{metric.replace('{labels}', labels)}"
        probe = {**probe_of(raw_pod(place, pods[0]), name), "path": "/metrics", "find": find}
        wanted = {"file": file, "gpu": p["gpu"], "set": dict(overrides(p))}
        aim = Aim(node, "overrides", {"pod": pods[0].uid}, wanted)
        return [aim], {"pod": pods[0].ref.plain(), "probes": [probe]}

    def landed(place: Place, p: Parameters) -> Proof:
        [result] = scouted(place, p)
        return seen(result.get("found") is True, SCOUT, _told(p, result))

    def gone(place: Place, p: Parameters) -> Proof:
        if still_there(place, p["pod"]) is None:
            return seen(True, KUBELET, "the exporter was replaced, and its emulated GPUs with it")
        [result] = scouted(place, p)
        return seen(result.get("found") is False, SCOUT, _told(p, result))

    return agent_fault(f"emulated GPU: {text}", aim, landed, gone, times=replace(MECHANISM, emulated=True))


def _told(p: Parameters, result: Mapping[str, Any]) -> str:
    where = f"GPU {p['node']}/{p['gpu']} at {result['to']}"
    if "error" in result:
        return f"{where}: {result['error']}"
    return f"{where} {'shows it' if result.get('found') else 'does not show it'}"
