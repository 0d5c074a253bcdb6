"""What a run sees of its cluster as it goes on: the GPUs of pods that were there when it began, and of later ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import PODS, pod
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.kubernetes.cluster_view import ClusterView
from tierdrill.targets.kubernetes.connect import Cluster

PATIENCE_S = 30.0


@pytest.fixture
def changed() -> threading.Condition:
    return threading.Condition()


@pytest.fixture
def view(kubeconfig: Path, changed: threading.Condition) -> Iterator[ClusterView]:
    """Of a cluster whose only tier is served by the model `assistant`; everything was listed."""
    tiers = {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}
    settings = KubernetesSettings.model_validate(
        {"tiers": tiers, "models": {"assistant": {"pod-template-hash": "7d4f"}}}
    )
    _, served, workloads = environment_setting(shipped_catalogue(), "lab")

    def moved(*_: object) -> None:
        with changed:
            changed.notify_all()

    found = ClusterView(Cluster(str(kubeconfig)), settings, served, workloads, moved, lambda *gap: None)
    found.gpus = {"assistant-7d4f-1": 0, "assistant-7d4f-2": 1}
    following = [threading.Thread(target=watch.run, daemon=True) for watch in found.watches]
    for one in following:
        one.start()
    found.await_lists()
    yield found
    found.close()
    for one in following:
        one.join(PATIENCE_S)


def gpus(view: ClusterView) -> list[int]:
    return sorted(one.gpu for one in view.look()[1].replicas if one.gpu is not None)


def until(changed: threading.Condition, wanted: Callable[[], bool]) -> None:
    with changed:
        assert changed.wait_for(wanted, PATIENCE_S)


def test_the_gpu_of_a_pod_that_came_since_is_learned(
    api: FakeApi, view: ClusterView, changed: threading.Condition
) -> None:
    assert gpus(view) == [0, 1] and not view.untold()
    api.put(f"{PODS}/assistant-7d4f-9", pod("assistant-7d4f-9", "worker-2", "critical"))
    until(changed, view.untold)
    assert view.learn({"assistant-7d4f-9": 3}) and not view.untold()
    assert gpus(view) == [0, 1, 3]
    assert not view.learn({"assistant-7d4f-9": 3})


def test_where_no_name_asks_for_gpus_nobody_is_asked(view: ClusterView) -> None:
    view.gpus = {}
    assert not view.untold()
    assert gpus(view) == []
