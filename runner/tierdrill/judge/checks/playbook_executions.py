"""What playbooks did, as history tells it: each execution with its alert, its steps and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tierdrill.history.events import Event


@dataclass(frozen=True)
class Step:
    """One try of a step. `ok` is None while it has no end; `action` is "" where another tool has the steps."""

    name: str
    action: str
    arguments: dict[str, Any]
    attempt: int
    started_at: float
    ended_at: float | None = None
    ok: bool | None = None
    seen: str = ""
    event: int = 0


@dataclass(frozen=True)
class Execution:
    """One execution of a playbook. `ok` is None while it has not finished.

    `alert` and `labels` are those it was started for ("" and None where that is not told), `rolled_back` the steps that
    its last attempt took back.
    """

    playbook: str
    execution: str
    target: str
    started_at: float
    finished_at: float | None
    ok: bool | None
    reason: str
    events: tuple[int, ...]
    alert: str = ""
    labels: dict[str, str] | None = None
    steps: tuple[Step, ...] = ()
    rolled_back: tuple[str, ...] = ()

    @property
    def attempt(self) -> int:
        """The last attempt that was made; 0 where no step is told."""
        return max((step.attempt for step in self.steps), default=0)

    @property
    def last_steps(self) -> tuple[Step, ...]:
        """The steps of the last attempt, each as it was told last."""
        return tuple({step.name: step for step in self.steps if step.attempt == self.attempt}.values())

    @property
    def names(self) -> set[str]:
        """What it is about: its target and the labels of its alert, with their parts."""
        return {self.target, *self.target.replace(">", "/").split("/"), *(self.labels or {}).values()}

    @property
    def problem(self) -> str:
        """Why it did not succeed, whatever it says of itself; "" if it did."""
        if self.ok is None:
            return "it had not finished"
        if not self.ok:
            return self.reason or "it failed"
        broken = next((step for step in self.last_steps if step.ok is not True), None)
        if broken is not None:
            return f"step {broken.name} {'failed' if broken.ok is False else 'has no end'}"
        return f"{', '.join(self.rolled_back)} was rolled back" if self.rolled_back else ""


@dataclass
class _Told:
    """One execution while its events are read."""

    first: Event
    steps: list[Step] = field(default_factory=list)
    rollbacks: list[tuple[int, str]] = field(default_factory=list)
    end: Event | None = None
    events: list[int] = field(default_factory=list)


def executions(events: Sequence[Event]) -> list[Execution]:
    """Every execution that started, in order; the steps run when the alert resolved are not counted as one."""
    found: dict[str, _Told] = {}
    for event in events:
        if not event.kind.startswith("playbook.") or event.data.get("phase", "act") != "act":
            continue
        execution = str(event.data.get("execution", ""))
        told = found.get(execution)
        if event.kind == "playbook.started" and told is None:
            told = found[execution] = _Told(event)
        if told is not None and _take(told, event):
            told.events.append(event.sequence)
    return [_execution(name, told) for name, told in found.items()]


def _take(told: _Told, event: Event) -> bool:
    """Add what one event says; False if it says nothing of the kind."""
    data = event.data
    attempt = int(data.get("attempt", 1))
    if event.kind == "playbook.finished":
        told.end = event
    elif event.kind in ("playbook.step_started", "playbook.step") and data.get("rollback"):
        told.rollbacks.append((attempt, str(data["step"])))
    elif event.kind == "playbook.step_started":
        arguments = dict(data.get("arguments") or {})
        told.steps.append(
            Step(str(data["step"]), str(data.get("action", "")), arguments, attempt, event.at, event=event.sequence)
        )
    elif event.kind == "playbook.step":
        _end_step(told, event, attempt)
    return event.kind in ("playbook.started", "playbook.step_started", "playbook.step", "playbook.finished")


def _end_step(told: _Told, event: Event, attempt: int) -> None:
    data, name = event.data, str(event.data["step"])
    open_now = [n for n, step in enumerate(told.steps) if (step.name, step.attempt) == (name, attempt)]
    begun = told.steps.pop(open_now[-1]) if open_now else Step(name, "", {}, attempt, event.at, event=event.sequence)
    told.steps.append(
        Step(
            name,
            begun.action,
            begun.arguments,
            attempt,
            begun.started_at,
            event.at,
            bool(data.get("ok")),
            str(data.get("seen", "")),
            event.sequence,
        )
    )


def _execution(name: str, told: _Told) -> Execution:
    data, end = told.first.data, told.end
    notice = data.get("notice") or {}
    labels = {str(key): str(value) for key, value in notice.get("labels", {}).items() if key != "alertname"}
    last = max((step.attempt for step in told.steps), default=1)
    return Execution(
        playbook=data["playbook"],
        execution=name,
        target=data.get("target", ""),
        started_at=told.first.at,
        finished_at=end.at if end else None,
        ok=bool(end.data["ok"]) if end else None,
        reason=str(end.data.get("reason", "")) if end else "",
        events=tuple(told.events),
        alert=str(data.get("alert") or notice.get("alert") or ""),
        labels=labels if notice else None,
        steps=tuple(told.steps),
        rolled_back=tuple(dict.fromkeys(step for attempt, step in told.rollbacks if attempt == last)),
    )
