"""What a feed makes of nodes and pods as an API server gives them."""

from __future__ import annotations

from typing import Any

import pytest

from tierdrill.documents.models.kubernetes import MODEL_LABEL
from tierdrill.lab.feed import pod_view
from tierdrill.lab.feed.pod_view import Served, endpoints, nodes_seen, seen, targets

MODELS = (Served("assistant", "critical", 1, 4, 2), Served("draft", "best-effort", 3, 6, 1))
BEGAN, BEFORE, LATER = "2026-03-01T10:00:10Z", "2026-03-01T10:00:05Z", "2026-03-01T10:00:20Z"
RUNNING = {"state": {"running": {"startedAt": BEGAN}}, "restartCount": 0}


def node(name: str, *, ready: str = "True", gpus: str | None = "2", **spec: Any) -> dict[str, Any]:
    capacity = {"cpu": "8"} if gpus is None else {"cpu": "8", pod_view.GPU: "2"}
    allocatable = {} if gpus is None else {pod_view.GPU: gpus}
    conditions = [{"type": "Ready", "status": ready}]
    status = {"capacity": capacity, "allocatable": allocatable, "conditions": conditions}
    return {"metadata": {"name": name, "uid": name}, "spec": spec, "status": status}


def pod(
    name: str,
    on: str | None = "node-1",
    *,
    ready: str = "True",
    part: str = "replica",
    model: str = "assistant",
    container: dict[str, Any] | None = None,
    since: str = BEFORE,
    ip: str | None = "10.0.0.7",
    phase: str = "Running",
    **metadata: Any,
) -> dict[str, Any]:
    labels = {pod_view.PART: part, pod_view.MODEL: model, "tier": "critical"}
    return {
        "metadata": {"name": name, "uid": name, "labels": labels, **metadata},
        "spec": {
            **({"nodeName": on} if on else {}),
            "containers": [{"name": "replica", "ports": [{"name": "http", "containerPort": 8000}]}],
        },
        "status": {
            **({"podIP": ip} if ip else {}),
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}],
            "containerStatuses": [] if on is None else [RUNNING if container is None else container],
        },
    }


def state_of(one: dict[str, Any], *nodes: dict[str, Any]) -> str:
    (found,) = seen(nodes or [node("node-1")], [one], MODELS).replicas
    return found.state


def test_documents_and_pods_have_one_label_for_the_model() -> None:
    assert pod_view.MODEL == MODEL_LABEL


def test_a_replica_on_a_node_that_is_not_ready_is_unknown_whatever_it_last_said() -> None:
    assert state_of(pod("a")) == "ready"
    assert state_of(pod("a"), node("node-1", ready="Unknown")) == "unknown"
    assert state_of(pod("a"), node("node-1", ready="False")) == "unknown"


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (pod("a", None, ready="False", ip=None, phase="Pending"), "unplaced"),
        (pod("a", ready="False", since=BEFORE), "starting"),
        (pod("a", ready="False", since=LATER), "unresponsive"),
        (pod("a", ready="False", container={"state": {"waiting": {"reason": "ContainerCreating"}}}), "starting"),
        (pod("a", ready="False", container={"state": {"terminated": {"exitCode": 137}}}), "exited"),
        (
            pod("a", ready="False", container={"state": {"waiting": {}}, "lastState": {"terminated": {}}}),
            "exited",
        ),
        (pod("a", ready="False", container={**RUNNING, "lastState": {"terminated": {}}}), "starting"),
    ],
)
def test_a_replica_has_the_state_that_its_pod_shows(one: dict[str, Any], state: str) -> None:
    assert state_of(one) == state


def test_one_that_answers_that_it_is_not_ready_does_not_hang() -> None:
    pods = [pod("a", ready="False", since=LATER), pod("b", ready="False", since=LATER)]
    found = seen([node("node-1")], pods, MODELS, answering={"a"}).replicas
    assert [one.state for one in found] == ["starting", "unresponsive"]


def test_restarts_of_all_containers_count() -> None:
    (found,) = seen([node("node-1")], [pod("a", container={**RUNNING, "restartCount": 3})], MODELS).replicas
    assert found.restarts == 3


def test_slots_are_desired_by_the_platform_and_not_by_the_pods_that_happen_to_be_there() -> None:
    assert seen([], [], MODELS).desired == {("critical", "assistant"): 8, ("best-effort", "draft"): 6}


def test_only_nodes_that_have_or_should_have_gpus_are_shown() -> None:
    found = nodes_seen([node("b", gpus="1", unschedulable=True), node("a", gpus="0"), node("c", gpus=None)])
    assert [(one.name, one.gpus, one.cordoned) for one in found] == [("a", 0, False), ("b", 1, True)]


def test_gateways_get_what_they_can_reach() -> None:
    nodes = [node("node-1"), node("node-2", ready="Unknown")]
    pods = [
        pod("ready"),
        pod("not-ready", ready="False"),
        pod("on-a-lost-node", "node-2"),
        pod("leaving", deletionTimestamp=LATER),
        pod("done", phase="Succeeded"),
        pod("no-address-yet", ip=None),
        pod("pending", None, ip=None),
        pod("gateway", part="gateway"),
        pod("of-another-platform", model="llama"),
    ]
    listed = endpoints(nodes, pods, MODELS, {"ready": 2})
    assert [(one["replica"], one["ready"]) for one in listed] == [("not-ready", False), ("ready", True)]
    assert listed[1] == {
        "replica": "ready",
        "model": "assistant",
        "tier": "critical",
        "node": "node-1",
        "gpu": 2,
        "address": "10.0.0.7:8000",
        "slots": 4,
        "ready": True,
    }


def test_a_replaced_replica_is_counted_once() -> None:
    pods = [pod("old", "node-1", deletionTimestamp=LATER), pod("new", "node-2")]
    assert [one.name for one in seen([node("node-1"), node("node-2")], pods, MODELS).replicas] == ["new"]


def test_addresses_of_the_newer_protocol_are_bracketed() -> None:
    assert endpoints([node("node-1")], [pod("a", ip="fd00::7")], MODELS)[0]["address"] == "[fd00::7]:8000"


def test_prometheus_is_told_where_each_part_is_and_on_which_node() -> None:
    pods = [pod("a"), pod("exporter", part="gpu-exporter"), pod("gateway", part="gateway")]
    assert targets(pods, "replica") == [
        {
            "targets": ["10.0.0.7:8000"],
            "labels": {"instance": "a", "replica": "a", "tier": "critical", "node": "node-1"},
        }
    ]
    assert targets(pods, "gpu-exporter")[0]["labels"] == {"instance": "exporter", "node": "node-1"}
    assert targets(pods, "gateway")[0]["labels"] == {"instance": "gateway"}
