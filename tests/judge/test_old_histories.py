"""A history that an earlier version recorded is judged as it was then: one of a run whose runner was killed.

killed-run.jsonl is such a run on a lab that was kept, with an engine that was cut off while it acted; who ran it and
where is taken out. What is expected was the verdict before histories were read by their kinds.
"""

from __future__ import annotations

from pathlib import Path

from tierdrill.history.events import each
from tierdrill.history.history_store import read_history
from tierdrill.history.kinds.run_kinds import RemedyGone
from tierdrill.history.projection import project
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status

EVENTS = read_history(Path(__file__).with_name("killed-run.jsonl"))[0]


def test_the_verdict_is_the_one_of_then() -> None:
    verdict = judge(EVENTS)
    assert verdict.status is Status.ABORTED
    assert verdict.summary == "stopped by recover: the runner died, and its reaper too"
    assert len(verdict.checks) == 28
    assert [check.id for check in verdict.checks if check.status is not Status.PASSED] == [
        *("run/completed", "load/samples", "load/ended", "load/rate", "fault/link-latency/gone"),
        *("slo/critical/integrity", "slo/critical/fallback"),
        *("invariant/best-effort-returns", "invariant/goodput-holds"),
    ]
    landed = verdict.check("fault/link-latency/landed")
    assert landed is not None and landed.events == (26, 31, 32, 67, 68)


def test_what_happened_is_projected_from_it() -> None:
    state = project(EVENTS)
    assert [phase.name for phase in state.phases] == ["preflight", "warm-up", "baseline", "fault"]
    (fault,) = state.faults.values()
    assert (fault.status, fault.landed_seen, fault.reverts[0][1]) == ("gone", "no answer in 150ms", "recover")
    (ran,) = state.playbooks
    assert (ran.playbook, ran.ok, [step.action for step in ran.steps]) == ("shift-traffic", True, ["set-weight"])
    assert not ran.problem and ran.begun
    assert [said.setting for _, said in each(EVENTS, RemedyGone)] == ["weights of node-2 at gateway-a"]
