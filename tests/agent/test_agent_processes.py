"""Processes of a pod that are killed, killed again or stopped, found by its uid and its container's id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from conftest import Agent, Pod, Refusal, Start, state_of, until


def test_stopping_a_container_stops_all_its_processes_and_no_other(agent: Agent, pod: Pod) -> None:
    record = agent.inject("hang", pod.target)
    assert state_of(pod.main) == state_of(pod.child) == "T" and state_of(pod.beside) == "S"
    assert agent.seen(record)
    assert agent.revert(record) == "reverted"
    until(lambda: state_of(pod.main) == state_of(pod.child) == "S")
    assert not agent.seen(record)
    assert agent.revert(record) == "nothing to do"


def test_what_comes_into_a_stopped_container_is_stopped_too(agent: Agent, pod: Pod) -> None:
    agent.inject("hang", pod.target)
    late = subprocess.Popen(["sh", "-c", f"echo $$ > {pod.folder}/{pod.container}/cgroup.procs; exec sleep 1000"])
    try:
        until(lambda: state_of(late.pid) == "T")
        assert agent.hang_up() == 0
        until(lambda: state_of(late.pid) == "S")
    finally:
        late.kill()
        late.wait()


def test_what_was_stopped_before_stays_stopped(agent: Agent, pod: Pod) -> None:
    os.kill(pod.child, signal.SIGSTOP)
    until(lambda: state_of(pod.child) == "T")
    record = agent.inject("hang", pod.target)
    agent.revert(record)
    until(lambda: state_of(pod.main) == "S")
    assert state_of(pod.child) == "T"


def test_a_container_can_be_stopped_once_at_a_time(agent: Agent, pod: Pod) -> None:
    agent.inject("hang", pod.target)
    with pytest.raises(Refusal, match="stopped already"):
        agent.bind("hang", pod.target)


def test_a_crash_kills_the_first_process_of_the_container_only(agent: Agent, pod: Pod) -> None:
    record = agent.bind("crash", pod.target)
    assert record["found"]["hit"][0][0] == pod.main
    assert not agent.seen(record)
    agent.do("inject", record=record)
    until(lambda: not state_of(pod.main))
    assert agent.seen(record) and state_of(pod.beside) == "S"
    assert agent.revert(record) == "nothing to do"


def test_a_repeated_crash_holds_the_container_down_until_it_is_undone(agent: Agent, pod: Pod) -> None:
    record = agent.inject("crash", pod.target, again_after_s=0.5)
    began = time.monotonic()
    again = pod.start("f" * 64)
    until(lambda: not state_of(again))
    assert time.monotonic() - began >= 0.5
    assert state_of(pod.beside)
    assert agent.revert(record) == "reverted"
    assert agent.do("list")["faults"] == []


def test_what_has_ended_since_it_was_found_is_not_killed(agent: Agent, pod: Pod) -> None:
    record = agent.bind("crash", pod.target)
    os.kill(pod.main, signal.SIGKILL)
    until(lambda: not state_of(pod.main))
    with pytest.raises(Refusal, match="ended before"):
        agent.do("inject", record=record)
    assert agent.do("list")["faults"] == []


def test_a_pid_that_is_somebody_elses_by_now_is_refused(agent: Agent, sleeper: int) -> None:
    with pytest.raises(Refusal, match="another one by now"):
        agent.bind("hang", {"pid": sleeper, "start": 1})


@pytest.mark.parametrize("uid", ["", "kubepods", "1234", "*", None])
def test_a_pod_without_a_real_uid_is_refused(agent: Agent, uid: object) -> None:
    with pytest.raises(Refusal, match="expected a pod's uid"):
        agent.bind("hang", {"pod": uid})


def test_a_pod_that_is_not_here_is_refused(agent: Agent) -> None:
    uid = "5d3c1fa4-1111-4222-8333-abcdefabcdef"
    with pytest.raises(Refusal, match="no process"):
        agent.bind("hang", {"pod": uid})
    with pytest.raises(Refusal, match="no process"):
        agent.bind("crash", {"pod": uid})


def test_the_agent_does_not_stop_itself(agent: Agent) -> None:
    with pytest.raises(Refusal, match="this program"):
        agent.bind("hang", {"pid": agent.process.pid})


def test_the_kubelet_is_found_by_what_it_is_called_with(start_agent: Start) -> None:
    """In a PID namespace of its own, where no other can be."""
    prefix = ["unshare", *([] if os.getuid() == 0 else ["-Ur"]), "-pf", "--kill-child", "--mount-proc"]
    with pytest.raises(Refusal, match="got 0 processes named kubelet"):
        start_agent(prefix).bind("hang", {"kubelet": True})
    two_words = ["bash", "-c", 'bash -c "exec -a /usr/bin/kubelet sleep 1000" & sleep 0; exec "$@"', "bash"]
    agent = start_agent([*prefix, *two_words])
    record = until(lambda: _bound(agent))
    agent.do("inject", record=record, ends_in_s=60, self_timed=True)
    until(lambda: agent.seen(record))
    assert agent.revert(record) == "reverted"


def _bound(agent: Agent) -> dict[str, Any] | None:
    try:
        return agent.bind("hang", {"kubelet": True})
    except Refusal:
        return None


def test_processes_that_hold_a_device_are_found(agent: Agent, pod: Pod, tmp_path: Path) -> None:
    device = tmp_path / "nvidia0"
    device.touch()
    with ExitStack() as kept:
        holder = subprocess.Popen(
            ["sh", "-c", f"echo $$ > {pod.folder}/{pod.container}/cgroup.procs; exec sleep 1000 < {device}"]
        )
        kept.callback(holder.wait)
        kept.callback(holder.kill)
        until(lambda: os.path.realpath(f"/proc/{holder.pid}/fd/0") == str(device))
        record = agent.inject("crash", {"device": str(device)})
        assert [one[0] for one in record["found"]["hit"]] == [holder.pid]
        until(lambda: not state_of(holder.pid))


def test_a_stalled_pod_stands_still_by_turns_until_another_agent_undoes_it(
    start_agent: Start, agent: Agent, pod: Pod
) -> None:
    record = agent.bind("stall", {"pods": [pod.target["pod"]]}, stopped_ms=40, runs_ms=40)
    assert not agent.seen(record)
    agent.do("inject", record=record)
    for letter in ("T", "S", "T"):
        until(lambda letter=letter: state_of(pod.main) == state_of(pod.child) == letter)
    until(lambda: agent.seen(record))
    agent.process.kill()
    agent.process.wait()
    another = start_agent()
    another.do("revert", record=record)
    until(lambda: state_of(pod.main) == state_of(pod.child) == "S")
    assert not another.seen(record)


def test_a_stalled_pod_runs_on_when_it_is_undone(agent: Agent, pod: Pod) -> None:
    os.kill(pod.child, signal.SIGSTOP)
    until(lambda: state_of(pod.child) == "T")
    record = agent.inject("stall", {"pods": [pod.target["pod"]]}, stopped_ms=400, runs_ms=10)
    until(lambda: state_of(pod.main) == "T")
    assert agent.revert(record) == "reverted"
    until(lambda: state_of(pod.main) == "S")
    assert state_of(pod.child) == "T" and agent.revert(record) == "nothing to do"
    with pytest.raises(Refusal, match="stopped_ms: got 0"):
        agent.bind("stall", pod.target, stopped_ms=0, runs_ms=10)
