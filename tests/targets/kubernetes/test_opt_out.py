"""A node that somebody else's automation is told to leave alone for one run, by the labels of its document."""

from __future__ import annotations

import pytest

from tests.judge.test_observed import NAME, setting
from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, RUN
from tierdrill.conductor.sabotage import opted_out
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.targets.base import SABOTAGE, FaultOrder, Mechanism, TargetError
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.ledger_map import RunMap

KEY = "k8saas.nvidia.com/ManagedByNVSentinel"
WORKER = f"{NODES}/worker-2"


def order(node: str = "node-2") -> FaultOrder:
    parameters = {
        "flags_off": [],
        "silenced": None,
        "silenced_s": 60.0,
        "comment": "",
        "exporter": None,
        "opted_out": {"nodes": [node], "labels": {KEY: "false"}},
    }
    name, how = f"{RUN}/{SABOTAGE}/left-alone", Mechanism("labels")
    return FaultOrder(name, SABOTAGE, "left-alone", "service", how, parameters, 5.0)


def labels(api: FakeApi) -> dict[str, str]:
    found: dict[str, str] = (api.find(WORKER) or {})["metadata"]["labels"]
    return found


@pytest.mark.parametrize("before", [None, "true"])
def test_the_labels_are_there_for_the_run_and_then_as_before(
    api: FakeApi, port: KubernetesPort, before: str | None
) -> None:
    if before is not None:
        api.change(WORKER, lambda node: node["metadata"]["labels"].update({KEY: before}))
    RunMap(port.place.cluster, "tierdrill", RUN).create()
    bound = port.bind(order())
    assert not port.landed(bound, 0.0).seen
    port.inject(bound)
    assert labels(api)[KEY] == "false"
    assert port.landed(bound, 0.0).seen
    assert not port.gone(bound).seen
    port.revert(bound)
    assert labels(api).get(KEY) == before
    assert port.gone(bound).seen
    port.revert(bound)


def test_a_node_that_may_not_be_drilled_is_not_labelled(api: FakeApi, port: KubernetesPort) -> None:
    api.change(WORKER, lambda node: node["metadata"].update(labels={}))
    with pytest.raises(TargetError, match="worker-2"):
        port.bind(order())


def test_the_nodes_are_those_on_which_it_must_run() -> None:
    data = setting().to_json()
    data["playbooks"][0]["external"]["opt_out"] = {KEY: "false"}
    of = DrillSetting.from_json(data)
    assert opted_out(of, NAME) == {"opted_out": {"nodes": ["node-2"], "labels": {KEY: "false"}}}
    assert opted_out(of, None) == opted_out(of, "another") == {}
