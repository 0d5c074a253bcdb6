"""Noise in a kernel log is proven by whoever reads the log: it is heard, and it falls silent."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.faults.xid_noise import FAULT as NOISE

PARAMETERS = {"node": "node-1", "count": 500, "per_second": 50}


class Lab:
    """A node whose agent counts; each look at it may find more lines."""

    def __init__(self) -> None:
        self.counted = 7
        self.coming = 0
        self.boot = "b1"
        self.ready = True
        self.power = "on"
        self.reachable = True
        self.asked: list[tuple[object, ...]] = []

    def state(self) -> dict[str, Any]:
        return {"nodes": [{"name": "node-1", "ready": self.ready, "boot_id": self.boot, "gpus": []}], "replicas": []}

    def status(self) -> dict[str, Any]:
        return {"power": {"node-1": self.power}}

    def agent(self, node: str) -> dict[str, Any]:
        if not self.reachable:
            raise LabError("the agent of node-1 does not run", 409)
        self.counted += self.coming
        return {"boot_id": self.boot, "gpus": [{"xid_lines": {"45": self.counted, "79": 1}}, {"xid_lines": {}}]}

    def kernel_noise(self, *arguments: object) -> None:
        self.asked.append(arguments)
        self.coming = 3

    def stop_kernel_noise(self, node: str) -> None:
        self.coming = 0


def bound(lab: Lab) -> tuple[LabClient, dict[str, Any]]:
    client = cast(LabClient, lab)
    return client, {**PARAMETERS, **NOISE.bind(client, lab.state(), dict(PARAMETERS))}


def test_it_is_heard_and_falls_silent() -> None:
    lab = Lab()
    client, p = bound(lab)
    assert not NOISE.landed(client, p).seen, "lines of before are not this burst's"
    NOISE.inject(client, p)
    assert lab.asked == [("node-1", 45, 500, 50)]
    landed = NOISE.landed(client, p)
    assert landed.seen and "3 new lines of XID 45" in landed.detail and "agent of node-1" in landed.witness
    assert not NOISE.gone(client, p).seen
    NOISE.revert(client, p)
    assert NOISE.gone(client, p).seen


def test_a_node_that_booted_meanwhile_counts_from_nothing() -> None:
    lab = Lab()
    client, p = bound(lab)
    lab.boot, lab.counted = "b2", 0
    assert not NOISE.landed(client, p).seen
    lab.counted = 1
    assert NOISE.landed(client, p).seen


def test_an_agent_that_does_not_answer_proves_nothing_and_a_node_without_power_is_silent() -> None:
    lab = Lab()
    client, p = bound(lab)
    lab.reachable = False
    assert not NOISE.gone(client, p).seen
    lab.power = "off"
    assert NOISE.gone(client, p).seen


def test_a_node_that_nobody_hears_is_refused() -> None:
    lab = Lab()
    lab.ready = False
    with pytest.raises(TargetError, match="not ready"):
        bound(lab)
