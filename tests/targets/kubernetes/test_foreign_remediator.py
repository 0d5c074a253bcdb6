"""A foreign remediator is judged by what the API shows of it: present, absent, wrong node, late, twice, on a blip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.foreign_remediator import CONDITION, ForeignRemediator, judged, of, wrong
from tests.judge.build import shipped
from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, PODS, pod
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.judge.verdict import Status, Verdict
from tierdrill.targets.kubernetes.connect import Cluster

TIERS = {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}
Judge = Callable[..., Verdict]


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


def test_present_it_passes_every_check(look: Judge) -> None:
    found = look()
    assert set(of(found).values()) == {Status.PASSED}
    assert {"fired", "cause", "target", "deadline", "count", "effect", "given-back"} <= set(of(found))


def test_absent_it_never_ran(look: Judge) -> None:
    assert {"fired", "target", "count"} <= wrong(look(present=False))


def test_on_the_wrong_node_it_fails_by_its_target_and_has_no_cause(look: Judge) -> None:
    assert {"target", "cause"} <= wrong(look(on="worker-1"))


def test_late_it_fails_by_its_deadline_alone(look: Judge) -> None:
    assert wrong(look(history={"late_s": 9.0})) == {"deadline", "effect"}


def test_twice_it_fails_by_its_count(look: Judge) -> None:
    assert "count" in wrong(look(times=2))


@pytest.mark.parametrize(("hold_s", "silent"), [(0.0, False), (30.0, True)], ids=["hasty", "patient"])
def test_on_a_blip_only_one_that_waits_stays_silent(look: Judge, hold_s: float, silent: bool) -> None:
    found = look(history={"variant": "blip", "lasts_s": 1.0}, hold_s=hold_s)
    assert ("silent" in wrong(found)) is not silent
    assert (found.check("playbook/all/silent") is not None) is silent
