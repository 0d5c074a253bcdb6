"""Whoever dies, what stands is undone: at the end of orders, of the lease, of the plan, by the agent's next life."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROGRAM, Agent, Refusal, Start, state_of, until


def runs(pid: int) -> bool:
    return until(lambda: state_of(pid) in ("S", "R"))


def test_at_the_end_of_its_orders(agent: Agent, sleeper: int) -> None:
    agent.inject("hang", {"pid": sleeper})
    assert state_of(sleeper) == "T"
    assert agent.hang_up() == 0
    assert runs(sleeper)


def test_when_no_order_comes_for_as_long_as_the_lease(start_agent: Start, sleeper: int) -> None:
    agent = start_agent(lease_s=0.4)
    agent.inject("hang", {"pid": sleeper})
    assert runs(sleeper)
    assert agent.do("list")["faults"] == []
    assert "no order came for 0.4 s" in agent.events[0]["why"]
    with pytest.raises(Refusal, match="not armed"):
        agent.inject("hang", {"pid": sleeper})


def test_beats_renew_the_lease(start_agent: Start, sleeper: int) -> None:
    agent = start_agent(lease_s=5.0)
    agent.inject("hang", {"pid": sleeper})
    for _ in range(20):
        agent.do("beat")
    assert state_of(sleeper) == "T"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_when_it_is_told_to_end(agent: Agent, sleeper: int, number: signal.Signals) -> None:
    record = agent.bind("hang", {"pid": sleeper})
    agent.do("inject", record=record, self_timed=True, ends_in_s=600)
    agent.process.send_signal(number)
    assert agent.process.wait(20) == 0
    assert runs(sleeper)


def test_at_its_planned_end(agent: Agent, sleeper: int) -> None:
    record = agent.bind("hang", {"pid": sleeper})
    agent.do("inject", record=record, ends_in_s=0.3)
    assert runs(sleeper)
    until(lambda: agent.do("list")["faults"] == [])
    assert [one["why"] for one in agent.events] == ["its planned end"]


def test_a_self_timed_fault_outlives_its_orders_until_its_planned_end(agent: Agent, sleeper: int) -> None:
    record = agent.bind("hang", {"pid": sleeper})
    agent.do("inject", record=record, self_timed=True, ends_in_s=1.5)
    assert agent.process.stdin is not None
    agent.process.stdin.close()
    until(lambda: state_of(sleeper) == "T")
    with pytest.raises(subprocess.TimeoutExpired):
        agent.process.wait(0.2)
    assert agent.process.wait(20) == 0
    assert runs(sleeper)


@pytest.mark.parametrize("ends_in_s", [None, 0, -1, 4000, "soon"])
def test_a_self_timed_fault_needs_a_planned_end(agent: Agent, sleeper: int, ends_in_s: object) -> None:
    record = agent.bind("hang", {"pid": sleeper})
    with pytest.raises(Refusal, match="ends_in_s"):
        agent.do("inject", record=record, self_timed=True, ends_in_s=ends_in_s)
    assert state_of(sleeper) == "S"


def test_by_its_next_life_where_it_was_killed(start_agent: Start, sleeper: int, tmp_path: Path) -> None:
    agent = start_agent(journal=tmp_path / "journal")
    record = agent.inject("hang", {"pid": sleeper})
    agent.process.kill()
    agent.process.wait()
    assert state_of(sleeper) == "T"
    again = start_agent(journal=tmp_path / "journal")
    assert again.earlier == [  # type: ignore[attr-defined]
        {"fault": record["fault"], "why": "this program was started again", "outcome": "reverted"}
    ]
    assert runs(sleeper)
    third = start_agent(journal=tmp_path / "journal")
    assert third.earlier == []  # type: ignore[attr-defined]


def test_by_another_that_has_the_record_only(start_agent: Start, sleeper: int) -> None:
    agent = start_agent()
    record = agent.inject("hang", {"pid": sleeper})
    agent.process.kill()
    agent.process.wait()
    assert start_agent().revert(record) == "reverted"
    assert runs(sleeper)


def test_a_fault_is_injected_once(agent: Agent, sleeper: int) -> None:
    record = agent.inject("hang", {"pid": sleeper})
    with pytest.raises(Refusal, match="injected already"):
        agent.do("inject", record=record)
    assert agent.revert(record) == "reverted"
    assert agent.revert(record) == "nothing to do"
    assert agent.do("revert", fault="never-heard-of")["outcome"] == "nothing to do"


def test_an_agent_that_is_not_read_undoes_all_the_same(start_agent: Start, sleeper: int) -> None:
    agent = start_agent(lease_s=2.0)
    agent.inject("hang", {"pid": sleeper})
    assert agent.process.stdin is not None
    agent.process.stdin.write((json.dumps({"id": 0, "do": "x" * 1000}) + "\n") * 2000)
    agent.process.stdin.flush()
    assert runs(sleeper)


class Serving:
    """An agent that serves a folder, as a container does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-I", "-B", str(PROGRAM), "--serve", str(folder)])

    def connect(self) -> Agent:
        agent = Agent([], "--connect", str(self.folder))
        agent.do("arm", lease_s=60)
        return agent


@pytest.fixture
def serving(tmp_path: Path):  # type: ignore[no-untyped-def]
    one = Serving(tmp_path / "agent")
    yield one
    one.process.kill()
    one.process.wait()


def end(agent: Agent) -> None:
    agent.process.kill()
    agent.process.wait()
    for pipe in (agent.process.stdin, agent.process.stdout):
        assert pipe is not None
        pipe.close()


def test_each_giver_of_orders_holds_what_it_has_injected(serving: Serving, sleeper: int) -> None:
    first, second = serving.connect(), serving.connect()
    record = first.inject("hang", {"pid": sleeper})
    end(second)
    assert first.seen(record)
    end(first)
    assert runs(sleeper)
    assert serving.process.poll() is None


def test_another_giver_of_orders_may_undo(serving: Serving, sleeper: int) -> None:
    first, second = serving.connect(), serving.connect()
    record = first.inject("hang", {"pid": sleeper})
    assert second.do("revert", fault=record["fault"])["outcome"] == "reverted"
    assert runs(sleeper)
    assert first.do("list")["faults"] == []
    end(first)
    end(second)


def test_a_serving_agent_that_is_killed_is_undone_by_its_next_life(serving: Serving, sleeper: int) -> None:
    first = serving.connect()
    first.inject("hang", {"pid": sleeper})
    serving.process.kill()
    serving.process.wait()
    assert first.process.wait(20) == 0
    end(first)
    assert state_of(sleeper) == "T"
    again = Serving(serving.folder)
    try:
        assert runs(sleeper)
        second = again.connect()
        assert [one["outcome"] for one in second.do("list")["undone"]] == ["reverted"]
        end(second)
    finally:
        again.process.terminate()
        assert again.process.wait(20) == 0


def test_its_socket_is_its_owners_only(serving: Serving) -> None:
    end(serving.connect())
    assert (serving.folder / "orders.sock").stat().st_mode & 0o777 == 0o600
    listening = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}
    assert str(serving.folder / "orders.sock") in listening
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(serving.folder / "orders.sock"))
