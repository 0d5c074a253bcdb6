"""A flipped bit is proven by what the replica answers, and is gone with the process whose memory it was in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Asked, Endpoint
from tests.targets.one_replica import OneReplica
from tierdrill.lab.client import LabClient
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.fault_port import LAB_FAULTS
from tierdrill.targets.lab.faults.bit_flip import FAULT as FLIP
from tierdrill.targets.lab.faults.bit_flip import replica_answers

PARAMETERS = {"replica": "assistant-1", "weight": 500, "bit": 13}


class Lab(OneReplica):
    """One replica, whose answers to the golden prompts are as its weights are."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.flipped, self.status = False, 200

    def answer(self, asked: Asked) -> Answer:
        return Answer(self.status, json.dumps({"ok": not self.flipped, "checksum": "c"}).encode())

    def flip_bit(self, replica: str, index: int, bit: int, flipped: bool) -> None:
        assert (replica, index, bit) == ("assistant-1", 500, 13)
        self.flipped = flipped


@pytest.fixture
def lab(endpoint: Endpoint) -> Iterator[Lab]:
    lab = Lab(endpoint)
    yield lab
    lab.end_process()


def bound(lab: Lab) -> dict[str, Any]:
    return {**PARAMETERS, **FLIP.bind(cast(LabClient, lab), lab.state(), dict(PARAMETERS))}


def test_wrong_answers_prove_it_and_right_ones_that_it_is_gone(lab: Lab) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    assert not FLIP.landed(client, p).seen
    FLIP.inject(client, p)
    assert FLIP.landed(client, p).seen and not FLIP.gone(client, p).seen
    assert replica_answers(client, "assistant-1") == "wrong"
    for _ in range(2):
        FLIP.revert(client, p)
    assert FLIP.gone(client, p).seen and not FLIP.landed(client, p).seen
    assert replica_answers(client, "assistant-1") == "right"


@pytest.mark.parametrize("silent", ["refused", "failing", "unplaced"])
def test_no_answer_proves_neither(lab: Lab, silent: str) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    if silent == "failing":
        lab.status = 500
    elif silent == "unplaced":
        lab.address = None
    else:
        lab.address = "127.0.0.1:1"
    assert not FLIP.landed(client, p).seen and not FLIP.gone(client, p).seen
    assert replica_answers(client, "assistant-1") == "unknown"


def test_a_process_that_has_ended_took_its_weights_along(lab: Lab) -> None:
    client, p = cast(LabClient, lab), bound(lab)
    FLIP.inject(client, p)
    lab.end_process()
    assert FLIP.gone(client, p).seen
    FLIP.revert(client, p)
    assert lab.flipped, "the new process of that name is not told to change its weights"


def test_what_answers_wrongly_already_is_no_target(lab: Lab) -> None:
    lab.flipped = True
    with pytest.raises(TargetError, match="wrongly"):
        bound(lab)
    with pytest.raises(TargetError, match="expected one of: assistant-1"):
        FLIP.bind(cast(LabClient, lab), lab.state(), {**PARAMETERS, "replica": "assistant-9"})


class Pair(Lab):
    """Two replicas of one model in one process; both answer as the revision does that was rolled out last."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.names = ["assistant-0", "assistant-1"]

    def state(self) -> dict[str, Any]:
        found = super().state()["replicas"][0]
        return {"replicas": [{**found, "name": name, "tier": "critical"} for name in self.names]}

    def roll_out(self, model: str, revision: str) -> None:
        assert model == "assistant"
        self.flipped = revision != "reviewed"


def test_a_model_has_drifted_once_each_of_its_replicas_answers_wrongly(endpoint: Endpoint) -> None:
    lab, fault = Pair(endpoint), LAB_FAULTS["model-drift"]
    client, p = cast(LabClient, lab), {"tier": "critical", "model": "assistant"}
    with pytest.raises(TargetError, match="no running replica"):
        fault.bind(client, lab.state(), {**p, "model": "draft"})
    p |= fault.bind(client, lab.state(), p)
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    with pytest.raises(TargetError, match="rightly before"):
        fault.bind(client, lab.state(), p)
    lab.names = lab.names[:1]
    with pytest.raises(TargetError, match="one replica only"):
        fault.bind(client, lab.state(), p)
    for _ in range(2):
        fault.revert(client, p)
    assert fault.gone(client, p).seen
    lab.end_process()
    assert not fault.gone(client, p).seen and not fault.landed(client, p).seen
