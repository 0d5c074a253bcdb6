"""Lost telemetry is proven by a scrape, and told apart from a node that is lost."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Endpoint
from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.faults.node_clock_skew import FAULT as SKEW
from tierdrill.targets.lab.faults.telemetry_loss import FAULT as LOSS
from tierdrill.targets.lab.faults.telemetry_loss import exporter_lost
from tierdrill.targets.lab.faults.telemetry_stale import FAULT as STALE

PARAMETERS = {"node": "node-1"}
METRICS = b'DCGM_FI_DEV_GPU_TEMP{gpu="0"} 40\n'


class Lab:
    """One node, its agent, and an exporter that answers as it is told."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.answer: tuple[int, bytes] = (200, METRICS)
        self.ready, self.power, self.agent_runs = True, "on", True
        self.set: list[tuple[str, bool]] = []
        self.endpoint = endpoint
        self.tells_time, self.ahead_s = True, 0.0
        endpoint.answer = lambda asked: Answer(self.answer[0], self.answer[1] + self.time())

    def time(self) -> bytes:
        return b'node_time_seconds{node="node-1"} %f\n' % (time.time() + self.ahead_s if self.tells_time else 1.5)

    def state(self) -> dict[str, Any]:
        return {"nodes": [{"name": "node-1", "ready": self.ready, "boot_id": "b1"}], "replicas": []}

    def status(self) -> dict[str, Any]:
        return {"power": {"node-1": self.power}}

    def agent(self, node: str) -> dict[str, Any]:
        if not self.agent_runs:
            raise LabError("the agent of node-1 does not run", 409)
        return {"agent": self.endpoint.address}

    def set_exporter(self, node: str, up: bool, *, frozen: bool = False, with_clock: bool = False) -> None:
        self.set.append((node, up))
        self.tells_time = not (frozen and with_clock)

    def skew_clock(self, node: str, seconds: float) -> None:
        self.ahead_s = seconds


@pytest.fixture
def lab(endpoint: Endpoint) -> Lab:
    return Lab(endpoint)


@pytest.mark.parametrize(
    ("answer", "lost"), [((200, METRICS), False), ((503, b"no"), True), ((200, b"up 1\n"), True), ((404, b""), True)]
)
def test_what_a_scrape_proves(lab: Lab, answer: tuple[int, bytes], lost: bool) -> None:
    client, p = cast(LabClient, lab), dict(PARAMETERS)
    lab.answer = answer
    assert LOSS.landed(client, p).seen is lost
    assert LOSS.gone(client, p).seen is not lost
    assert exporter_lost(client, "node-1") is lost


def test_an_exporter_that_is_gone_is_lost_and_a_node_that_is_gone_is_something_else(lab: Lab) -> None:
    client, p = cast(LabClient, lab), dict(PARAMETERS)
    lab.endpoint.close()
    assert LOSS.landed(client, p).seen and not LOSS.gone(client, p).seen
    lab.agent_runs = False
    assert not LOSS.landed(client, p).seen and not LOSS.gone(client, p).seen
    assert not exporter_lost(client, "node-1")
    lab.power = "off"
    assert LOSS.gone(client, p).seen
    LOSS.revert(client, p)
    assert lab.set == [], "a node that is off has no exporter to start"


def test_only_a_node_that_is_well_has_lost_its_exporter(lab: Lab) -> None:
    client = cast(LabClient, lab)
    lab.answer = (503, b"")
    assert not exporter_lost(client, "gateway-a") and not exporter_lost(client, "controller")
    lab.ready = False
    assert not exporter_lost(client, "node-1")
    with pytest.raises(TargetError, match="not ready"):
        LOSS.bind(client, lab.state(), dict(PARAMETERS))
    with pytest.raises(TargetError, match="expected one of: node-1"):
        LOSS.bind(client, lab.state(), {"node": "node-2"})


def test_it_is_stopped_and_started_again(lab: Lab) -> None:
    client, p = cast(LabClient, lab), dict(PARAMETERS)
    LOSS.inject(client, p)
    LOSS.revert(client, p)
    assert lab.set == [("node-1", False), ("node-1", True)]


def test_one_that_repeats_itself_is_proven_by_its_time(lab: Lab) -> None:
    client, p = cast(LabClient, lab), dict(PARAMETERS)
    assert STALE.gone(client, p).seen and not STALE.landed(client, p).seen
    STALE.inject(client, p)
    assert STALE.landed(client, p).seen and not STALE.gone(client, p).seen
    assert exporter_lost(client, "node-1") and LOSS.gone(client, p).seen, "it answers, and is lost for what it says"
    STALE.revert(client, p)
    STALE.revert(client, p)
    assert STALE.gone(client, p).seen and not exporter_lost(client, "node-1")
    lab.answer = (503, b"no")
    assert not STALE.landed(client, p).seen and not STALE.gone(client, p).seen, "nobody can tell"
    lab.power = "off"
    assert STALE.gone(client, p).seen


def test_a_clock_is_off_by_the_witness_own(lab: Lab) -> None:
    client, p = cast(LabClient, lab), {**PARAMETERS, "seconds": 30}
    assert SKEW.gone(client, p).seen and not SKEW.landed(client, p).seen
    SKEW.inject(client, p)
    proof = SKEW.landed(client, p)
    assert proof.seen and proof.detail.startswith("the clock of node-1 is ") and not SKEW.gone(client, p).seen
    lab.answer = (503, b"")
    assert not SKEW.landed(client, p).seen and not SKEW.gone(client, p).seen, "nobody tells"
    lab.answer = (200, METRICS)
    SKEW.revert(client, p)
    SKEW.revert(client, p)
    assert SKEW.gone(client, p).seen
    SKEW.inject(client, p)
    lab.power = "off"
    SKEW.revert(client, p)
    assert lab.ahead_s == 30 and SKEW.gone(client, p).seen, "its next boot has another agent"
