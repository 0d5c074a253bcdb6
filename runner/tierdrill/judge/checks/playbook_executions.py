"""What playbooks did, as history tells it: each execution with its alert, its steps and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import PlaybookFinished, PlaybookStarted, StepEnded, StepEvent, StepStarted


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
    said: PlaybookStarted
    steps: list[Step] = field(default_factory=list)
    rollbacks: list[tuple[int, str]] = field(default_factory=list)
    end: tuple[float | None, PlaybookFinished | None] = (None, None)
    events: list[int] = field(default_factory=list)


def executions(events: Sequence[Event]) -> list[Execution]:
    """Every execution that started, in order; the steps run when the alert resolved are not counted as one."""
    found: dict[str, _Told] = {}
    for event in events:
        match event.payload:
            case PlaybookStarted(phase="act") as said:
                found.setdefault(said.execution, _Told(event, said)).events.append(event.sequence)
            case StepEvent(phase="act") | PlaybookFinished(phase="act") as said if said.execution in found:
                _take(found[said.execution], event, said)
    return [_execution(name, told) for name, told in found.items()]


def _take(told: _Told, event: Event, said: StepEvent | PlaybookFinished) -> None:
    """Add what one event says."""
    told.events.append(event.sequence)
    if isinstance(said, PlaybookFinished):
        told.end = event.at, said
    elif said.rollback:
        told.rollbacks.append((said.attempt, said.step))
    elif isinstance(said, StepStarted):
        arguments = dict(said.arguments)
        told.steps.append(Step(said.step, said.action, arguments, said.attempt, event.at, event=event.sequence))
    elif isinstance(said, StepEnded):
        _end_step(told, event, said)


def _end_step(told: _Told, event: Event, said: StepEnded) -> None:
    name, attempt = said.step, said.attempt
    open_now = [n for n, step in enumerate(told.steps) if (step.name, step.attempt) == (name, attempt)]
    begun = told.steps.pop(open_now[-1]) if open_now else Step(name, "", {}, attempt, event.at)
    told.steps.append(replace(begun, ended_at=event.at, ok=said.ok, seen=said.seen, event=event.sequence))


def _execution(name: str, told: _Told) -> Execution:
    first, (ended_at, end) = told.said, told.end
    notice = first.notice or {}
    labels = {str(key): str(value) for key, value in notice.get("labels", {}).items() if key != "alertname"}
    last = max((step.attempt for step in told.steps), default=1)
    return Execution(
        playbook=first.playbook,
        execution=name,
        target=first.target,
        started_at=told.first.at,
        finished_at=ended_at,
        ok=end.ok if end else None,
        reason=end.reason if end else "",
        events=tuple(told.events),
        alert=first.alert or str(notice.get("alert") or ""),
        labels=labels if notice else None,
        steps=tuple(told.steps),
        rolled_back=tuple(dict.fromkeys(step for attempt, step in told.rollbacks if attempt == last)),
    )
