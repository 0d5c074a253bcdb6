"""A replica that answers with errors is proven by its own answers, and its errors are gone with its process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Asked, Endpoint
from tests.targets.one_replica import OneReplica
from tierdrill.lab.client import LabClient
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.faults.replica_errors import FAULT as ERRORS


class Lab(OneReplica):
    """One replica; each fourth of its answers is an error where so many were asked for, or each."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.percent, self.asked, self.ready = 0, 0, 200
        self.broken: tuple[int, Any] | None = None

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            assert asked.path == "/v2/health/ready"
            return Answer(self.ready, json.dumps({"ready": self.ready == 200}).encode())
        said = json.loads(asked.body)
        assert (asked.path, said["model"], said["max_tokens"]) == ("/v1/completions", "assistant", 1)
        self.asked += 1
        fails = self.percent and self.asked % (100 // self.percent) == 0
        error = {"error": {"type": "InternalServerError", "message": "CUDA error"}}
        status, document = self.broken or ((500, error) if fails else (200, {"choices": []}))
        return Answer(status, json.dumps(document).encode())

    def change_errors(self, replica: str, percent: int) -> None:
        assert replica == "assistant-1"
        self.percent = percent


@pytest.fixture
def lab(endpoint: Endpoint) -> Iterator[Lab]:
    lab = Lab(endpoint)
    yield lab
    lab.end_process()


def bound(lab: Lab, percent: int = 100) -> dict[str, Any]:
    parameters = {"replica": "assistant-1", "error_percent": percent}
    return {**parameters, **ERRORS.bind(cast(LabClient, lab), lab.state(), dict(parameters))}


@pytest.mark.parametrize("percent", [100, 25, 10])
def test_an_error_proves_it_and_answers_enough_that_it_is_gone(lab: Lab, percent: int) -> None:
    client, p = cast(LabClient, lab), bound(lab, percent)
    assert not ERRORS.landed(client, p).seen
    ERRORS.inject(client, p)
    assert ERRORS.landed(client, p).seen and not ERRORS.gone(client, p).seen
    for _ in range(2):
        ERRORS.revert(client, p)
    assert ERRORS.gone(client, p).seen and not ERRORS.landed(client, p).seen


def test_a_replica_that_is_not_ready_is_another_fault(lab: Lab) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    ERRORS.inject(client, p)
    lab.ready = 503
    proof = ERRORS.landed(client, p)
    assert not proof.seen and "status 500" in proof.detail and "not ready" in proof.detail


@pytest.mark.parametrize(
    "broken",
    ["refused", "unplaced", (500, {"error": {"type": "cuda_error", "message": "m"}}), (502, []), (500, {"error": "m"})],
    ids=str,
)
def test_no_answer_and_another_error_prove_neither(lab: Lab, broken: Any) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    if broken == "refused":
        lab.address = "127.0.0.1:1"
    elif broken == "unplaced":
        lab.address = None
    else:
        lab.broken = broken
    assert not ERRORS.landed(client, p).seen and not ERRORS.gone(client, p).seen


def test_a_process_that_has_ended_took_its_errors_along(lab: Lab) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    ERRORS.inject(client, p)
    lab.end_process()
    assert ERRORS.gone(client, p).seen
    ERRORS.revert(client, p)
    assert lab.percent == 100, "the new process of that name is not told anything"


def test_what_fails_already_is_no_target(lab: Lab) -> None:
    lab.percent = 100
    with pytest.raises(TargetError, match="status 500"):
        bound(lab)
    with pytest.raises(TargetError, match="expected one of: assistant-1"):
        ERRORS.bind(cast(LabClient, lab), lab.state(), {"replica": "assistant-9", "error_percent": 100})
