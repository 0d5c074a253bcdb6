"""Load from pods: what each is told and says, its samples written where a run looks for them, its end when it is asked.

The pods are processes of this machine, started as the cluster would start them.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_support import ModelServer, load_plan, stream_plan

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.load.load_plan import LoadPlan
from tierdrill.load.sample_tail import ReportTail, SampleTail
from tierdrill.process.programs import Program, program
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import cluster_load
from tierdrill.targets.kubernetes.cluster_load import ClusterLoad, carried
from tierdrill.targets.kubernetes.exec_stream import Ended
from tierdrill.targets.kubernetes.manifests.load_jobs import MASTER, WORKER
from tierdrill.targets.kubernetes.warden_program import PART_LABEL

pytestmark = pytest.mark.lab
RUN = "slow-link-1"
LOCAL = {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [{"state": {"running": {}}}]}


class LocalStream:
    """An exec stream to a process of this machine."""

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read_line(self, within_s: float) -> str | None:
        try:
            return self._lines.get(timeout=within_s)
        except queue.Empty:
            raise TimeoutError from None

    def finish(self, within_s: float) -> Ended:
        assert self.process.stderr is not None
        return Ended(self.process.wait(within_s), "", self.process.stderr.read().decode())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class LocalCluster:
    """An API that has the Jobs' pods as soon as they are asked for."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.streams: list[LocalStream] = []
        self.deleted: list[str] = []

    def get(self, path: str, **_: Any) -> dict[str, Any]:
        return {"metadata": {"uid": "u-1", "name": path.rpartition("/")[2]}}

    def send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if method == "POST":
            self.jobs[body["metadata"]["labels"][PART_LABEL]] = body
        else:
            self.deleted.append(path.rpartition("/")[2])
        return {}

    def pages(self, path: str, labels: str) -> Iterator[dict[str, Any]]:
        part = labels.rpartition("=")[2]
        for number in range(self.jobs[part]["spec"]["parallelism"]):
            yield {"metadata": {"name": f"{part}-{number}"}, "status": LOCAL}

    def exec(self, namespace: str, pod: str, container: str, argv: list[str]) -> LocalStream:
        self.streams.append(LocalStream(argv))
        return self.streams[-1]


class LocalPlace:
    """Where those Jobs are."""

    def __init__(self) -> None:
        self.cluster = LocalCluster()
        load = {"image": {"name": "x", "python": program(Program.LOAD_POD)[0]}, "workers": 2}
        pods = {"namespaces": ["serving"], "selector": "tier=critical"}
        self.settings = KubernetesSettings.model_validate({"tiers": {"critical": pods}, "load": load})


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPlace]:
    """Ends every process that is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(cluster_load, "PORT", probe.getsockname()[1])
    made = LocalPlace()
    yield made
    for stream in made.cluster.streams:
        stream.process.kill()
        stream.process.wait(10)


def _planned(folder: Path, server: ModelServer, seconds: float) -> LoadPlan:
    streams = [stream_plan("plain", rate_rps=60.0), stream_plan("stream", rate_rps=20.0, stream=True)]
    plan = load_plan(folder, [server.url], *streams, duration_s=seconds)
    return replace(plan, jobs={"run": RUN, "place": {}, "avoid": ["node-3"]})


def _load(plan: LoadPlan, place: Any) -> ClusterLoad:
    return ClusterLoad(plan, place)


def test_workers_in_pods_send_every_arrival_once(server: ModelServer, place: LocalPlace, tmp_path: Path) -> None:
    plan = _planned(tmp_path, server, 2.0)
    load = _load(plan, place)
    load.start()
    load.go(time.time() + 0.3)
    assert load.wait(threading.Event()) == 0
    load.end()
    samples = SampleTail(plan.sample_path).poll()
    assert sorted((one.stream, one.sequence) for one in samples) == sorted((a.stream, a.turn) for a in plan.schedule())
    assert {one.outcome for one in samples} == {"ok"}
    ends = [one for one in ReportTail(plan.status_path).poll() if one["kind"] == "end"]
    assert [one["complete"] for one in ends] == [True, True]
    assert sorted(place.cluster.deleted) == sorted(one["metadata"]["name"] for one in place.cluster.jobs.values())


@pytest.mark.slow
def test_they_end_when_they_are_asked(server: ModelServer, place: LocalPlace, tmp_path: Path) -> None:
    load = _load(_planned(tmp_path, server, 600.0), place)
    load.start()
    load.go(time.time())
    asked = threading.Event()
    asked.set()
    assert load.wait(asked) == 0
    assert not any(line.failed for line in load.lines)


def test_a_pod_whose_clock_is_off_is_refused(
    server: ModelServer, place: LocalPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_load, "CLOCK_OFF_S", -1.0)
    load = _load(_planned(tmp_path, server, 2.0), place)
    with pytest.raises(TargetError, match=f"pod {MASTER}-0: its node's clock is off this machine's by"):
        load.start()
    load.end()


def test_secrets_and_files_go_over_the_stream_and_into_no_manifest(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("hush\n")
    monkeypatch.setenv("OTHER_KEY", "quiet")
    login: Mapping[str, Any] = {
        "bearer": {"file": str(tmp_path / "key"), "env": None},
        "secret_headers": {"x-key": {"env": "OTHER_KEY", "file": None}},
    }
    told = carried(replace(_planned(tmp_path, server, 2.0), connection=login))
    assert told["plan"]["connection"]["bearer"]["file"] in told["files"]
    assert told["variables"] == {"OTHER_KEY": "quiet"}
    assert "hush" not in json.dumps(told["plan"]) and os.environ["OTHER_KEY"] not in json.dumps(told["plan"])


def test_the_jobs_keep_off_the_faulted_nodes_and_go_with_the_run(server: ModelServer, tmp_path: Path) -> None:
    place = LocalPlace()
    from tierdrill.targets.kubernetes.manifests.load_jobs import load_jobs as jobs_of

    assert place.settings.load is not None
    owner = {"kind": "ConfigMap", "name": f"run-{RUN}", "uid": "u-1"}
    master, workers = jobs_of(place.settings.load, RUN, {"tierdrill.io/run": RUN}, owner, ["node-3"], 60.0)
    assert [one["metadata"]["ownerReferences"] for one in (master, workers)] == [[owner], [owner]]
    assert (master["spec"]["completions"], workers["spec"]["completions"]) == (1, 2)
    spec = workers["spec"]["template"]["spec"]
    assert "node-3" in json.dumps(spec["affinity"]) and not spec["automountServiceAccountToken"]
    assert workers["metadata"]["labels"][PART_LABEL] == WORKER
