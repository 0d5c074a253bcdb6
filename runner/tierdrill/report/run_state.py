"""The reducer behind every view: `reduce(state, event) -> state`, pure, and deaf to kinds it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce as _fold
from types import MappingProxyType
from typing import Any

from tierdrill.history.events import Event
from tierdrill.report.event_text import cut_net, describe, number, plain
from tierdrill.report.playbook_state import playbook_finished, playbook_started, playbook_step, turned_away
from tierdrill.report.recent_seconds import samples
from tierdrill.report.run_model import (
    AlertMark,
    AlertView,
    FaultView,
    MoveView,
    NodeMark,
    PageView,
    PhaseView,
    RunState,
)

LINES_KEPT = 200
Handler = Callable[[RunState, Event], RunState]


def reduce(state: RunState, event: Event) -> RunState:
    """The state after one more event."""
    handler = _HANDLERS.get(event.kind)
    after = handler(state, event) if handler else state
    line = describe(event, after.faults)
    lines = (*after.lines, line)[-LINES_KEPT:] if line else after.lines
    trouble = (*after.trouble, line) if line and line.level == "bad" else after.trouble
    return replace(after, now=max(after.now, event.at), lines=lines, trouble=trouble)


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after all of these events."""
    return _fold(reduce, events, state or RunState())


def story(events: Sequence[Event]) -> RunState:
    """The state at the end of a history, without the raw samples, which the series cover."""
    state = fold(event for event in events if event.kind != "load.samples")
    return replace(state, events=len(events), digest=events[-1].digest) if events else state


def _set(mapping: Mapping[Any, Any], key: Any, value: Any) -> Mapping[Any, Any]:
    return MappingProxyType({**mapping, key: value})


def _moment(value: Any) -> float | None:
    """Unix seconds; a history from elsewhere may hold what is none."""
    when = number(value)
    return when if when is not None and when >= 0 else None


def _run_started(state: RunState, event: Event) -> RunState:
    data = event.data
    return replace(
        state,
        run=str(data.get("run", "")),
        drill=str(data.get("drill", "")),
        variant=str(data.get("variant", "drill")),
        started=event.at,
        origin=MappingProxyType({key: value for key, value in data.items() if key != "setting"}),
    )


def _phase_started(state: RunState, event: Event) -> RunState:
    closed = tuple(replace(p, ended=event.at) if p.ended is None else p for p in state.phases)
    return replace(state, phases=(*closed, PhaseView(str(event.data.get("phase", "")), event.at)))


def _phase_ended(state: RunState, event: Event) -> RunState:
    name = event.data.get("phase")
    phases = tuple(
        replace(phase, ended=event.at) if phase.name == name and phase.ended is None else phase
        for phase in state.phases
    )
    return replace(state, phases=phases)


def _preflight(state: RunState, event: Event) -> RunState:
    if event.data.get("ok"):
        return state
    return replace(state, preflight_bad=(*state.preflight_bad, str(event.data.get("name"))))


def _fault(state: RunState, event: Event) -> RunState:
    data = event.data
    name = str(data.get("fault", ""))
    if cut_net(name) is not None:
        return state
    old = state.faults.get(name) or FaultView(name)
    step = event.kind.partition(".")[2]
    changes: dict[str, Any] = {}
    if step == "intended":
        changes = {
            **{key: str(data.get(key, "")) for key in ("kind", "target", "target_kind", "mechanism")},
            "parameters": MappingProxyType(dict(data.get("parameters") or {})),
            "lease_s": number(data.get("lease_s")),
            "planned_at": number(data.get("planned_at")),
            "emulated": bool(data.get("emulated")),
            "intended_at": event.at,
        }
    elif step == "injected":
        changes = {"injected_at": event.at}
    elif step == "landed":
        when = _moment(data.get("effective_at"))
        changes = {
            "effective_at": event.at if when is None else when,
            "landed_by": plain(data.get("witness")),
            "landed_seen": plain(data.get("seen")),
        }
    elif step == "reverting":
        changes = {"reverting_at": event.at}
    elif step == "gone":
        when = _moment(data.get("gone_at"))
        changes = {
            "gone_at": event.at if when is None else when,
            "gone_by": plain(data.get("witness")),
            "gone_seen": plain(data.get("seen")),
        }
    else:
        words = {"not_landed": "not seen to land", "failed": "failed", "not_gone": "not gone"}.get(step, step)
        changes = {"trouble": f"{words}: {plain(data.get('seen') or data.get('error'))}"}
    return replace(state, faults=_set(state.faults, name, replace(old, **changes)))


