"""A surge is proven by what the gateways count, and is over when they count what is planned."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.targets.endpoint import Answer, Asked, Endpoint
from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.replica_api import POISON, POISON_EXIT
from tierdrill.load.child_line import CONTROL_FILE, LoadLine, StreamRates
from tierdrill.process.identity import me
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.faults import poison_request
from tierdrill.targets.lab.faults.load_surge import FAULT as SURGE
from tierdrill.targets.lab.faults.load_surge import arrived
from tierdrill.targets.lab.faults.poison_request import FAULT as POISONED
from tierdrill.targets.surging_load import SURE, likelihood


class Lab:
    """Two gateways that count what arrives at a rate, each the half of it; `rate` None is a gateway that is gone."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.rate = 20.0
        self.since = time.monotonic()
        endpoint.answer = self.answer
        self.address = endpoint.address
        self.gateways = {"gateway-a": self.address, "gateway-b": self.address}

    def answer(self, asked: Asked) -> Answer:
        arrivals = self.rate * (time.monotonic() - self.since) / 2
        body = (
            f'tierdrill_requests_total{{tier="best-effort",outcome="ok",code="200"}} {arrivals - 3}\n'
            'tierdrill_requests_total{tier="critical",outcome="ok",code="200"} 1000\n'
            'tierdrill_inflight{tier="best-effort"} 2\n'
            'tierdrill_queue_depth{tier="best-effort",model="draft"} 1\n'
        )
        return Answer(body=body.encode())

    def status(self) -> dict[str, Any]:
        return {"addresses": {"gateways": self.gateways}}


@pytest.fixture
def lab(endpoint: Endpoint) -> Lab:
    return Lab(endpoint)


def parameters(**changes: Any) -> dict[str, Any]:
    process = me()
    return {
        "stream": "batch",
        "rate_percent": 600,
        "tier": "best-effort",
        "own_rps": 20.0,
        "surged_rps": 120.0,
        "pid": process.pid,
        "ticks": process.ticks,
        **changes,
    }


def test_what_has_arrived_has_ended_or_waits_or_runs(lab: Lab) -> None:
    lab.rate = 0.0
    assert arrived(lab.address, "best-effort") == 0.0
    assert arrived(lab.address, "critical") == 1000.0
    assert arrived("127.0.0.1:1", "critical") is None


@pytest.mark.parametrize(("rate", "surges"), [(120.0, True), (20.0, False)])
def test_the_gateways_tell_a_surge_from_none(lab: Lab, rate: float, surges: bool) -> None:
    lab.rate = rate
    client = cast(LabClient, lab)
    before = time.time()
    landed, gone = SURGE.landed(client, parameters()), SURGE.gone(client, parameters())
    assert (landed.seen, gone.seen) == (surges, not surges)
    assert landed.witness == gone.witness == "the gateways' counts of arrivals"
    # Counting began when it was asked for, and the rate was that from then on.
    assert before <= landed.at <= time.time() and "without the surge" in landed.detail


def test_a_gateway_that_is_down_counts_nothing_and_the_other_does(lab: Lab) -> None:
    lab.rate = 240.0
    lab.gateways["gateway-b"] = "127.0.0.1:1"
    assert SURGE.landed(cast(LabClient, lab), parameters()).seen
    lab.gateways["gateway-a"] = "127.0.0.1:1"
    proof = SURGE.landed(cast(LabClient, lab), parameters())
    assert not proof.seen and "no gateway answers" in proof.detail


def test_a_load_that_has_ended_took_its_surge_along(lab: Lab) -> None:
    lab.rate = 120.0
    ended = parameters(pid=os.getpid(), ticks=1)
    proof = SURGE.gone(cast(LabClient, lab), ended)
    assert proof.seen and proof.witness == "the kernel's process table"
    assert SURGE.revert(cast(LabClient, lab), ended) is None


def test_the_order_is_bound_to_the_load_of_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"fault": "a-run/load-surge/batch", "home": str(tmp_path)}
    asked = {"stream": "batch", "rate_percent": 300, **about}
    with pytest.raises(TargetError, match="no load is running"):
        SURGE.bind(cast(LabClient, None), {}, asked)
    file = tmp_path / "runs" / "a-run" / CONTROL_FILE
    file.parent.mkdir(parents=True)
    process = me()
    file.write_text(
        json.dumps({"host": "127.0.0.1", "port": 1, "token": "t", "pid": process.pid, "ticks": process.ticks})
    )
    with pytest.raises(TargetError, match="is not responding"):
        SURGE.bind(cast(LabClient, None), {}, asked)
    monkeypatch.setattr(LoadLine, "ask", lambda self, stream, factor=None: StreamRates("best-effort", 8.0, 28.0, 1.0))
    bound = SURGE.bind(cast(LabClient, None), {}, asked)
    assert (bound["tier"], bound["own_rps"], bound["surged_rps"]) == ("best-effort", 28.0, 44.0)
    assert bound["control"] == str(file)
    assert (bound["pid"], bound["ticks"]) == (process.pid, process.ticks)
    monkeypatch.setattr(LoadLine, "ask", lambda self, stream, factor=None: StreamRates("best-effort", 0.0, 28.0, 1.0))
    with pytest.raises(TargetError, match="no rate that could grow"):
        SURGE.bind(cast(LabClient, None), {}, asked)


