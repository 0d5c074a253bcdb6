"""What drills have left on a cluster: found from any machine, undone, taken away, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, RUN
from tests.targets.kubernetes.test_api_faults import controllers, order
from tests.targets.kubernetes.test_warden import LEASE
from tierdrill.cli.commands import kubernetes, recover, status, switch
from tierdrill.cli.main import main
from tierdrill.remedies.remedy import Setting
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.cluster_settings import ClusterSettings
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.lease import DrillLease
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.nodes import cordon
from tierdrill.targets.kubernetes.sweep import leftovers, place_for, recover_runs, sweep
from tierdrill.targets.remedy_ledger import undo_order

QUOTAS = "/api/v1/namespaces/serving/resourcequotas"


@pytest.fixture
def left(api: FakeApi, port: KubernetesPort) -> RunMap:
    """What a run that died has left: a cordoned node and a quota."""
    controllers(api)
    ledger = RunMap(port.place.cluster, "tierdrill", RUN)
    DrillLease(port.place.cluster, "tierdrill").take(RUN, f"{RUN}@dead", 1.0)
    ledger.create()
    for each in (order("node-cordon", node="node-1"), order("quota-squeeze", tier="critical")):
        port.inject(port.bind(each))
    return ledger


def anew(port: KubernetesPort) -> Any:
    """The place as another machine makes it, which has nothing but the environment's document."""
    settings = port.place.settings.model_copy(update={"kubeconfig": port.place.told["kubeconfig"]})
    return place_for("fake", settings)


def test_another_machine_undoes_what_a_dead_run_has_left(api: FakeApi, port: KubernetesPort, left: RunMap) -> None:
    told: list[str] = []
    assert recover_runs(anew(port), told.append) == (1, [])
    assert told == [
        f"undone: quota-squeeze on critical (run {RUN})",
        f"undone: node-cordon on node-1 (run {RUN})",
        f"ended: what run {RUN} had on the cluster",
    ]
    assert "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]
    assert leftovers(port.place.cluster, port.place.settings, print) == []
    assert recover_runs(anew(port), told.append) == (0, [])


def test_a_run_that_lives_is_left_alone(api: FakeApi, port: KubernetesPort, left: RunMap) -> None:
    def meddle(method: str, path: str, body: Any) -> None:
        if method == "GET" and path == LEASE:
            api.change(LEASE, lambda lease: lease["spec"].update(renewTime=f"at {len(api.calls)}"))

    api.meddle = meddle
    told: list[str] = []
    assert recover_runs(anew(port), told.append) == (0, [])
    assert told == [f"run {RUN} is in progress: it is left alone"] and left.read() is not None
    with pytest.raises(TargetError, match=f"run {RUN} is in progress"):
        sweep(anew(port), told.append, told.append)
    assert len(leftovers(port.place.cluster, port.place.settings, print)) == 4


def test_what_the_ledger_does_not_know_any_more_is_found_by_its_label(
    api: FakeApi, port: KubernetesPort, left: RunMap
) -> None:
    before = {path for path in api.objects if path.startswith(f"{QUOTAS}/")}
    api.put(f"{QUOTAS}/theirs", {"spec": {"hard": {"pods": "9"}}})
    left.delete()
    api.change(f"{NODES}/worker-2", lambda node: node["spec"].update(unschedulable=True), "kubectl")
    mark = {"tierdrill.io/cordoned-for": "x", "owner": "team"}
    api.change(f"{NODES}/worker-2", lambda node: node["metadata"].update(annotations=mark), "tierdrill")
    taint = {"key": "tierdrill.io/drill", "value": "y", "effect": "NoExecute"}
    api.change(f"{NODES}/worker-1", lambda node: node["spec"]["taints"].append(taint))
    found = [one.what for one in leftovers(port.place.cluster, port.place.settings, print)]
    assert found == [
        f"resourcequota {next(iter(before)).rpartition('/')[2]} in serving",
        f"lease held by {RUN}@dead",
        "node worker-1: tierdrill.io/cordoned-for, taint tierdrill.io/drill",
        "node worker-2: tierdrill.io/cordoned-for",
    ]
    told: list[str] = []
    assert sweep(anew(port), told.append, told.append) == []
    assert {line.partition(":")[0] for line in told} == {"removed"} and len(told) == 3
    one, two = (api.find(f"{NODES}/worker-{number}") or {} for number in (1, 2))
    assert "unschedulable" not in one["spec"] and [each["key"] for each in one["spec"]["taints"]] == ["team"]
    assert two["spec"]["unschedulable"] is True, "somebody else's cordon stays"
    assert two["metadata"]["annotations"] == {"owner": "team"}
    assert {path for path in api.objects if path.startswith(f"{QUOTAS}/")} == {f"{QUOTAS}/theirs"}


