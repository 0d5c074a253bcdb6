"""A foreign remediator on real nodes is judged as it is on the stand-in API: by what the cluster's API shows of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.api_witness import ApiWitness, pod_ready
from tests.cluster.conftest import ClusterInUse
from tests.cluster.drilled_workloads import ALLOWED
from tests.cluster.pod_image import pod_image
from tests.foreign_remediator import CONDITION, ForeignRemediator, judged
from tests.foreign_remediator_cases import Judge, RemediatorCases
from tests.judge.build import shipped
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.judge.verdict import Verdict
from tierdrill.targets.kubernetes.connect import Cluster, path_of

pytestmark = pytest.mark.cluster
NODE, ALL = "node-2", {"node-1", "node-2", "node-3"}
ATTEMPTS = 5
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture(scope="module")
def namespace(cluster: ClusterInUse) -> Iterator[str]:
    """One with three replicas of the critical tier, one on each node."""
    name = f"remediated-{secrets.token_hex(3)}"
    api = cluster.api
    api.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    labels = {"tier": "critical"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "nodeSelector": ALLOWED,
        "terminationGracePeriodSeconds": 0,
        "topologySpreadConstraints": [spread],
        "containers": [{"name": "serve", **pod_image().container, "command": ["sleep", "3600"]}],
    }
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    path = f"/apis/apps/v1/namespaces/{name}/deployments"
    api.send("POST", path, {"metadata": {"name": "assistant"}, "spec": spec})
    try:
        yield name
    finally:
        api.send("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def look(cluster: ClusterInUse, namespace: str) -> Iterator[Judge]:
    """Judge a remediator with these switches in a history with those."""
    if cluster.rig is None:
        pytest.skip("needs the rig, whose nodes may be cordoned and drained")
    api, ours = cluster.api, Cluster(str(cluster.kubeconfig))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spread_out(api, pods)
    documents = shipped()
    mine = tuple(model for model in documents.workloads.models if model.name == "assistant")
    workloads = documents.workloads.model_copy(update={"models": mine})
    tiers = {"critical": {"namespaces": [namespace], "selector": "tier=critical"}}
    settings = KubernetesSettings.model_validate({"tiers": tiers})

    def condition(there: bool) -> None:
        told = {"type": CONDITION, "status": "True" if there else "False", "reason": "Test"}
        query = {"fieldManager": "node-problem-detector"}
        path = path_of("nodes", name=NODE, subresource="status")
        ours.send("PATCH", path, {"status": {"conditions": [told]}}, content_type=STRATEGIC, query=query)

    def play(*, present: bool = True, history: Any = None, **switches: Any) -> Verdict:
        remediator = ForeignRemediator(ours, namespace, **switches) if present else None
        return judged(ours, settings, (documents.tiers, workloads), remediator, condition, **(history or {}))

    try:
        yield play
    finally:
        condition(False)
        for node in ALL:
            api.send("PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})


def spread_out(api: ApiWitness, pods: str) -> None:
    """Put those that an earlier test has moved away on the nodes again, one on each."""
    for _ in range(ATTEMPTS):
        api.send("DELETE", pods)
        found = api.wait(pods, lambda found: len(found) == len(ALL) and all(map(pod_ready, found.values())))
        if {pod["spec"]["nodeName"] for pod in found.values()} == ALL:
            return
    pytest.fail(f"{pods}: never one on each of {', '.join(sorted(ALL))}")


class OnNodes:
    other = "node-1"
    blip_s = 2.0


class TestRemediator(OnNodes):
    test_present_it_passes_every_check = RemediatorCases.test_present_it_passes_every_check
    test_on_the_wrong_node_it_fails = RemediatorCases.test_on_the_wrong_node_it_fails_by_its_target_and_has_no_cause


@pytest.mark.slow
class TestEveryCase(OnNodes, RemediatorCases):
    """The stand-in API's tests have each of them, too."""
