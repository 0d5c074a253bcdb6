"""The part of the reducer that follows playbooks: executions, their steps, and what was turned away or escalated."""

from __future__ import annotations

from dataclasses import replace

from tierdrill.history.events import Event
from tierdrill.report.event_text import number, plain
from tierdrill.report.run_model import PlaybookView, RunState, SkipView, StepView


def playbook_started(state: RunState, event: Event) -> RunState:
    """An execution begins."""
    data = event.data
    view = PlaybookView(
        playbook=str(data.get("playbook", "")),
        execution=str(data.get("execution", "")),
        started=event.at,
        target=str(data.get("target", "")),
        alert=str(data.get("alert", "")),
        attempt=int(number(data.get("attempt")) or 1),
        phase=str(data.get("phase") or "act"),
    )
    return replace(state, playbooks=(*state.playbooks, view))


def _open_execution(state: RunState, event: Event, started: float) -> tuple[RunState, int]:
    """The place of the running execution an event belongs to; steps after its end open its resolve part."""
    name, execution = str(event.data.get("playbook", "")), str(event.data.get("execution", ""))
    mine = [
        index
        for index, view in enumerate(state.playbooks)
        if view.playbook == name and (view.execution == execution or not execution)
    ]
    if mine and state.playbooks[mine[-1]].finished is None:
        return state, mine[-1]
    before = state.playbooks[mine[-1]] if mine else None
    opened = PlaybookView(
        playbook=name,
        execution=execution,
        started=started,
        target=str(event.data.get("target") or (before.target if before else "")),
        alert=before.alert if before else "",
        phase="resolve" if before else "act",
    )
    return replace(state, playbooks=(*state.playbooks, opened)), len(state.playbooks)


def _with_playbook(state: RunState, index: int, view: PlaybookView) -> RunState:
    return replace(state, playbooks=(*state.playbooks[:index], view, *state.playbooks[index + 1 :]))


def playbook_step(state: RunState, event: Event) -> RunState:
    """A step of an execution was made."""
    data = event.data
    seconds = number(data.get("seconds")) or 0.0
    state, index = _open_execution(state, event, event.at - seconds)
    step = StepView(
        at=event.at,
        step=str(data.get("step", "")),
        action=str(data.get("action", "")),
        ok=bool(data.get("ok")),
        seen=plain(data.get("seen")),
        seconds=seconds,
        rollback=bool(data.get("rollback")),
    )
    view = state.playbooks[index]
    return _with_playbook(state, index, replace(view, steps=(*view.steps, step)))


def playbook_finished(state: RunState, event: Event) -> RunState:
    """An execution, or its resolve part, is over."""
    data = event.data
    state, index = _open_execution(state, event, event.at - (number(data.get("seconds")) or 0.0))
    view = replace(
        state.playbooks[index],
        finished=event.at,
        ok=bool(data.get("ok")),
        reason=str(data.get("reason") or ""),
        phase=str(data.get("phase") or state.playbooks[index].phase),
    )
    return _with_playbook(state, index, view)


def turned_away(state: RunState, event: Event) -> RunState:
    """An alert was turned away, or handed on to people."""
    data = event.data
    skip = SkipView(
        at=event.at,
        playbook=str(data.get("playbook", "")),
        target=str(data.get("target", "")),
        reason=str(data.get("reason", "")),
        escalated=event.kind == "playbook.escalated",
    )
    return replace(state, skips=(*state.skips, skip))
