"""Faults of a model store are proven by the kernel and by what the store itself gives."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Asked, Endpoint
from tests.targets.one_replica import OneReplica
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.node.weight_cache import fill
from tierdrill.process.identity import identify
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab import state_store, tier_policy
from tierdrill.targets.lab.fault_port import LAB_FAULTS
from tierdrill.targets.lab.faults import load_surge

WEIGHTS = b"weights"


class Lab(OneReplica):
    """One store, whose process is real and whose answers are the test's."""

    damaged = False

    def answer(self, asked: Asked) -> Answer:
        sums = hashlib.sha256(WEIGHTS).hexdigest()
        if asked.path == "/manifest.json":
            return Answer(200, json.dumps({"assistant": {"reviewed": {"sha256": sums, "bytes": 7}}}).encode())
        assert asked.path == f"/blobs/{sums}"
        return Answer(200, b"weightz" if self.damaged else WEIGHTS)

    def status(self) -> dict[str, Any]:
        found = identify(self.process.pid)
        assert found is not None
        process = {"name": "store-a", "program": "store", "pid": found.pid, "ticks": found.ticks}
        return {"processes": [{**process, "address": self.address}, {"name": "node-1", "program": "node"}]}

    def signal_process(self, process: str, name: str) -> None:
        assert process == "store-a"
        os.kill(self.process.pid, getattr(signal, f"SIG{name}"))
        if name == "STOP":
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
            self.address = "127.0.0.1:1"

    def corrupt_store(self, store: str, model: str, corrupt: bool) -> None:
        assert (store, model) == ("store-a", "assistant")
        self.damaged = corrupt


@pytest.fixture
def lab(endpoint: Endpoint) -> Iterator[Lab]:
    lab = Lab(endpoint)
    yield lab
    lab.end_process()


def test_a_store_that_answers_nobody(lab: Lab, endpoint: Endpoint) -> None:
    client, fault = cast(LabClient, lab), LAB_FAULTS["model-store-unreachable"]
    with pytest.raises(TargetError, match="got store 'store-z', expected one of: store-a"):
        fault.bind(client, {}, {"store": "store-z"})
    p = {"store": "store-a", **fault.bind(client, {}, {"store": "store-a"})}
    assert not fault.landed(client, p).seen and fault.gone(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen
    with pytest.raises(LabError, match="store-a does not answer"):
        fault.gone(client, p)
    for _ in range(2):
        fault.revert(client, p)
    lab.address = endpoint.address
    assert fault.gone(client, p).seen


def test_a_store_that_gives_damaged_weights(lab: Lab) -> None:
    client, fault = cast(LabClient, lab), LAB_FAULTS["model-store-corrupt"]
    p = {"store": "store-a", "model": "assistant"}
    with pytest.raises(TargetError, match="got model 'draft', expected one of: assistant"):
        fault.bind(client, {}, {**p, "model": "draft"})
    p |= fault.bind(client, {}, p)
    assert not fault.landed(client, p).seen and fault.gone(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    with pytest.raises(TargetError, match="already before"):
        fault.bind(client, {}, p)
    fault.revert(client, p)
    assert fault.gone(client, p).seen


SHOWN = b"""
tierdrill_requests_total{tier="critical",outcome="served"} 3
tierdrill_tier_rank{tier="critical"} 1
"""


def test_witnesses_ask_no_proxy_of_the_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    endpoint.answer = lambda asked: Answer(200, b'{"header": {"revision": "7"}}' if asked.path != "/metrics" else SHOWN)
    assert state_store.healthy(endpoint.address) and state_store._revision(endpoint.address) == 7
    assert load_surge.arrived(endpoint.address, "critical") == 3
    told = {"addresses": {"gateways": {"gateway-a": endpoint.address}}}
    client = cast(LabClient, SimpleNamespace(status=lambda: told))
    assert tier_policy._shown(client, "tierdrill_tier_rank") == [{"critical": 1.0}]


class NodeLab:
    """One node, whose folder is real."""

    def __init__(self, folder: Path) -> None:
        self.lab = SimpleNamespace(folder=str(folder))
        self.weights = folder / "nodes" / "node-1" / "weights"
        self.weights.mkdir(parents=True)

    def fill_disk(self, node: str, free_percent: int | None) -> None:
        assert node == "node-1"
        fill(self.weights, free_percent)


def test_a_disk_is_full_by_the_files_on_it(tmp_path: Path) -> None:
    lab, fault = NodeLab(tmp_path), LAB_FAULTS["node-disk-full"]
    client, state = cast(LabClient, lab), {"nodes": [{"name": "node-1"}]}
    with pytest.raises(TargetError, match="expected one of: node-1"):
        fault.bind(client, state, {"node": "node-9"})
    p = {"node": "node-1", "free_percent": 9}
    assert fault.bind(client, state, p) == {} and fault.gone(client, p).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    assert fault.landed(client, p).detail == "9% of the room for weights is free on node-1"
    with pytest.raises(TargetError, match="the disk of node-1 is full already"):
        fault.bind(client, state, p)
    fault.revert(client, p)
    fault.revert(client, p)
    assert fault.gone(client, p).seen and list(lab.weights.iterdir()) == []
