"""A run's hold on a cluster: one run at a time, the kill switch, the warden at its post, and nothing left after it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, RUN
from tests.targets.kubernetes.test_api_faults import order
from tests.targets.kubernetes.test_warden import LEASE
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import hold as hold_module
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.hold import Hold
from tierdrill.targets.kubernetes.lease import DrillLease, LeaseLost
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.warden_program import PodApi, Warden

JOBS = "/apis/batch/v1/namespaces/tierdrill/jobs"
IMAGE = {"name": "registry.example.org/python:3.12", "host_paths": ["/usr"]}


class Wardens:
    """Runs the warden of each Job that is made, as its pod would."""

    def __init__(self, api: FakeApi, server: str, folder: Path) -> None:
        self.api, self.server, self.folder = api, server, folder
        self.threads: list[threading.Thread] = []
        self.said: list[str] = []
        (folder / "token").write_text("no-secret")
        api.react = self.react

    def react(self, verb: str, path: str, found: dict[str, Any]) -> None:
        if verb == "ADDED" and path.startswith(JOBS):
            container = found["spec"]["template"]["spec"]["containers"][0]
            config = json.loads(container["env"][0]["value"])
            thread = threading.Thread(target=self._run, args=(config,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, config: dict[str, Any]) -> None:
        api = PodApi(self.server, self.folder)
        watch = lambda version, within_s: api.watch(config["lease"], version, within_s)  # noqa: E731
        self.said.append(Warden(api.ask, watch, config).run())


@pytest.fixture
def wardens(api: FakeApi, port: KubernetesPort, tmp_path: Path) -> Iterator[Wardens]:
    found = Wardens(api, port.place.cluster.server, tmp_path)
    yield found
    for thread in found.threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def drilled(place: dict[str, Any]) -> KubernetesPort:
    """The place as an environment with an image has it."""
    return KubernetesPort({**place, "settings": {**place["settings"], "image": IMAGE}})


def test_a_run_holds_a_cluster_and_leaves_nothing(api: FakeApi, drilled: KubernetesPort, wardens: Wardens) -> None:
    before = set(api.objects)
    hold = Hold(drilled.place, RUN, 5.0)
    hold.hold(["worker-1"], 60.0)
    assert DrillLease(drilled.place.cluster, "tierdrill").look().run == RUN
    hold.beat()
    assert hold.release() == []
    for thread in wardens.threads:
        thread.join(30)
    assert wardens.said == ["the run is over"]
    assert set(api.objects) - before == {LEASE}
    lease = api.find(LEASE) or {}
    assert lease["metadata"].get("labels", {}) == {} and "holderIdentity" not in lease["spec"]


def test_the_warden_keeps_off_the_nodes_where_faults_will_be(
    api: FakeApi, drilled: KubernetesPort, wardens: Wardens
) -> None:
    hold = Hold(drilled.place, RUN, 5.0)
    hold.hold(["worker-2", "worker-1"], 60.0)
    (path,) = [one for one in api.objects if one.startswith(JOBS)]
    job = api.find(path) or {}
    pod = job["spec"]["template"]["spec"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [one["values"] for one in term["matchFields"]] == [["worker-1"], ["worker-2"]]
    assert all(one["operator"] == "NotIn" for one in term["matchFields"])
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]} and "privileged" not in str(pod)
    assert {"key": "tierdrill.io/drill", "operator": "Exists"} in pod["tolerations"]
    owner = job["metadata"]["ownerReferences"][0]
    held = api.find(f"/api/v1/namespaces/tierdrill/configmaps/{owner['name']}") or {}
    assert owner["uid"] == held["metadata"]["uid"]
    assert "class Warden" in held["data"][Path(container["command"][1]).name]
    hold.release()


def test_a_second_run_is_refused_while_the_first_one_lives(api: FakeApi, drilled: KubernetesPort) -> None:
    lease = DrillLease(drilled.place.cluster, "tierdrill")
    lease.take(RUN, f"{RUN}@there", 60.0)

    def meddle(method: str, path: str, body: Any) -> None:
        if method == "GET" and path == LEASE:
            api.change(LEASE, lambda lease: lease["spec"].update(renewTime=f"at {len(api.calls)}"))

    api.meddle = meddle
    with pytest.raises(LeaseLost, match=f"run {RUN} .* drills this cluster"):
        Hold(drilled.place, "other-run", 4.0).hold([], 60.0)
    assert lease.look().holder == f"{RUN}@there"


def test_the_lease_of_a_dead_run_is_taken_over_once_its_faults_are_undone(
    api: FakeApi, drilled: KubernetesPort
) -> None:
    cluster = drilled.place.cluster
    DrillLease(cluster, "tierdrill").take("dead-run", "dead-run@away", 1.0)
    RunMap(cluster, "tierdrill", "dead-run").create()
    with pytest.raises(LeaseLost, match="run dead-run has left faults here: `tierdrill recover"):
        Hold(drilled.place, RUN, 5.0).hold([], 60.0)
    assert RunMap(cluster, "tierdrill", "dead-run").read() is not None
    RunMap(cluster, "tierdrill", "dead-run").delete()
    DrillLease(cluster, "tierdrill").take("next-run", "next-run@here", 1.0)
    assert DrillLease(cluster, "tierdrill").look().run == "next-run"


def test_a_lease_that_is_taken_at_the_same_moment_is_lost(api: FakeApi, drilled: KubernetesPort) -> None:
    lease = DrillLease(drilled.place.cluster, "tierdrill")

    def meddle(method: str, path: str, body: Any) -> None:
        if method == "POST" and path == LEASE.rpartition("/")[0]:
            api.meddle = lambda *call: None
            api.put(LEASE, {"spec": {"holderIdentity": "quicker@there"}})

    api.meddle = meddle
    with pytest.raises(LeaseLost, match="at the same moment"):
        lease.take(RUN, f"{RUN}@here", 5.0)


def test_a_lease_that_is_renewed_while_it_is_given_up_is_given_up(api: FakeApi, drilled: KubernetesPort) -> None:
    lease = DrillLease(drilled.place.cluster, "tierdrill")
    lease.take(RUN, f"{RUN}@here", 5.0)

    def meddle(method: str, path: str, body: Any) -> None:
        if method == "PATCH" and path == LEASE:
            api.meddle = lambda *call: None
            api.change(LEASE, lambda found: found["spec"].update(renewTime="now"))

    api.meddle = meddle
    lease.release(f"{RUN}@here")
    assert lease.look().renewed == "now" and lease.look().holder == ""


def test_the_kill_switch_refuses_runs_and_stops_the_one_that_is(
    api: FakeApi, drilled: KubernetesPort, wardens: Wardens
) -> None:
    lease = DrillLease(drilled.place.cluster, "tierdrill")
    lease.halt("a launch is on (ops)")
    hold = Hold(drilled.place, RUN, 5.0)
    with pytest.raises(LeaseLost, match=r"kill switch is on: a launch is on \(ops\); `tierdrill resume"):
        hold.hold([], 60.0)
    lease.halt(None)
    hold.hold([], 60.0)
    api.change(LEASE, lambda found: found["metadata"]["annotations"].update({"tierdrill.io/halt": "stop"}), "kubectl")
    with pytest.raises(LeaseLost, match="kill switch is on: stop"):
        hold.beat()
    hold.release()


def test_a_run_whose_lease_was_stolen_or_lapsed_must_stop(
    api: FakeApi, drilled: KubernetesPort, wardens: Wardens
) -> None:
    hold = Hold(drilled.place, RUN, 5.0)
    hold.hold([], 60.0)
    api.change(LEASE, lambda lease: lease["spec"].update(holderIdentity="thief@there"))
    with pytest.raises(LeaseLost, match="is held by thief@there"):
        hold.beat()
    api.remove(LEASE)
    with pytest.raises(LeaseLost, match="was given up for us"):
        hold.beat()


def test_an_api_that_does_not_answer_is_no_lost_lease(api: FakeApi, drilled: KubernetesPort, wardens: Wardens) -> None:
    hold = Hold(drilled.place, RUN, 5.0)
    hold.hold([], 60.0)
    api.meddle = lambda method, path, body: method == "PATCH"
    with pytest.raises(TargetError, match="cannot be reached") as told:
        hold.beat()
    assert not isinstance(told.value, LeaseLost)
    api.meddle = lambda *call: None
    hold.beat()
    hold.release()


def test_what_is_still_injected_at_the_end_is_left_to_the_warden(
    api: FakeApi, drilled: KubernetesPort, wardens: Wardens
) -> None:
    hold = Hold(drilled.place, RUN, 1.0)
    hold.hold([], 60.0)
    bound = replace(drilled.bind(order("node-cordon", node="node-1")), lease_s=1.0)
    drilled.inject(bound)
    assert hold.release() == [bound.fault]
    for thread in wardens.threads:
        thread.join(30)
    assert wardens.said == ["nobody renewed its Lease for 1 s"]
    assert "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]
    with pytest.raises(LeaseLost, match=r"was given up for us: .*node worker-1: put back"):
        hold.beat()


def test_a_warden_that_does_not_come_is_named_and_nothing_is_left(
    api: FakeApi, drilled: KubernetesPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_module, "READY_WITHIN_S", 0.0)
    with pytest.raises(TargetError, match="the warden is not at its post after 0 s: its Job has made no pod"):
        Hold(drilled.place, RUN, 5.0).hold([], 60.0)
    assert [path for path in api.objects if "tierdrill/" in path] == [LEASE]


def test_a_namespace_or_an_image_that_is_missing_is_named(
    api: FakeApi, drilled: KubernetesPort, port: KubernetesPort
) -> None:
    with pytest.raises(TargetError, match=r"no kubernetes\.image"):
        Hold(port.place, RUN, 5.0).hold([], 60.0)
    api.remove("/api/v1/namespaces/tierdrill")
    with pytest.raises(TargetError, match="no namespace tierdrill: `tierdrill kubernetes rbac`"):
        Hold(drilled.place, RUN, 5.0).hold([], 60.0)