def test_one_rate_is_taken_for_the_other_less_than_once_in_two_hundred_times() -> None:
    """Poisson arrivals at the planned rate, judged as the witness does, every tenth of a second."""
    source = random.Random(5)

    def surge_seen(rate: float) -> bool:
        count, seconds = 0, 0.0
        next_at = source.expovariate(rate)
        while seconds < 60.0:
            seconds += 0.1
            while next_at < seconds:
                count, next_at = count + 1, next_at + source.expovariate(rate)
            if abs(ratio := likelihood(count, seconds, 24.0, 60.0)) >= SURE:
                return ratio > 0
        return False

    assert sum(surge_seen(24.0) for _ in range(1000)) <= 5
    assert sum(surge_seen(60.0) for _ in range(1000)) >= 995


class PoisonedLab:
    """One gateway that counts what it refused, and two replicas that may end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.refused, self.resets, self.shed = 0, 0, 7
        self.replicas = [{"name": f"assistant-{n}", "state": "ready", "exit_code": None} for n in (0, 1)]
        endpoint.answer = lambda asked: Answer(body=self.metrics().encode())
        self.address = endpoint.address

    def metrics(self) -> str:
        return (
            f'tierdrill_rejections_total{{tier="best-effort",reason="quarantined"}} {self.refused}\n'
            f'tierdrill_rejections_total{{tier="best-effort",reason="shed"}} {self.shed}\n'
            f'tierdrill_upstream_failures_total{{replica="assistant-0",kind="reset"}} {self.resets}\n'
            'tierdrill_upstream_failures_total{replica="assistant-0",kind="timeout"} 5\n'
        )

    def status(self) -> dict[str, Any]:
        return {"addresses": {"gateways": {"gateway-a": self.address, "gateway-b": "127.0.0.1:1"}}}

    def state(self) -> dict[str, Any]:
        return {"replicas": self.replicas}

    def start_replica(self, name: str) -> None:
        for one in self.replicas:
            if one["name"] == name:
                one |= {"state": "starting", "exit_code": None}


def test_poison_is_there_while_replicas_end_by_it_or_gateways_refuse_it(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, process, orders = PoisonedLab(endpoint), me(), []

    def ask(self: LoadLine, stream: str, factor: float | None = None, **poison: Any) -> StreamRates:
        orders.extend([poison] if poison else [])
        return StreamRates("best-effort", 8.0, 28.0, 1.0)

    monkeypatch.setattr(LoadLine, "ask", ask)
    monkeypatch.setattr(poison_request, "QUIET_S", 0.0)
    client = cast(LabClient, lab)
    p: dict[str, Any] = {"stream": "batch", "share_percent": 20, "fault": "a-run/f", "home": str(tmp_path)}
    file = tmp_path / "runs" / "a-run" / CONTROL_FILE
    file.parent.mkdir(parents=True)
    LoadLine("127.0.0.1", 1, "t", process.pid, process.ticks).write(file)
    p |= POISONED.bind(client, {}, p)
    assert not POISONED.landed(client, p).seen and POISONED.gone(client, p).seen
    POISONED.inject(client, p)
    assert orders == [{"poison_percent": 20, "poison_prompt": POISON}]
    lab.shed += 1
    lab.replicas[0]["state"], lab.replicas[0]["exit_code"] = "exited", 1
    assert not POISONED.landed(client, p).seen, "what ends by something else, or is shed, says nothing of it"
    lab.replicas[1]["state"], lab.replicas[1]["exit_code"] = "exited", POISON_EXIT
    proof = POISONED.landed(client, p)
    assert proof.seen and proof.detail == "assistant-1 ended by it; 0 requests of it seen"
    assert not POISONED.gone(client, p).seen
    POISONED.revert(client, p)
    assert orders[-1]["poison_percent"] == 0 and [one["state"] for one in lab.replicas] == ["exited", "starting"]
    assert POISONED.gone(client, p).seen
    lab.refused += 1
    assert POISONED.landed(client, p).seen, "they refuse it"
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(lab, "refused", lab.refused + 1))
    assert not POISONED.gone(client, p).seen, "it still comes"
    # The generator has ended: it sends nothing any more, and nobody waits for its silence.
    assert POISONED.gone(client, {**p, "ticks": 1}).seen
    before = len(orders)
    POISONED.revert(client, {**p, "ticks": 1})
    assert len(orders) == before
