"""A foreign remediator is judged by what the API shows of it: present, absent, wrong node, late, twice, on a blip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.foreign_remediator import CONDITION, ForeignRemediator, judged
from tests.foreign_remediator_cases import Judge, RemediatorCases
from tests.judge.build import shipped
from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, PODS, pod
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.judge.verdict import Verdict
from tierdrill.targets.kubernetes.connect import Cluster

TIERS = {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}


@pytest.fixture
def look(api: FakeApi, kubeconfig: Path) -> Judge:
    """Judge a remediator with these switches in a history with those."""
    documents = shipped()
    mine = tuple(model for model in documents.workloads.models if model.name == "assistant")
    workloads = documents.workloads.model_copy(update={"models": mine})

    def replaced(verb: str, path: str, found: dict[str, Any]) -> None:
        """As a ReplicaSet does it."""
        if verb == "DELETED" and path.startswith(PODS):
            other = "worker-1" if found["spec"]["nodeName"] == "worker-2" else "worker-2"
            api.put(f"{path}x", pod(f"{found['metadata']['name']}x", other, found["metadata"]["labels"]["tier"]))

    api.react = replaced

    def condition(there: bool) -> None:
        told = [{"type": "Ready", "status": "True"}, {"type": CONDITION, "status": "True" if there else "False"}]
        api.change(f"{NODES}/worker-2", lambda node: node["status"].update(conditions=told), "node-problem-detector")

    def play(*, present: bool = True, history: Any = None, **switches: Any) -> Verdict:
        cluster = Cluster(str(kubeconfig))
        remediator = ForeignRemediator(cluster, "serving", **switches) if present else None
        settings = KubernetesSettings.model_validate({"tiers": TIERS})
        return judged(cluster, settings, (documents.tiers, workloads), remediator, condition, **(history or {}))

    return play


class TestRemediator(RemediatorCases):
    other = "worker-1"
    blip_s = 1.0
