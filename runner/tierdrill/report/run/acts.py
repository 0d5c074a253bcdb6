"""Who did what to the platform in a run: the drill itself, our playbooks, and whoever else was seen to act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition, PlatformEvent
from tierdrill.history.observed_playbooks import engine_runs, own_deed
from tierdrill.history.playbook_spans import Execution
from tierdrill.report.event_text import deed_words
from tierdrill.report.format import fault_words
from tierdrill.report.run_model import RunState

DRILL, ENGINE, UNTOLD = "the drill", "the playbook's engine", "not told"


@dataclass(frozen=True)
class Act:
    """One thing that was done. `playbook` is that of the documents it belongs to, `said` what was seen of it."""

    at: float
    who: str
    did: str
    on: str
    said: str = ""
    playbook: str = ""
    own: bool = False


@dataclass(frozen=True)
class Notice:
    """What the platform says of one of its objects."""

    at: float
    object: str
    reason: str
    by: str
    note: str
    warning: bool


def acts_of(events: Sequence[Event], state: RunState) -> tuple[Act, ...]:
    """In the order of time."""
    engine = engine_runs(state.playbooks, state.observed)
    of_playbook = {number: run.playbook for run in state.playbooks if run not in engine for number in run.events}
    found = [
        Act(fault.effective_at, DRILL, fault_words(fault.kind), fault.target, fault.landed_seen)
        for fault in state.faults.values()
        if fault.effective_at is not None
    ]
    found += [
        Act(at, by, f"undid {fault_words(fault.kind)}", fault.target, fault.gone_seen)
        for fault in state.faults.values()
        for at, by in fault.reverts[-1:]
    ]
    for run in engine:
        for step in run.told_steps:
            found.append(Act(step.started_at, ENGINE, step.words, run.target, step.seen, run.playbook))
    for event, said in each(events, RemediationSeen):
        ours = own_deed(said, event.at, engine, state.fault_spans)
        who = said.actor or (UNTOLD if ours is None else ENGINE if isinstance(ours, Execution) else DRILL)
        playbook = ours.playbook if isinstance(ours, Execution) else of_playbook.get(event.sequence, "")
        on = f"{said.object} on {said.node}" if said.node and said.node != said.object else said.object
        found.append(Act(event.at, who, deed_words(said), on, said.seen, playbook, said.own))
    return tuple(sorted(found, key=lambda act: act.at))


def notices_of(events: Sequence[Event]) -> tuple[Notice, ...]:
    """Events of the platform, and conditions of its nodes, in the order of time."""
    found = [
        Notice(event.at, said.object, said.reason, said.by, said.note, said.warning)
        for event, said in each(events, PlatformEvent)
    ]
    found += [
        Notice(event.at, said.object, f"{said.condition}={said.status}", said.by, said.reason, False)
        for event, said in each(events, PlatformCondition)
    ]
    return tuple(sorted(found, key=lambda notice: notice.at))
