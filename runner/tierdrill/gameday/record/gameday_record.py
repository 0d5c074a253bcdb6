"""The record of a game day as values: what was expected against what happened, when, and what is to be done. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tierdrill.gameday.gameday_model import (
    HELD,
    NOT_HELD,
    Attempt,
    Finding,
    GameDayState,
    Note,
    StepState,
)
from tierdrill.gameday.gameday_state import fold
from tierdrill.gameday.journal import describe
from tierdrill.gameday.record.step_outcome import judged
from tierdrill.history.events import Event
from tierdrill.history.kinds.gameday_kinds import RunFinished, RunNamed
from tierdrill.report.format import variant_words
from tierdrill.text import CLOCK, MINUTE, utc

TIMES = ("mttd", "mtta", "mitigate", "mttr")
EXIT_CODES = {"passed": 0, "failed": 1, "inconclusive": 3, "aborted": 4, "unclean": 5}


@dataclass(frozen=True)
class HypothesisRow:
    step: str
    words: str
    held: str
    because: str


@dataclass(frozen=True)
class DrillRow:
    """A step's last run, and how often it was run; `skipped` is the reason where it was not."""

    step: str
    drill: str
    variant: str
    attempts: int
    run: str | None
    status: str
    summary: str
    times: dict[str, float | None]
    checks: tuple[dict[str, Any], ...]
    tiers: tuple[str, ...]
    skipped: str | None


@dataclass(frozen=True)
class Moment:
    """A line of the timeline. `level` says how it is shown: info, good, warn, bad, note, lesson, finding."""

    at: float
    who: str
    text: str
    level: str


@dataclass(frozen=True)
class Record:
    state: GameDayState
    status: str
    hypotheses: tuple[HypothesisRow, ...]
    drills: tuple[DrillRow, ...]
    timeline: tuple[Moment, ...]
    findings: tuple[Finding, ...]
    lessons: tuple[Note, ...]
    emulated: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]


def record_of(events: Sequence[Event]) -> Record:
    state = fold(events)
    drills = tuple(_drill(step) for step in state.steps)
    return Record(
        state=state,
        status=overall(state, drills),
        hypotheses=tuple(
            HypothesisRow(step.step.title, hypothesis.words, *_held(step, number))
            for step in state.steps
            for number, hypothesis in enumerate(step.step.hypotheses)
        ),
        drills=drills,
        timeline=_timeline(events, state),
        findings=state.findings,
        lessons=tuple(note for note in state.notes if note.kind == "lesson"),
        emulated=tuple(
            dict.fromkeys(text for step in state.steps for one in step.attempts for text in one.outcome.emulated)
        ),
    )


def _held(step: StepState, number: int) -> tuple[str, str]:
    found = judged(step, number)
    return found.held, found.because


def _drill(step: StepState) -> DrillRow:
    last = step.last or Attempt(0, 0.0)
    status = "skipped" if step.skipped is not None else last.status or ("in progress" if step.last else "not run")
    return DrillRow(
        step=step.step.title,
        drill=step.step.drill,
        variant=variant_words(step.step.variant),
        attempts=len(step.attempts),
        run=last.run,
        status=status,
        summary=step.skipped if step.skipped is not None else last.summary,
        times={name: last.times.get(name) for name in TIMES},
        checks=tuple(dict(check) for check in last.checks),
        tiers=tuple(last.outcome.tiers),
        skipped=step.skipped,
    )


def overall(state: GameDayState, drills: Sequence[DrillRow]) -> str:
    """What it all came to, in the words of verdicts: the gravest of its runs, its abort, and hypotheses not held.

    A game day of which nothing ran, or that has not ended, shows nothing: it is inconclusive.
    """
    statuses = {row.status for row in drills}
    if "unclean" in statuses:
        return "unclean"
    if state.outcome == "aborted" or "aborted" in statuses:
        return "aborted"
    helds = [judged(step, number).held for step in state.steps for number in range(len(step.step.hypotheses))]
    if "failed" in statuses or NOT_HELD in helds:
        return "failed"
    doubtful = statuses - {"passed", "skipped"} or "passed" not in statuses or state.ended is None
    if doubtful or any(held not in (HELD, "not judged") for held in helds):
        return "inconclusive"
    return "passed"


def _timeline(events: Sequence[Event], state: GameDayState) -> tuple[Moment, ...]:
    moments = []
    for event in events:
        said = event.payload
        if isinstance(said, RunNamed):
            continue
        if (told := describe(event, state)) is not None:
            moments.append(Moment(event.at, event.source, told[0], told[1]))
        if isinstance(said, RunFinished):
            place = said.step
            who = state.steps[place].step.title if place is not None and place < len(state.steps) else "run"
            moments += [Moment(float(one["at"]), who, str(one["text"]), str(one["level"])) for one in said.story]
    return tuple(sorted(moments, key=lambda moment: moment.at))


def is_overdue(finding: Finding, today: date) -> bool:
    """Open after its date."""
    return finding.closed_at is None and bool(finding.due) and date.fromisoformat(finding.due) < today


def utc_minute(at: float | None) -> str:
    return utc(at, MINUTE) if at is not None else "not yet"


def utc_second(at: float) -> str:
    return utc(at, CLOCK)