def test_a_cordon_that_a_playbook_has_left_is_taken_back_from_any_machine(api: FakeApi, port: KubernetesPort) -> None:
    ledger, ref = RunMap(port.place.cluster, "tierdrill", RUN), port.place.names.ref("node-1")
    ledger.create()
    setting = Setting("cordon", "node-1")
    settings = ClusterSettings(dict(port.place.told), port.place.cluster, lambda: port.place.names, None)
    settings.hold(undo_order(RUN, setting, settings.read(setting), settings.mechanism, 5.0))
    cordon(port.place.cluster, ref)
    told: list[str] = []
    assert recover_runs(anew(port), told.append) == (1, [])
    assert told[0] == f"undone: remedy on {setting} (run {RUN})"
    assert "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]


def test_a_workload_whose_priority_a_drill_has_changed_is_found_and_mended(api: FakeApi, port: KubernetesPort) -> None:
    ledger = RunMap(port.place.cluster, "tierdrill", RUN)
    ledger.create()
    port.inject(port.bind(order("priority-swap", tier="critical", of_tier="best-effort")))
    ledger.delete()
    told: list[str] = []
    (found,) = leftovers(port.place.cluster, port.place.settings, told.append)
    assert found.what == "Deployment serving/assistant: priority class best-effort, before critical"
    assert sweep(anew(port), told.append, told.append) == []
    workload = api.find("/apis/apps/v1/namespaces/serving/deployments/assistant") or {}
    assert workload["spec"]["template"]["spec"]["priorityClassName"] == "critical"
    assert workload["metadata"]["annotations"] == {}


def test_a_fault_that_will_not_go_is_named_and_its_ledger_stays(
    api: FakeApi, port: KubernetesPort, left: RunMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = {"gone_within_s": 0.0}
    monkeypatch.setattr(
        "tierdrill.targets.kubernetes.sweep.orders_in",
        lambda held: [replace(one, mechanism=replace(one.mechanism, **orders)) for one in listed(held)],
    )
    api.meddle = lambda method, path, body: method == "PATCH" and path.startswith(NODES)
    done, stuck = recover_runs(anew(port), print)
    assert done == 0 and len(stuck) == 1 and stuck[0].startswith(f"node-cordon on node-1 (run {RUN}): ")
    assert left.read() is not None


def listed(held: Any) -> Any:
    from tierdrill.targets.kubernetes.ledger_map import orders_in

    return orders_in(held)


@pytest.fixture
def run(
    port: KubernetesPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """A command's exit code and what it says, where the environment `fake` is that cluster."""
    settings = anew(port).settings
    document = SimpleNamespace(metadata=SimpleNamespace(name="fake"))
    for module in (kubernetes, recover, status, switch):
        monkeypatch.setattr(module, "cluster_environment", lambda root, name: (document, settings, None))

    home = str(tmp_path / "home")
    monkeypatch.setenv("TIERDRILL_HOME", home)
    monkeypatch.setattr(recover, "log_to_file", lambda home: None)

    def ran(*words: str) -> tuple[int, str]:
        code = main(["--home", home, *words, "--environment", "fake"])
        return code, capsys.readouterr().out

    return ran


def test_the_commands_of_a_cluster(api: FakeApi, run: Callable[..., tuple[int, str]], left: RunMap) -> None:
    code, told = run("kubernetes", "cleanup", "--dry-run", "--json")
    found = json.loads(told)
    assert code == 5 and not found["clean"] and len(found["left"]) == 4
    code, told = run("status")
    assert f"cluster of fake is drilled by {RUN}@dead, last seen 20" in told
    code, told = run("halt", "--reason", "a launch", "--author", "ops")
    assert code == 0 and "no run starts on the cluster of fake" in told
    assert (api.find(LEASE) or {})["metadata"]["annotations"]["tierdrill.io/halt"] == "a launch (ops)"
    assert "cluster of fake HALTED: a launch (ops)" in run("status")[1]
    assert run("resume", "--reason", "over")[0] == 0
    assert "tierdrill.io/halt" not in (api.find(LEASE) or {})["metadata"].get("annotations", {})
    code, told = run("recover")
    assert code == 0 and f"undone: node-cordon on node-1 (run {RUN})" in told
    assert run("kubernetes", "cleanup") == (0, "nothing is left\n")
