"""A cluster of two nodes with two tiers, served by the stand-in API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import KUBE_SYSTEM, FakeApi, serving, workloads_of
from tierdrill.targets.kubernetes.fault_port import KubernetesPort

ALLOWED = {"tierdrill.io/drills": "allowed"}
RUN = "some-drill-20261129-120000-abcd"
PODS = "/api/v1/namespaces/serving/pods"
NODES = "/api/v1/nodes"


def pod(name: str, node: str, tier: str, owner: str = "assistant-7d4f") -> dict[str, Any]:
    """A pod of a ReplicaSet, ready."""
    return {
        "metadata": {
            "name": name,
            "namespace": "serving",
            "labels": {"tier": tier, "pod-template-hash": owner.rpartition("-")[2]},
            "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "uid": "r", "controller": True}],
        },
        "spec": {"nodeName": node, "priority": 1000, "priorityClassName": tier, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.fixture
def api() -> FakeApi:
    """The cluster's objects."""
    api = FakeApi()
    api.put("/api/v1/namespaces/serving", {"metadata": {"labels": ALLOWED}})
    api.put("/api/v1/namespaces/tierdrill", {})
    for number in (1, 2):
        api.put(
            f"{NODES}/worker-{number}",
            {
                "metadata": {"labels": ALLOWED},
                "spec": {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
        )
    sets = "/apis/apps/v1/namespaces/serving/replicasets"
    for owner, tier in (("assistant-7d4f", "critical"), ("batch-99aa", "best-effort")):
        template = {"spec": {"priorityClassName": tier, "containers": []}}
        workload = f"/apis/apps/v1/namespaces/serving/deployments/{owner.partition('-')[0]}"
        api.put(workload, {"spec": {"replicas": 2, "template": template}, "status": {"readyReplicas": 2}})
        api.put(f"{sets}/{owner}", {"spec": {"replicas": 2}, "status": {"readyReplicas": 2}})
        for number in (1, 2):
            name = f"{owner}-{number}"
            api.put(f"{PODS}/{name}", pod(name, f"worker-{number}", tier, owner))
    return api


@pytest.fixture
def kubeconfig(api: FakeApi, tmp_path: Path) -> Iterator[Path]:
    """Where the API is served."""
    with serving(api, tmp_path) as path:
        yield path


def ref(api: FakeApi, path: str, kind: str) -> dict[str, str]:
    """As the place holds it."""
    meta = (api.find(path) or {})["metadata"]
    return {"kind": kind, "namespace": meta.get("namespace", ""), "name": meta["name"], "uid": meta["uid"]}


@pytest.fixture
def place(api: FakeApi, kubeconfig: Path) -> dict[str, Any]:
    """The place as the ledger would hold it."""
    tiers = {name: {"namespaces": ["serving"], "selector": f"tier={name}"} for name in ("critical", "best-effort")}
    names = {f"node-{number}": ref(api, f"{NODES}/worker-{number}", "Node") for number in (1, 2)}
    names |= {f"assistant-{number}": ref(api, f"{PODS}/assistant-7d4f-{number}", "Pod") for number in (1, 2)}
    names |= {f"batch-{number}": ref(api, f"{PODS}/batch-99aa-{number}", "Pod") for number in (1, 2)}
    return {
        "target": "kubernetes",
        "environment": "fake",
        "kubeconfig": str(kubeconfig),
        "context": None,
        "cluster": KUBE_SYSTEM,
        "namespace": "tierdrill",
        "settings": {"tiers": tiers},
        "ranks": {"critical": 1, "best-effort": 3},
        "workloads": workloads_of({"assistant": "critical", "batch": "best-effort"}),
        "names": names,
    }


@pytest.fixture
def port(place: dict[str, Any]) -> KubernetesPort:
    """The cluster as a place of faults."""
    return KubernetesPort(place)
