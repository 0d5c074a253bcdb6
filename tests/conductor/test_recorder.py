"""A wall clock that is set while a run lasts is told, and no time is judged by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.conductor.recorder import Recorder
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status


@dataclass
class Clock:
    """Two clocks of one machine."""

    wall: float = 1_700_000_000.0
    monotonic: float = 50.0

    def go(self, seconds: float, step: float = 0.0) -> None:
        self.monotonic += seconds
        self.wall += seconds + step


class Kept:
    """A history in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, run: str, event: Event) -> Event:
        self.events.append(replace(event, sequence=len(self.events) + 1))
        return self.events[-1]


@pytest.mark.parametrize(
    ("steps", "told"), [((0.0, 0.05, -0.1), []), ((2.0, 0.0, 0.0), [2.0]), ((-3.0, 0.0, 9.0), [-3.0, 9.0])]
)
def test_a_step_of_the_wall_clock_is_told_before_the_next_event(steps: tuple[float, ...], told: list[float]) -> None:
    clock, kept = Clock(), Kept()
    recorder = Recorder(kept, "r", lambda: clock.wall, lambda: clock.monotonic)
    for step in steps:
        clock.go(5.0, step)
        recorder.note(RunNote(text="x"), "test")
    stepped = [event.data["seconds"] for event in kept.events if event.kind == "clock.stepped"]
    assert stepped == pytest.approx(told)
    if told:
        first = next(number for number, event in enumerate(kept.events) if event.kind == "clock.stepped")
        assert kept.events[first + 1].kind == "run.note" and len(kept.events) == len(steps) + len(told)


def set_by(events: list[Event], at: float, seconds: float) -> list[Event]:
    """The same history, written by a machine whose clock was set meanwhile."""
    step = Event(at + seconds, "clock.stepped", "runner", {"seconds": seconds})
    moved: list[Event] = [one for one in events if one.at < at]
    for one in [step, *(replace(one, at=one.at + seconds) for one in events if one.at >= at)]:
        data: dict[str, Any] = dict(one.data)
        for name in ("effective_at", "gone_at"):
            if name in data:
                data[name] += seconds
        moved.append(replace(one, data=data, sequence=len(moved) + 1))
    return moved


def test_times_are_judged_as_if_nobody_had_set_the_clock() -> None:
    setting, late = shipped(), 9.5
    alerts = tuple((late, *one[1:]) if one[1] == "NodeNotReady" and one[2] == "firing" else one for one in Run().alerts)
    node, shed = Run().playbooks
    slow = Run(alerts=alerts, playbooks=((late, 9.9, *node[2:]), shed)).events(setting)
    assert judge(slow).status is Status.FAILED
    found = judge(set_by(slow, ZERO + 26, -2.0))  # between the effect and the alert: 9.5 s look like 7.5 s of 8 s
    check = found.check("alert/NodeNotReady/fired")
    assert check is not None and check.status is Status.FAILED and check.value == pytest.approx(late)
    assert any("set by -2.0 s after 26 s" in note for note in found.notes)
    good = set_by(Run().events(setting), ZERO + 25, 3.0)
    assert judge(good).status is Status.PASSED
    assert judge([one for one in good if one.kind != "clock.stepped"]).status is not Status.PASSED
