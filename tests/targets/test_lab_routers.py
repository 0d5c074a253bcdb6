"""A router that fails closed, or is lost, is proven by a request sent as its customers send theirs."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Asked, Endpoint
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.gateway.picker import LOST
from tierdrill.process.identity import me
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.faults.gateway_crash import FAULT as CRASH
from tierdrill.targets.lab.faults.router_fail_closed import FAULT as CLOSED
from tierdrill.targets.lab.faults.router_fail_closed import router_state

PARAMETERS = {"gateway": "gateway-a"}


class Lab:
    """One gateway that answers as it is told, and one that is down."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.answer: tuple[int, dict[str, str]] = (200, {})
        self.asked: list[dict[str, Any]] = []
        self.alive = True
        self.replicas = [
            {"rank": 2, "model": "summarizer", "ready": True},
            {"rank": 1, "model": "assistant", "ready": True},
        ]
        self.set: list[tuple[bool, str]] = []
        self.told: list[tuple[str, ...]] = []
        self.process = (me().pid, me().ticks)
        self.endpoint = endpoint
        endpoint.answer = self.ask

    def ask(self, asked: Asked) -> Answer:
        self.asked.append(json.loads(asked.body))
        status, headers = self.answer
        return Answer(status, headers=headers)

    def status(self) -> dict[str, Any]:
        processes = [
            {"name": "gateway-a", "program": "gateway", "alive": self.alive}
            | dict(zip(("pid", "ticks"), self.process, strict=True)),
            {"name": "gateway-b", "program": "gateway", "alive": False},
            {"name": "node-1", "program": "node", "alive": True},
        ]
        return {"addresses": {"gateways": {"gateway-a": self.endpoint.address}}, "processes": processes}

    def state(self) -> dict[str, Any]:
        return {"nodes": [], "replicas": self.replicas}

    def to_gateways(self, _: str, changes: dict[str, bool], gateway: str) -> None:
        self.set.append((changes["up"], gateway))

    def signal_process(self, *told: str) -> None:
        self.told.append(told)

    def start_process(self, *told: str) -> None:
        self.told.append(told)

    def gateways(self, _: str, gateway: str) -> dict[str, Any]:
        if gateway != "gateway-a" or not self.alive:
            raise LabError(f"got gateway {gateway!r}", 404)
        return {"gateway-a": {"up": False, "state": "fails-closed"}}


@pytest.fixture
def lab(endpoint: Endpoint) -> Lab:
    return Lab(endpoint)


def bound(lab: Lab, gateway: str = "gateway-a") -> tuple[LabClient, dict[str, Any]]:
    client, p = cast(LabClient, lab), {"gateway": gateway}
    return client, {**p, **CLOSED.bind(client, lab.state(), p)}


@pytest.mark.parametrize(
    ("answer", "landed", "gone"),
    [
        ((200, {}), False, True),
        ((500, {"x-error-reason": LOST}), True, False),
        ((500, {"x-error-reason": "upstream-5xx"}), False, True),
        ((503, {"x-rejected-reason": "no-endpoint"}), False, True),
        ((429, {"x-rejected-reason": "shed"}), False, True),
        ((200, {"x-router": "fails-open"}), False, False),
    ],
)
def test_what_an_answer_proves(lab: Lab, answer: tuple[int, dict[str, str]], landed: bool, gone: bool) -> None:
    client, p = bound(lab)
    lab.answer = answer
    assert CLOSED.landed(client, p).seen is landed
    assert CLOSED.gone(client, p).seen is gone
    assert {one["model"] for one in lab.asked} == {"assistant"}, "the most important model that is served"


def test_it_is_injected_and_reverted_at_that_gateway(lab: Lab) -> None:
    client, p = bound(lab)
    CLOSED.inject(client, p)
    CLOSED.revert(client, p)
    assert lab.set == [(False, "gateway-a"), (True, "gateway-a")]


def test_a_gateway_that_has_ended_took_its_lost_picker_along(lab: Lab) -> None:
    client, p = bound(lab)
    lab.alive = False
    CLOSED.revert(client, p)
    assert lab.set == [] and CLOSED.gone(client, p).seen


def test_a_gateway_that_crashes_is_gone_by_the_kernels_word_and_back_when_it_serves(lab: Lab) -> None:
    client, p = cast(LabClient, lab), dict[str, Any](PARAMETERS)
    p |= CRASH.bind(client, lab.state(), p)
    assert not CRASH.landed(client, p).seen, "the process of before lives"
    CRASH.inject(client, p)
    assert CRASH.landed(client, p | {"ticks": me().ticks - 1}).seen
    lab.answer = (500, {"x-error-reason": LOST})
    assert not CRASH.gone(client, p).seen
    lab.answer = (200, {})
    CRASH.revert(client, p)
    assert CRASH.gone(client, p).seen and lab.told == [("gateway-a", "KILL"), ("gateway-a",)]
    lab.endpoint.close()
    assert not CRASH.gone(client, p).seen


def test_no_answer_proves_nothing(lab: Lab) -> None:
    client, p = bound(lab)
    lab.endpoint.close()
    assert not CLOSED.landed(client, p).seen and not CLOSED.gone(client, p).seen


def test_what_cannot_be_told_is_refused(lab: Lab) -> None:
    with pytest.raises(TargetError, match="expected one of: gateway-a, gateway-b"):
        bound(lab, "gateway-c")
    with pytest.raises(TargetError, match="gateway-b does not run"):
        bound(lab, "gateway-b")
    for replica in lab.replicas:
        replica["ready"] = False
    with pytest.raises(TargetError, match="no replica is ready"):
        bound(lab)


def test_the_state_of_a_router_in_one_word(lab: Lab) -> None:
    client = cast(LabClient, lab)
    assert router_state(client, "gateway-a") == "fails-closed"
    assert router_state(client, "gateway-b") == "down"
    with pytest.raises(LabError, match="gateway-c"):
        router_state(client, "gateway-c")
