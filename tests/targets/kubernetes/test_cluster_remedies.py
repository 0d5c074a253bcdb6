"""What our own playbooks do to a cluster: to the very pod or node that was meant, and never more than it allows."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, PODS, RUN, pod
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.tiers import Tier
from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.ledger import Ledger
from tierdrill.recovery.cleanup import undo_all
from tierdrill.targets.base import GpuState, Inventory, NodeState, RemedyResult, TargetError
from tierdrill.targets.kubernetes import remedy_port
from tierdrill.targets.kubernetes.actor_watch import OwnDeeds
from tierdrill.targets.kubernetes.cluster_settings import ClusterSettings
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.kubernetes_fault import UNDO, asking
from tierdrill.targets.kubernetes.ledger_map import RunMap, orders_in
from tierdrill.targets.kubernetes.nodes import CORDONED
from tierdrill.targets.kubernetes.remedy_port import ClusterRemedies
from tierdrill.targets.kubernetes.warden_program import play
from tierdrill.targets.remedy_ledger import RemedyLedger

NODE_1 = f"{NODES}/worker-1"
EMPTY = Inventory((), (), (), ())


class _Tiers:
    """The ranks."""

    tiers = tuple(Tier.model_construct(name=name, rank=rank) for name, rank in (("critical", 1), ("best-effort", 3)))


def remedies(port: KubernetesPort, **settings: Any) -> ClusterRemedies:
    place = port.place
    told = KubernetesSettings.model_validate({**place.told["settings"], **settings})
    return ClusterRemedies(place.cluster, told, _Tiers(), lambda: place.names, lambda: EMPTY, None)  # type: ignore[arg-type]


def do(port: KubernetesPort, action: str, settings: dict[str, Any] | None = None, **arguments: Any) -> RemedyResult:
    return asyncio.run(remedies(port, **(settings or {})).remedy(action, arguments))


def left(api: FakeApi) -> set[str]:
    return {path.rpartition("/")[2] for path in api.objects if path.startswith(f"{PODS}/")}


def not_ready(api: FakeApi) -> None:
    api.change(NODE_1, lambda node: node["status"].update(conditions=[{"type": "Ready", "status": "Unknown"}]))


def unschedulable(api: FakeApi) -> bool:
    return bool((api.find(NODE_1) or {})["spec"].get("unschedulable"))


@pytest.mark.parametrize("action", ["restart-replica", "replace-replica"])
def test_a_replica_is_made_anew_by_ending_its_pod(action: str, api: FakeApi, port: KubernetesPort) -> None:
    assert do(port, action, replica="assistant-1").ok
    assert left(api) == {"assistant-7d4f-2", "batch-99aa-1", "batch-99aa-2"}


def test_what_a_remedy_is_about_to_do_is_known_to_who_watches(api: FakeApi, port: KubernetesPort) -> None:
    place, deeds = port.place, OwnDeeds()
    mending = ClusterRemedies(
        place.cluster, place.settings, _Tiers(), lambda: place.names, lambda: EMPTY, None, deeds  # type: ignore[arg-type]
    )
    pod_of_it = api.find(f"{PODS}/assistant-7d4f-1") or {}
    asyncio.run(mending.remedy("restart-replica", {"replica": "assistant-1"}))
    seen = RemediationSeen(do="delete", object="assistant-1", uid=pod_of_it["metadata"]["uid"])
    assert [deeds.ours(seen), deeds.ours(seen)] == [True, False]


def test_a_pod_that_was_replaced_meanwhile_is_left_alone(api: FakeApi, port: KubernetesPort) -> None:
    api.remove(f"{PODS}/assistant-7d4f-1")
    api.put(f"{PODS}/assistant-7d4f-1", pod("assistant-7d4f-1", "worker-2", "critical"))
    done = do(port, "restart-replica", replica="assistant-1")
    assert done.ok and "gone already" in done.detail
    assert "assistant-7d4f-1" in left(api)


def test_a_drain_cordons_and_evicts_the_least_important_tier_first(api: FakeApi, port: KubernetesPort) -> None:
    assert do(port, "drain", node="node-1").ok
    assert unschedulable(api)
    evicted = [path.split("/")[-2] for method, path in api.calls if method == "POST" and path.endswith("/eviction")]
    assert evicted == ["batch-99aa-1", "assistant-7d4f-1"]


def test_a_drain_leaves_the_tiers_and_models_that_are_not_meant(api: FakeApi, port: KubernetesPort) -> None:
    assert do(port, "drain", node="node-1", tiers=["critical"], models=["reasoner"]).ok
    assert do(port, "drain", node="node-2", tiers=["critical"], models=["assistant"]).ok
    assert left(api) == {"assistant-7d4f-1", "batch-99aa-1", "batch-99aa-2"}


def test_a_drain_that_is_stuck_names_the_budget(
    api: FakeApi, port: KubernetesPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remedy_port, "STUCK_S", 0.0)
    api.budgets["serving"] = 1
    done = do(port, "drain", node="node-1")
    assert not done.ok
    assert "assistant-7d4f-1 may not be evicted" in done.detail and "serving-budget" in done.detail
    assert "evicted: batch-99aa-1" in done.detail


def test_a_cordon_of_somebody_else_is_left_as_it_is(api: FakeApi, port: KubernetesPort) -> None:
    api.change(NODE_1, lambda node: node["spec"].update(unschedulable=True), "kubectl")
    assert "already" in do(port, "cordon", node="node-1").detail
    assert "not cordoned by tierdrill" in do(port, "uncordon", node="node-1").detail
    assert unschedulable(api)


def test_a_cordon_of_ours_is_taken_back_and_nothing_else_with_it(api: FakeApi, port: KubernetesPort) -> None:
    api.change(NODE_1, lambda node: node["metadata"].update(annotations={"team": "a"}))
    assert do(port, "cordon", node="node-1").ok and unschedulable(api)
    assert do(port, "uncordon", node="node-1").ok and not unschedulable(api)
    assert (api.find(NODE_1) or {})["metadata"]["annotations"] == {"team": "a"}


def test_a_cordon_waits_for_who_else_changes_the_node(api: FakeApi, port: KubernetesPort) -> None:
    def meddle(method: str, path: str, body: Any) -> None:
        if method == "PATCH":
            api.meddle = lambda *_: None
            api.change(path, lambda node: node["metadata"].setdefault("labels", {}).update(new="yes"))

    api.meddle = meddle
    assert do(port, "cordon", node="node-1").ok
    found = api.find(NODE_1) or {}
    assert found["spec"]["unschedulable"] and found["metadata"]["labels"]["new"] == "yes"
    assert CORDONED in found["metadata"]["annotations"]


def stateful(api: FakeApi) -> None:
    owner = {"kind": "StatefulSet", "name": "assistant", "uid": "s", "controller": True}
    api.change(f"{PODS}/assistant-7d4f-1", lambda pod: pod["metadata"].update(ownerReferences=[owner]))


def test_a_deployments_pods_are_made_anew_as_the_cluster_does_it(api: FakeApi, port: KubernetesPort) -> None:
    not_ready(api)
    assert do(port, "reschedule", node="node-1", tiers=["critical"]).ok
    assert "assistant-7d4f-1" not in left(api)


@pytest.mark.parametrize(("health", "state"), [(0, "healthy"), (10, "healthy"), (20, "defective"), (None, "offered")])
def test_a_gpus_state_is_what_its_exporter_says(
    health: int | None, state: str, port: KubernetesPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f'DCGM_EXP_GPU_HEALTH_STATUS{{gpu="1",UUID="GPU-b"}} {health}.0\n' if health is not None else ""
    known = remedies(port, exporter={"namespaces": ["serving"], "selector": "tier=critical"})
    monkeypatch.setattr(known, "_metrics", lambda pod: [None, f'DCGM_EXP_GPU_HEALTH_STATUS{{gpu="0"}} 20.0\n{said}'])
    node, gpu = NodeState("node-1", True, False, ""), GpuState("node-1/1", "node-1", 1, "", "offered", emulated=True)
    monkeypatch.setattr(known, "_look", lambda: replace(EMPTY, nodes=(node,), gpus=(gpu,)))
    assert known.gpu_state("node-1/1") == state


def test_what_may_still_run_is_not_made_a_second_time(api: FakeApi, port: KubernetesPort) -> None:
    stateful(api)
    not_ready(api)
    done = do(port, "reschedule", node="node-1", tiers=["critical"])
    assert not done.ok and "may still run assistant-7d4f-1" in done.detail
    assert "assistant-7d4f-1" in left(api)


@pytest.mark.parametrize("state", ["off", "on"])
def test_a_node_without_power_is_given_up(state: str, api: FakeApi, port: KubernetesPort) -> None:
    stateful(api)
    not_ready(api)
    power = {name: ["/bin/sh", "-c", f"test {{node}} = worker-1 && echo {state}"] for name in ("on", "off", "state")}
    done = do(port, "reschedule", {"power": power}, node="node-1", tiers=["critical"])
    assert done.ok == (state == "off")
    assert ("assistant-7d4f-1" in left(api)) == (state == "on")
    assert "batch-99aa-1" in left(api)


def test_a_node_that_is_out_of_service_is_given_up(api: FakeApi, port: KubernetesPort) -> None:
    stateful(api)
    not_ready(api)
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    api.change(NODE_1, lambda node: node["spec"]["taints"].append(taint))
    done = do(port, "reschedule", node="node-1", tiers=["critical"])
    assert done.ok and "assistant-7d4f-1" not in left(api)


def test_a_node_that_works_is_left_by_eviction(api: FakeApi, port: KubernetesPort) -> None:
    assert do(port, "reschedule", node="node-1", tiers=["critical"]).ok
    assert ("POST", f"{PODS}/assistant-7d4f-1/eviction") in api.calls


def test_a_workload_is_spread_again_one_pod_at_a_time(api: FakeApi, port: KubernetesPort) -> None:
    for number in (2, 3, 4):
        api.put(f"{PODS}/assistant-7d4f-{number}", pod(f"assistant-7d4f-{number}", "worker-1", "critical"))
    done = do(port, "rebalance")
    assert done.ok and len(left(api)) == 5
    assert sum(path.endswith("/eviction") for _, path in api.calls) == 1


def test_a_node_is_switched_off_and_on_again(port: KubernetesPort, tmp_path: Path) -> None:
    log = tmp_path / "log"
    power = {name: ["/bin/sh", "-c", f"echo {name} {{node}} >> {log}"] for name in ("on", "off", "state")}
    assert do(port, "power-cycle", {"power": power}, node="node-1").ok
    assert log.read_text() == "off worker-1\non worker-1\n"


def test_a_node_that_would_not_go_off_is_switched_on_all_the_same(port: KubernetesPort, tmp_path: Path) -> None:
    log = tmp_path / "log"
    power = {"off": ["/bin/sh", "-c", "echo no such {node} >&2; exit 3"]}
    power |= {name: ["/bin/sh", "-c", f"echo {name} {{node}} >> {log}"] for name in ("on", "state")}
    with pytest.raises(TargetError, match=r"kubernetes.power.off: .* exit code 3: no such worker-1"):
        do(port, "power-cycle", {"power": power}, node="node-1")
    assert log.read_text() == "on worker-1\n"


def test_a_gpu_alone_is_not_taken_out_of_service(port: KubernetesPort) -> None:
    with pytest.raises(TargetError, match="whole nodes"):
        do(port, "drain", node="node-1", gpu=0)


def under_ledger(port: KubernetesPort, home: Path) -> RemedyLedger:
    place = port.place
    settings = ClusterSettings(dict(place.told), place.cluster, lambda: place.names, None)
    return RemedyLedger(remedies(port), settings, home, RUN, 5.0)


def test_a_cordon_is_on_both_ledgers_and_taken_back_by_whoever_undoes(
    api: FakeApi, port: KubernetesPort, tmp_path: Path
) -> None:
    on_cluster = RunMap(port.place.cluster, "tierdrill", RUN)
    on_cluster.create()
    assert asyncio.run(under_ledger(port, tmp_path).remedy("cordon", {"node": "node-1"})).ok
    with closing(Ledger(tmp_path)) as book:
        (entry,), (order,) = book.open_faults(RUN), orders_in(on_cluster.read() or {})
        assert entry.id == order.fault == f"{RUN}/remedy/cordon of node-1" and unschedulable(api)
        assert undo_all(book, RUN, "reaper", lambda event: None) == []
        assert book.open_faults(RUN) == orders_in(on_cluster.read() or {}) == [] and not unschedulable(api)


def test_the_warden_takes_a_cordon_back_that_was_ours(api: FakeApi, port: KubernetesPort, tmp_path: Path) -> None:
    on_cluster = RunMap(port.place.cluster, "tierdrill", RUN)
    on_cluster.create()
    assert asyncio.run(under_ledger(port, tmp_path).remedy("cordon", {"node": "node-1"})).ok
    (order,) = orders_in(on_cluster.read() or {})
    play(asking(port.place.cluster), order.parameters[UNDO])
    assert not unschedulable(api) and CORDONED not in (api.find(NODE_1) or {})["metadata"].get("annotations", {})


def test_what_cannot_be_written_down_on_the_cluster_is_not_done(
    api: FakeApi, port: KubernetesPort, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="ConfigMap"):
        asyncio.run(under_ledger(port, tmp_path).remedy("cordon", {"node": "node-1"}))
    assert not unschedulable(api)
