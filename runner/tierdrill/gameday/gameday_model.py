"""What a game day looks like at one moment, as values: what the engine, the screen and the record work from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tierdrill.documents.models.gameday import Announcement, GameDay, Hypothesis, Step
from tierdrill.history.kinds.gameday_kinds import RunFinished

Stage = Literal["none", "before", "running", "pause", "after", "ended"]
HELD, NOT_HELD, CANNOT_TELL = "held", "not held", "cannot tell"
ANSWERS = (HELD, NOT_HELD, CANNOT_TELL)
REFUSED = "refused"
"""Status of an attempt whose run was not begun: halted, locked, or documents that have gone bad."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a step was begun. `finished` is None while its run goes on."""

    number: int
    begun: float
    starting: float | None = None
    run: str | None = None
    finished: float | None = None
    outcome: RunFinished = field(default_factory=lambda: RunFinished.read({}))

    @property
    def status(self) -> str:
        """What its run came to; "" while that goes on."""
        return self.outcome.status

    @property
    def summary(self) -> str:
        return self.outcome.summary

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """The verdict's checks as they were kept: id, status, value, low, high, limit, samples, seen, expected."""
        return self.outcome.checks

    @property
    def wrong(self) -> list[Mapping[str, Any]]:
        """The checks that did not pass, those that decided first."""
        order = {name: place for place, name in enumerate(self.outcome.reasons)}
        wrong = [check for check in self.checks if check["status"] != "passed"]
        return sorted(wrong, key=lambda check: order.get(str(check["id"]), len(order)))

    @property
    def times(self) -> Mapping[str, float | None]:
        """Seconds from the fault's effect: mttd, mtta, mitigate, mttr."""
        return self.outcome.times or {}


@dataclass(frozen=True, slots=True)
class StepState:
    """A step of the document with what became of it; `skipped` is the reason."""

    step: Step
    planned_s: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    skipped: str | None = None
    answers: tuple[tuple[int, str, str], ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The attempt that counts."""
        return self.attempts[-1] if self.attempts else None

    def answer(self, hypothesis: int) -> tuple[str, str] | None:
        """What somebody said of a hypothesis, and who; the last word counts."""
        said = [(held, who) for number, held, who in self.answers if number == hypothesis]
        return said[-1] if said else None


@dataclass(frozen=True, slots=True)
class Note:
    """Something said and written down. `kind` is note, lesson, action (of the facilitator) or trouble."""

    at: float
    author: str
    text: str
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to be mended, with who does it and until when (a date, or nothing)."""

    name: str
    at: float
    author: str
    text: str
    owner: str
    due: str
    closed_at: float | None = None
    closed_how: str = ""
    closed_by: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    announcement: int
    step: int | None
    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Due:
    """An announcement whose moment has come; of the step, where each has its own."""

    number: int
    step: int | None
    announcement: Announcement


@dataclass(frozen=True)
class GameDayState:
    """Everything the journal says so far."""

    identity: str = ""
    document: GameDay | None = None
    catalogue: str = ""
    lab: str | None = None
    in_maintenance: str = ""
    author: str = ""
    unattended: bool = False
    pauses: bool = True
    version: str = ""
    opened: float | None = None
    begun: float | None = None
    now: float = 0.0
    steps: tuple[StepState, ...] = ()
    position: int = 0
    pause_until: float | None = None
    ticked: frozenset[tuple[str, int]] = frozenset()
    told: tuple[Told, ...] = ()
    notes: tuple[Note, ...] = ()
    findings: tuple[Finding, ...] = ()
    aborting: str | None = None
    abort_by: str = ""
    ended: float | None = None
    outcome: str = ""
    reason: str = ""

    @property
    def stage(self) -> Stage:
        """Where it stands: before the first step, in a run, in a pause, after the last step, or ended."""
        if self.document is None:
            return "none"
        if self.ended is not None:
            return "ended"
        if self.attempt is not None:
            return "running"
        if self.position >= len(self.steps):
            return "after"
        return "before" if self.position == 0 else "pause"

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that goes on."""
        last = self.current.last if self.current is not None else None
        return last if last is not None and last.finished is None else None

    @property
    def current(self) -> StepState | None:
        """The step that was begun or skipped last."""
        return self.steps[self.position - 1] if 0 < self.position <= len(self.steps) else None

    @property
    def upcoming(self) -> StepState | None:
        return self.steps[self.position] if self.position < len(self.steps) else None

    @property
    def at_hand(self) -> int:
        """The place of the step that runs, or of the one whose turn it is."""
        return self.position - 1 if self.stage == "running" else self.position

    def checklist(self, which: str) -> tuple[str, ...]:
        """The lines of the list before or after."""
        if self.document is None:
            return ()
        return self.document.checklist.before if which == "before" else self.document.checklist.after

    def unticked(self, which: str) -> list[int]:
        return [number for number in range(len(self.checklist(which))) if (which, number) not in self.ticked]

    def due_announcements(self) -> list[Due]:
        """Announcements whose moment has come and that were not made, those of the current step only."""
        return [one for one in self.announcements() if not self.is_made(one)]

    def is_made(self, one: Due) -> bool:
        """Whether somebody has made this announcement, for this step."""
        return any((told.announcement, told.step) == (one.number, one.step) for told in self.told)

    def announcements(self) -> list[Due]:
        """Announcements whose moment has come, made or not."""
        if self.document is None:
            return []
        step = self.position - 1 if self.current is not None and self.current.skipped is None else None
        has_ended = step is not None and self.attempt is None
        moments: dict[str, bool] = {
            "ahead": self.begun is None,
            "start": True,
            "step": step is not None and not has_ended,
            "step-end": has_ended,
            "end": self.outcome == "completed",
            "abort": self.aborting is not None or self.outcome == "aborted",
        }
        found = []
        for number, one in enumerate(self.document.communications):
            of = step if one.when in ("step", "step-end") else None
            if moments[one.when]:
                found.append(Due(number, of, one))
        return found

    def open_questions(self) -> list[tuple[int, int, Hypothesis]]:
        """Hypotheses that no check stands for, of steps that have run, which nobody has judged: step, number, words."""
        return [
            (place, number, hypothesis)
            for place, step in enumerate(self.steps)
            if step.last is not None and step.last.run is not None and step.last.finished is not None
            for number, hypothesis in enumerate(step.step.hypotheses)
            if not hypothesis.checks and step.answer(number) is None and step.skipped is None
        ]
