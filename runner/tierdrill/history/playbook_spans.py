"""One execution of a playbook as far as it was told or seen, and its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tierdrill.history.events import Event
from tierdrill.history.kinds import response_kinds


@dataclass(frozen=True)
class Step:
    """One try of a step, or of taking it back. `ok` is None while it has no end; `begun`: its begin is told, and so
    its arguments.
    """

    name: str
    action: str
    attempt: int
    started_at: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = True
    rollback: bool = False
    ended_at: float | None = None
    ok: bool | None = None
    seen: str = ""
    seconds: float = 0.0
    event: int = 0

    @property
    def words(self) -> str:
        """Its name, and what is to be said about it."""
        return f"{'undo ' if self.rollback else ''}{self.name}{'' if self.ok else ' FAILED'}"


@dataclass(frozen=True)
class Execution:
    """One execution of a playbook, of its steps (`phase` "act") or of those that give back ("resolve").

    `ok` is None while it has not finished. `alert` and `labels` are those it was started for ("" and None where that is
    not told); `begun`: its begin is told.
    """

    playbook: str
    execution: str
    target: str
    started_at: float
    phase: str = "act"
    begun: bool = True
    alert: str = ""
    labels: dict[str, str] | None = None
    told_steps: tuple[Step, ...] = ()
    finished_at: float | None = None
    ok: bool | None = None
    reason: str = ""
    events: tuple[int, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Each try of a step."""
        return tuple(step for step in self.told_steps if not step.rollback)

    @property
    def done(self) -> tuple[Step, ...]:
        """What has ended, also of what was taken back."""
        return tuple(step for step in self.told_steps if step.ended_at is not None)

    @property
    def attempt(self) -> int:
        """The last attempt that was made; 0 where no step is told."""
        return max((step.attempt for step in self.steps), default=0)

    @property
    def last_steps(self) -> tuple[Step, ...]:
        """The steps of the last attempt, each as it was told last."""
        return tuple({step.name: step for step in self.steps if step.attempt == self.attempt}.values())

    @property
    def rolled_back(self) -> tuple[str, ...]:
        """The steps that the last attempt took back."""
        back = [step for step in self.told_steps if step.rollback and step.attempt == (self.attempt or 1)]
        return tuple(dict.fromkeys(step.name for step in back))

    @property
    def names(self) -> set[str]:
        """What it is about: its target and the labels of its alert, with their parts."""
        return {self.target, *self.target.replace(">", "/").split("/"), *(self.labels or {}).values()}

    @property
    def problem(self) -> str:
        """Why it did not succeed, whatever it says of itself; "" if it did."""
        if self.ok is None:
            return self.reason or "it had not finished"
        if not self.ok:
            return self.reason or "it failed"
        broken = next((step for step in self.last_steps if step.ok is not True), None)
        if broken is not None:
            return f"step {broken.name} {'failed' if broken.ok is False else 'has no end'}"
        return f"{', '.join(self.rolled_back)} was rolled back" if self.rolled_back else ""

    def after(self, event: Event, said: response_kinds.PlaybookEvent) -> Execution:
        told = replace(self, events=(*self.events, event.sequence))
        if isinstance(said, response_kinds.PlaybookFinished):
            return replace(told, finished_at=event.at, ok=said.ok, reason=said.reason)
        if not isinstance(said, response_kinds.StepEvent):
            return told
        step = Step(said.step, said.action, said.attempt, event.at, rollback=said.rollback, event=event.sequence)
        if isinstance(said, response_kinds.StepStarted):
            return replace(told, told_steps=(*self.told_steps, replace(step, arguments=dict(said.arguments))))
        assert isinstance(said, response_kinds.StepEnded)
        same = (said.step, said.attempt, said.rollback)
        mine = [n for n, one in enumerate(self.told_steps) if (one.name, one.attempt, one.rollback) == same]
        steps = list(self.told_steps)
        begun = steps.pop(mine[-1]) if mine else replace(step, begun=False)
        ended = replace(
            begun, ended_at=event.at, ok=said.ok, seen=said.seen, seconds=said.seconds, event=event.sequence
        )
        return replace(told, told_steps=(*steps, ended))


def told_playbooks(
    ran: tuple[Execution, ...],
    event: Event,
    said: response_kinds.PlaybookStarted | response_kinds.PlaybookFinished | response_kinds.StepEvent,
) -> tuple[Execution, ...]:
    """The executions after one more event that a playbook engine, or a tool, told of its own."""
    about = (said.execution, said.phase)
    place = next((n for n, one in enumerate(ran) if (one.execution, one.phase) == about), None)
    if place is None:
        ran, place = (*ran, _opened(ran, event, said)), len(ran)
    elif isinstance(said, response_kinds.PlaybookStarted) and not ran[place].begun:
        ran = (*ran[:place], _opened(ran, event, said), *ran[place + 1 :])
    return (*ran[:place], ran[place].after(event, said), *ran[place + 1 :])


def _opened(
    ran: tuple[Execution, ...],
    event: Event,
    said: response_kinds.PlaybookStarted | response_kinds.PlaybookFinished | response_kinds.StepEvent,
) -> Execution:
    before = next((one for one in ran if one.execution == said.execution), None)
    opened = Execution(
        said.playbook,
        said.execution,
        said.target or (before.target if before else ""),
        event.at,
        said.phase,
        begun=False,
        alert=before.alert if before else "",
    )
    if isinstance(said, response_kinds.PlaybookStarted):
        notice = said.notice or {}
        labels = {str(key): str(value) for key, value in notice.get("labels", {}).items() if key != "alertname"}
        alert = said.alert or str(notice.get("alert") or "")
        return replace(opened, begun=True, alert=alert, labels=labels if notice else None)
    seconds = 0.0 if isinstance(said, response_kinds.StepStarted) else said.seconds  # type: ignore[union-attr]
    return replace(opened, started_at=event.at - seconds)
