"""The warden: it undoes what a run has left once nobody renews the run's Lease, by its own clock, and only then."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi, Refusal
from tests.targets.kubernetes.conftest import NODES, RUN
from tests.targets.kubernetes.test_api_faults import order
from tierdrill.targets.base import FaultOrder
from tierdrill.targets.kubernetes import warden_program
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.kubernetes_fault import asking
from tierdrill.targets.kubernetes.lease import DrillLease
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.warden_program import UNREACHABLE, WARDED, PodApi, Warden

LEASE_S = 5.0
HOLDER = f"{RUN}@machine"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/tierdrill/leases/drill"


class Bench:
    """A run that holds the cluster and has cordoned a node; its warden, whose clock goes as far as it waits."""

    def __init__(self, api: FakeApi, port: KubernetesPort, folder: Path) -> None:
        self.api, self.now, self.folder = api, 0.0, folder
        (folder / "token").write_text("no-secret")
        self.server = port.place.cluster.server
        self.lease = DrillLease(port.place.cluster, "tierdrill")
        self.ledger = RunMap(port.place.cluster, "tierdrill", RUN)
        self.lease.take(RUN, HOLDER, LEASE_S)
        self.ledger.create()
        self.fault = port.bind(order("node-cordon", node="node-1"))
        port.inject(self.fault)
        self.waits: list[float] = []
        self.meanwhile: Callable[[int], object] = lambda number: None
        self.paused: Callable[[], object] = lambda: None

    def watch(self, version: str, within_s: float) -> None:
        """Nothing happens until the time is up, unless `meanwhile` lets it."""
        self.waits.append(within_s)
        before = len(self.api.events)
        self.meanwhile(len(self.waits))
        self.now += within_s / 2 if len(self.api.events) > before else within_s

    def warden(self, ask: Any = None) -> Warden:
        mine = f"?labelSelector=tierdrill.io/run%3D{RUN}"
        own = [f"/apis/batch/v1/namespaces/tierdrill/jobs{mine}", f"/api/v1/namespaces/tierdrill/pods{mine}"]
        config = {"lease": LEASE, "map": self.ledger.path, "own": own, "holder": HOLDER, "lease_s": LEASE_S}
        return Warden(ask or asking(self.lease._cluster), self.watch, config, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Time goes on without an answer."""
        self.now += seconds
        self.paused()

    def cordoned(self) -> bool:
        return "unschedulable" in (self.api.find(f"{NODES}/worker-1") or {})["spec"]


@pytest.fixture
def bench(api: FakeApi, port: KubernetesPort, tmp_path: Path) -> Bench:
    return Bench(api, port, tmp_path)


def test_it_says_that_it_is_at_its_post(bench: Bench) -> None:
    bench.warden().run()
    told = [found["metadata"].get("annotations", {}) for _, path, found in bench.api.events if path == LEASE]
    assert WARDED not in told[0] and told[1][WARDED] == HOLDER


def test_it_undoes_all_once_the_lease_was_not_renewed_in_its_time(bench: Bench) -> None:
    assert bench.warden().run() == "nobody renewed its Lease for 5 s"
    assert bench.now == LEASE_S and not bench.cordoned() and bench.ledger.read() is None
    state = bench.lease.look()
    assert state.holder == "" and state.undone == (
        f"{HOLDER}: nobody renewed its Lease for 5 s: node worker-1: put back"
    )


def test_it_takes_away_what_the_run_has_made_and_nothing_else(bench: Bench) -> None:
    jobs = "/apis/batch/v1/namespaces/tierdrill/jobs"
    bench.api.put(f"{jobs}/mine", {"metadata": {"labels": {"tierdrill.io/run": RUN}}})
    bench.api.put(f"{jobs}/other", {"metadata": {"labels": {"tierdrill.io/run": "other"}}})
    server = PodApi(bench.server, bench.folder)
    bench.warden(server.ask).run()
    assert [path for path in bench.api.objects if path.startswith(jobs)] == [f"{jobs}/other"]


