"""What the journal of a game day says. A step is named by its place in the plan, from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierdrill.history.payload import Payload


class GameDayOpened(Payload, kind="gameday.opened"):
    """`planned` are about how many seconds each step's run takes."""

    gameday: str
    document: Mapping[str, Any]
    catalogue: str
    lab: str | None = None
    in_maintenance: str = ""
    unattended: bool
    pauses: bool = True
    planned: Sequence[float] = ()
    version: str


class FacilitatorLeft(Payload, kind="facilitator.left"):
    how: str


class ChecklistTicked(Payload, kind="checklist.ticked"):
    """`done` is false where a tick was taken back."""

    list: str
    item: int
    done: bool = True


class AnnouncementTold(Payload, kind="announcement.told"):
    """By the number of the announcement in the plan; `step` is the one at hand."""

    announcement: int
    step: int | None = None


class StepEvent(Payload):
    """What every event of a step says."""

    step: int | None


class StepBegun(StepEvent, kind="step.begun"):
    """`attempt` counts from 1."""

    attempt: int


class StepSkipped(StepEvent, kind="step.skipped"):
    reason: str


class RunEvent(StepEvent):
    """What every event of a step's run says."""

    attempt: int


class RunStarting(RunEvent, kind="run.starting"):
    """Its process is being started."""


class RunNamed(RunEvent, kind="run.named"):
    run: str


class RunFinished(RunEvent, kind="run.finished"):
    """What it came to; without a verdict, only the first three."""

    run: str | None
    status: str
    summary: str
    times: Mapping[str, Any] | None = None
    reasons: Sequence[str] = ()
    checks: Sequence[Mapping[str, Any]] = ()
    breached: Sequence[str] = ()
    story: Sequence[Mapping[str, Any]] = ()
    variables: Mapping[str, Any] | None = None
    tiers: Sequence[str] = ()
    emulated: Sequence[str] = ()


class PauseExtended(Payload, kind="pause.extended"):
    seconds: float


class NoteTaken(Payload, kind="note.taken"):
    text: str


class LessonLearned(Payload, kind="lesson.learned"):
    text: str


class FindingRaised(Payload, kind="finding.raised"):
    """`due` is a date."""

    text: str
    owner: str
    due: str


class FindingClosed(Payload, kind="finding.closed"):
    finding: str
    how: str


class HypothesisAnswered(StepEvent, kind="hypothesis.answered"):
    """By the number of the hypothesis in the step."""

    hypothesis: int
    held: str


class AbortAsked(Payload, kind="abort.asked"):
    reason: str


class ClockMoved(Payload, kind="clock.moved"):
    seconds: float


class GameDayEnded(Payload, kind="gameday.ended"):
    """`outcome` is completed or aborted."""

    outcome: str
    reason: str