def _alert(state: RunState, event: Event) -> RunState:
    data = event.data
    labels = {str(k): str(v) for k, v in (data.get("labels") or {}).items()}
    # Prometheus' ALERTS series and Alertmanager spell the same instance with different housekeeping labels.
    identity = tuple(sorted((k, v) for k, v in labels.items() if k not in ("alertname", "alertstate", "severity")))
    key = (str(data.get("alert", "")), identity)
    old = state.alerts.get(key) or AlertView(key[0], identity)
    mark = AlertMark(event.at, str(data.get("state", "")), str(data.get("via", "")))
    severity = str(data.get("severity") or old.severity)
    return replace(state, alerts=_set(state.alerts, key, replace(old, severity=severity, marks=(*old.marks, mark))))


def _silenced(state: RunState, event: Event) -> RunState:
    return replace(state, silenced=(*state.silenced, str(event.data.get("alert", ""))))


def _page(state: RunState, event: Event) -> RunState:
    data = event.data
    answered = event.kind == "page.acknowledged"
    page = PageView(
        at=event.at,
        contact=str(data.get("by" if answered else "contact", "")),
        level=str(data.get("level", "")),
        tier=str(data.get("tier", "")),
        action="acknowledge" if answered else str(data.get("action", "")),
        summary=str(data.get("summary", "")),
        dedup_key=str(data.get("dedup_key", "")),
    )
    return replace(state, pages=(*state.pages, page))


def _condition(node: Mapping[str, Any]) -> str:
    if not node.get("ready"):
        return "not ready"
    return "cordoned" if node.get("cordoned") else "ready"


def _platform_state(state: RunState, event: Event) -> RunState:
    known = {mark.node: mark.condition for mark in state.nodes}
    nodes = list(state.nodes)
    for node in event.data.get("nodes") or ():
        name, condition = str(node.get("name", "")), _condition(node)
        if known.get(name) != condition:
            nodes.append(NodeMark(event.at, name, condition))
    replicas, moves = dict(state.replicas), list(state.moves)
    for item in event.data.get("replicas") or ():
        name = str(item.get("name", ""))
        before = replicas.get(name)
        now_at = str(item.get("node") or "")
        was_at = str(before.get("node") or "") if before else now_at
        if before and now_at != was_at:
            moves.append(MoveView(event.at, name, str(item.get("tier", "")), was_at, now_at))
        replicas[name] = dict(item)
    return replace(state, nodes=tuple(nodes), moves=tuple(moves), replicas=MappingProxyType(replicas))


def _load_started(state: RunState, event: Event) -> RunState:
    return replace(state, load=MappingProxyType(dict(event.data)))


def _load_health(state: RunState, event: Event) -> RunState:
    return replace(state, health=MappingProxyType(dict(event.data)))


def _stopping(state: RunState, event: Event) -> RunState:
    return replace(state, stopping=str(event.data.get("reason") or event.data.get("by") or "stopping"))


def _left_open(state: RunState, event: Event) -> RunState:
    return replace(state, left=tuple(plain(item) for item in event.data.get("faults") or ()))


def _ended(state: RunState, event: Event) -> RunState:
    closed = tuple(replace(p, ended=event.at) if p.ended is None else p for p in state.phases)
    return replace(state, ended=event.at, outcome=str(event.data.get("outcome", "")), phases=closed)


_HANDLERS: dict[str, Handler] = {
    "run.started": _run_started,
    "phase.started": _phase_started,
    "phase.ended": _phase_ended,
    "preflight.check": _preflight,
    **{
        f"fault.{step}": _fault
        for step in ("intended", "injected", "landed", "not_landed", "failed", "reverting", "gone", "not_gone")
    },
    "alert.state": _alert,
    "alert.silenced": _silenced,
    "playbook.started": playbook_started,
    "playbook.skipped": turned_away,
    "playbook.escalated": turned_away,
    "playbook.step": playbook_step,
    "playbook.finished": playbook_finished,
    "page.sent": _page,
    "page.acknowledged": _page,
    "load.started": _load_started,
    "load.samples": samples,
    "load.health": _load_health,
    **dict.fromkeys(("platform.state", "lab.state"), _platform_state),
    "run.stopping": _stopping,
    "ledger.open": _left_open,
    "run.ended": _ended,
}
