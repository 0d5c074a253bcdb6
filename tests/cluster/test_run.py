"""Whole drills on real kubelets: what breaks, who mends it, what the load sees of it, and that nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api_witness import pod_ready
from tests.cluster.conftest import ClusterInUse
from tests.cluster.rig.instance import Instance
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.judge.judge import SLOWING
from tierdrill.targets.kubernetes.monitoring_client import gpus_of_pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
OWN = "/api/v1/namespaces/tierdrill"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/tierdrill/leases/drill"
CERTAIN = ("fault/", "playbook/", "run/clean", "run/watches", "run/completed", "slo/critical/availability")
"""Checks that hold on a busy machine, too."""
AGAIN = "/escalation"
"""But where pods start slowly, a tier is not whole in time, and the playbook calls for help instead of a second run."""
SCRAPED_S = 60.0
TIMES = (
    "/latency-", "/time_to_first_token-", "/queue_wait-", "/time_to_mitigate", "/fallback", "/fault-phase-times",
    "/rejections-cheap",
)  # fmt: skip
"""What pods that start take from the gateways where all share two cores, and how long they are waited for."""
LEAST = "slo/best-effort/"
"""The wait of the least important tier is short by little on one machine that is cluster, gateway and load at once."""


@dataclass(frozen=True)
class Drilled:
    """A drill that was run: its exit code, its checks by id, the events of its history, and what it said last."""

    code: int
    checks: dict[str, str]
    events: list[dict[str, Any]]
    summary: str

    @property
    def wrong(self) -> dict[str, str]:
        return {name: status for name, status in self.checks.items() if status != "passed"}

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [one["data"] for one in self.events if one["kind"] == kind]


@pytest.fixture(scope="module")
def environment(tiered_cluster: ClusterInUse) -> Path:
    """What the document of the rig's cluster says."""
    return Instance(str(tiered_cluster.rig)).folder / "environment.yaml"


@pytest.fixture(scope="module")
def quicker(environment: Path) -> Path:
    """The same with shorter phases, and as much time as it has for a lost node."""
    document = yaml.safe_load(environment.read_text())
    within = {"NodeNotReady": 8, "ServingCapacityLow": 8, "reschedule-critical": 10, "shed-best-effort": 10}
    here = {name: f"{document['pace'] * seconds}s" for name, seconds in within.items()}
    document["drills"]["node-loss"] = {"within": here}
    path = environment.with_name("quicker.yaml")
    path.write_text(yaml.safe_dump(document | {"pace": 2.0}))
    return path


def drill(name: str, environment: Path, home: Path, *how_else: str) -> Drilled:
    """Run it as a person would."""
    base = [sys.executable, "-m", "tierdrill"]
    how: dict[str, Any] = {"env": {**os.environ, "TIERDRILL_HOME": str(home)}, "capture_output": True, "text": True}
    command = [*base, "run", name, "--environment", str(environment), *how_else]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, **how)
    (folder,) = (home / "runs").iterdir() if (home / "runs").is_dir() else [None]
    assert folder is not None, done.stderr
    verdict = json.loads((folder / "verdict.json").read_text())
    lines = subprocess.run([*base, "history", folder.name, "--format", "jsonl"], **how).stdout.splitlines()
    events = [one for one in map(json.loads, lines) if "kind" in one]
    checks = {one["id"]: one["status"] for one in verdict["checks"]}
    return Drilled(done.returncode, checks, events, done.stdout[-4000:] + done.stderr)


def judged(drilled: Drilled) -> None:
    """What is certain has passed; the rest but times as well, unless the load generator says that it was late."""
    wrong = drilled.wrong
    certain = [name for name in wrong if name.startswith(CERTAIN) and not name.endswith(AGAIN)]
    assert not certain, drilled.summary
    if not any(name.startswith("load/") for name in wrong):
        others = [name for name in wrong if not name.startswith(LEAST) and not any(time in name for time in TIMES)]
        assert not others, (others, drilled.summary)
        assert (drilled.code == 0) == (not wrong)


def nothing_left(cluster: ClusterInUse) -> None:
    """The namespace has nothing of a run any more, and nobody holds the cluster."""
    assert not cluster.api.get(LEASE)["spec"].get("holderIdentity")
    maps = cluster.api.get(f"{OWN}/configmaps", labelSelector="tierdrill.io/run")["items"]
    assert [one["metadata"]["name"] for one in maps] == []


def node_to_lose(cluster: ClusterInUse, environment: Path) -> str:
    """The node that serves the model with one replica, once Prometheus tells which GPU it has; never node-2, a wrong
    target of the drill's sabotages.
    """
    pods, model = "/api/v1/namespaces/serving/pods", "tierdrill.io/model=reasoner"
    (pod,) = cluster.api.get(pods, labelSelector=model)["items"]
    name = pod["metadata"]["name"]
    if pod["spec"]["nodeName"] == "node-2":
        cluster.run("kubectl", "cordon", "node-2")
        try:
            cluster.api.send("DELETE", f"{pods}/{name}")
            cluster.api.wait(
                pods,
                lambda found: (
                    len(found) == 1 and all(map(pod_ready, found.values())) and pod["metadata"]["name"] not in found
                ),
                labelSelector=model,
            )
        finally:
            cluster.run("kubectl", "uncordon", "node-2")
        (pod,) = cluster.api.get(pods, labelSelector=model)["items"]
    document, deadline = environment_setting(shipped_catalogue(), str(environment))[0], time.monotonic() + SCRAPED_S
    while pod["metadata"]["name"] not in gpus_of_pods(document):
        assert time.monotonic() < deadline, "Prometheus does not tell which GPU the pod has"
        time.sleep(0.2)
    return str(pod["spec"]["nodeName"])


def test_a_node_loses_power_and_a_playbook_moves_what_it_ran(
    cluster: ClusterInUse, quicker: Path, tmp_path: Path
) -> None:
    lost = f"node={node_to_lose(cluster, quicker)}"
    drilled = drill("node-loss", quicker, tmp_path / "first", "--set", lost)
    if "run/completed" in drilled.wrong and SLOWING & drilled.wrong.keys():
        # Too much ran on this machine, and what that broke has ended the run.
        lost = f"node={node_to_lose(cluster, quicker)}"
        drilled = drill("node-loss", quicker, tmp_path / "second", "--set", lost)
    judged(drilled)
    moved = {one["name"] for state in drilled.told("platform.state") for one in state["replicas"] if one["node"]}
    assert {"assistant-0", "reasoner-0"} <= moved
    first, *_, last = drilled.told("platform.state")
    homes = [{one["name"]: one.get("object") for one in state["replicas"]} for state in (first, last)]
    assert any(homes[0][name] != homes[1][name] for name in homes[0])
    nothing_left(cluster)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replica-crash", "replica-hang"])
def test_a_replica_fails_and_a_playbook_replaces_it(
    name: str, cluster: ClusterInUse, environment: Path, tmp_path: Path
) -> None:
    judged(drill(name, environment, tmp_path))
    nothing_left(cluster)
