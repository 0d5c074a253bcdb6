"""Agents and scouts as pods, and the line over which one is told what to do: here to the program itself."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.home import checkout
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.agents import AgentLine, agent_pod, program
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.exec_stream import Ended

TIERS = {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}
IMAGE = {"name": "registry.example.org/python:3.12", "pull_secrets": ["regcred"], "host_paths": ["/usr"]}


class LocalStream:
    """An ExecStream to a program of this machine."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ApiError(f"the connection broke: {error}") from error

    def read_line(self, within_s: float) -> str | None:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], within_s)[0]:
            raise TimeoutError
        line = self.process.stdout.raw.readline()  # type: ignore[attr-defined]
        return line.decode().rstrip("\n") if line else None

    def finish(self, within_s: float) -> Ended:
        return Ended(self.process.wait(10), "", "")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def stream() -> Iterator[LocalStream]:
    root = checkout()
    assert root is not None
    one = LocalStream(sys.executable, "-I", "-B", str(root / "agent"))
    yield one
    one.process.kill()
    one.process.wait()
    # Who still reads would read on from whatever gets the pipe's number next.
    for thread in threading.enumerate():
        if thread.name.startswith("agent on node-2: _read"):
            thread.join(30)
    for pipe in (one.process.stdin, one.process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()


def line_of(stream: LocalStream, lease_s: float = 60.0) -> AgentLine:
    return AgentLine("agent on node-2", stream, lease_s)  # type: ignore[arg-type]


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_orders_are_answered_and_refusals_are_told(stream: LocalStream) -> None:
    line = line_of(stream)
    assert line.order("list")["faults"] == []
    with pytest.raises(TargetError, match=r"agent on node-2: got kind 'nothing'"):
        line.order("bind", fault="a", kind="nothing", target={}, parameters={})
    assert line.open


def test_a_beat_keeps_what_was_injected_and_leaving_ends_it(stream: LocalStream) -> None:
    with subprocess.Popen(["sleep", "100"]) as sleeper:
        try:
            line = line_of(stream, lease_s=0.8)
            bound = line.order("bind", fault="a", kind="hang", target={"pid": sleeper.pid}, parameters={})
            line.order("inject", record=bound["record"])
            until = time.monotonic() + 2.5 * 0.8
            while time.monotonic() < until:
                assert line.order("look", fault="a")["seen"]
            line.close()
            assert stream.process.wait(20) == 0
            assert not stopped(sleeper.pid)
        finally:
            sleeper.kill()


def test_a_program_that_ends_is_told_with_the_next_order(stream: LocalStream) -> None:
    line = line_of(stream)
    stream.process.kill()
    stream.process.wait()
    with pytest.raises(TargetError, match="agent on node-2: "):
        line.order("list")
    assert not line.open


def test_no_answer_is_told(stream: LocalStream) -> None:
    line = line_of(stream)
    stream.process.send_signal(19)
    with pytest.raises(TargetError, match=r"no answer to list within 0.1 s"):
        line.order("list", 0.1)


def with_(**settings: Any) -> KubernetesSettings:
    return KubernetesSettings.model_validate({"tiers": TIERS, "image": IMAGE, **settings})


def test_an_agents_pod_has_privilege_and_no_token_and_a_scouts_the_reverse_of_privilege() -> None:
    agent, scout = agent_pod(with_(), "run-1", "node-2"), agent_pod(with_(), "run-1", None, ("node-2", "node-3"))
    for pod in (agent, scout):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False and "hostNetwork" not in spec
        assert "ports" not in spec["containers"][0]
        assert spec["imagePullSecrets"] == [{"name": "regcred"}]
        assert pod["metadata"]["labels"]["tierdrill.io/run"] == "run-1"
    assert agent["spec"]["nodeName"] == "node-2" and agent["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert agent["spec"]["containers"][0]["securityContext"] == {"privileged": True}
    rights = scout["spec"]["containers"][0]["securityContext"]
    assert rights["runAsNonRoot"] and not rights["allowPrivilegeEscalation"] and "hostPID" not in scout["spec"]
    assert "'NotIn', 'values': ['node-2']" in str(scout["spec"]["affinity"])
    assert agent["metadata"]["name"] != agent_pod(with_(), "run-2", "node-2")["metadata"]["name"]


def test_agents_need_an_image_and_leave() -> None:
    with pytest.raises(TargetError, match=r"kubernetes\.image"):
        agent_pod(with_(image=None), "run-1", "node-2")
    with pytest.raises(TargetError, match=r"kubernetes\.agent: forbidden"):
        agent_pod(with_(agent="forbidden"), "run-1", "node-2")
    agent_pod(with_(agent="forbidden"), "run-1", None)


def test_the_program_fits_a_config_map() -> None:
    files = program()
    assert {"__main__.py", "orders.py"} <= set(files)
    assert sum(map(len, files.values())) < 500_000