def test_an_agent_that_has_ended_is_not_taken_away_before_it_is_at_work_again(bench: Bench) -> None:
    """What it had injected is undone by its next life."""
    agent = "/api/v1/namespaces/tierdrill/pods/agent"
    labels = {"tierdrill.io/run": RUN, "tierdrill.io/part": "agent"}
    states = [
        {"restartCount": 0, "started": False, "state": {"terminated": {"exitCode": 137}}},
        {"restartCount": 1, "started": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        {"restartCount": 1, "started": False, "state": {"running": {}}},
        {"restartCount": 1, "started": True, "state": {"running": {}}},
    ]

    def next_state() -> None:
        assert bench.ledger.read() is not None
        state = states.pop(0)
        bench.api.put(agent, {"metadata": {"labels": labels}, "status": {"containerStatuses": [state]}})

    next_state()
    bench.paused = next_state
    bench.warden(PodApi(bench.server, bench.folder).ask).run()
    assert states == [] and not bench.cordoned()
    assert bench.api.find(agent) is None and bench.ledger.read() is None


def test_what_ends_by_itself_has_ended_before_the_run_is_over(bench: Bench, port: KubernetesPort) -> None:
    how = bench.fault.mechanism
    bench.ledger.write(FaultOrder("f", "node-partition", "node-2", "node", how, {"ends_in_s": 8.0}, LEASE_S))
    standing = list[bool]()
    bench.paused = lambda: standing.append(bench.ledger.read() is not None)
    bench.warden().run()
    assert not bench.cordoned() and bench.ledger.read() is None
    assert all(standing) and bench.now == pytest.approx(LEASE_S + 8.0, abs=0.5)


def test_a_lease_that_is_renewed_is_no_reason_to_act(bench: Bench) -> None:
    def meanwhile(number: int) -> None:
        if number <= 8:
            assert bench.cordoned()
            bench.lease.beat(HOLDER)

    bench.meanwhile = meanwhile
    bench.warden().run()
    assert bench.now == 8 * LEASE_S / 2 + LEASE_S and len(bench.waits) == 9 and not bench.cordoned()


def test_a_change_of_the_lease_that_renews_nothing_does_not_count(bench: Bench) -> None:
    bench.meanwhile = lambda number: bench.lease.halt(f"for the {number}th time") if number < 4 else None
    bench.warden().run()
    assert bench.now == pytest.approx(LEASE_S) and not bench.cordoned()


def test_a_run_that_ends_well_needs_nothing(bench: Bench, api: FakeApi) -> None:
    def meanwhile(number: int) -> None:
        bench.ledger.delete()
        bench.lease.release(HOLDER)

    bench.meanwhile = meanwhile
    assert bench.warden().run() == "the run is over"
    assert bench.cordoned(), "what is not in the ledger any more is not its business"


def test_a_lease_that_somebody_else_has_taken_over_ends_the_run(bench: Bench) -> None:
    bench.api.change(LEASE, lambda lease: lease["spec"].update(holderIdentity="other@there"))
    assert bench.warden().run() == "its Lease was given up or taken over"
    assert not bench.cordoned() and bench.now == 0.0
    assert bench.lease.look().holder == "other@there"


def test_a_fault_that_is_written_down_while_it_undoes_is_undone_too(bench: Bench, port: KubernetesPort) -> None:
    late = port.bind(order("node-cordon", node="node-2"))
    numbers = itertools.count()

    def meddle(method: str, path: str, body: Any) -> None:
        if method == "DELETE" and path == bench.ledger.path and next(numbers) == 0:
            bench.api.meddle = lambda *call: None
            port.inject(late)

    bench.api.meddle = meddle
    bench.warden().run()
    assert all("unschedulable" not in (bench.api.find(f"{NODES}/worker-{n}") or {})["spec"] for n in (1, 2))
    assert bench.ledger.read() is None


def test_an_api_that_is_away_is_asked_until_it_is_back(bench: Bench) -> None:
    answer, refused = asking(bench.lease._cluster), [3]

    def ask(method: str, path: str, *rest: Any) -> tuple[int, dict[str, Any]]:
        if path == f"{NODES}/worker-1" and refused[0]:
            refused[0] -= 1
            return UNREACHABLE, {"message": "no answer"}
        return answer(method, path, *rest)

    bench.warden(ask).run()
    assert refused == [0] and not bench.cordoned() and bench.ledger.read() is None


def test_one_undo_that_is_refused_keeps_no_other_from_being_played(bench: Bench, port: KubernetesPort) -> None:
    port.inject(port.bind(order("node-cordon", node="node-2")))
    bad = [True]

    def meddle(method: str, path: str, body: Any) -> None:
        if bad[0] and method == "PATCH" and path == f"{NODES}/worker-2":
            raise Refusal(403, "Forbidden", "no")

    def paused() -> None:
        assert not bench.cordoned() and bench.ledger.read() is not None
        bad[0] = False

    bench.api.meddle = meddle
    bench.paused = paused
    bench.warden().run()
    assert bad == [False] and "unschedulable" not in (bench.api.find(f"{NODES}/worker-2") or {})["spec"]


def test_a_pod_asks_with_its_token_and_wakes_when_the_lease_changes(
    bench: Bench, kubeconfig: Path, tmp_path: Path
) -> None:
    api = PodApi(bench.server, tmp_path)
    status, lease = api.ask("GET", LEASE)
    assert status == 200 and lease["spec"]["holderIdentity"] == HOLDER
    bench.lease.beat(HOLDER)
    for version in (lease["metadata"]["resourceVersion"], ""):
        api.watch(LEASE, version, 60.0)
        bench.lease.beat(HOLDER)
    assert api.ask("GET", f"{LEASE}-none")[0] == 404
    assert api.ask("PATCH", LEASE, {"metadata": {"labels": {"a": "b"}}}, "application/merge-patch+json")[0] == 200
    assert PodApi("http://127.0.0.1:1", tmp_path).ask("GET", LEASE)[0] == UNREACHABLE


def test_the_program_needs_nothing_but_a_python_of_2020() -> None:
    """It is shipped to any image that has one."""
    source = Path(warden_program.__file__)
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(source)!r})"],
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stderr) == (0, "")
    compile(source.read_text(), source.name, "exec", dont_inherit=True)
    import ast

    ast.parse(source.read_text(), feature_version=(3, 9))
