"""What people may ask for, and what the game day does of itself: pure, from the state there is and the time.

The same for keys, lines and commands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import shown
from tierdrill.gameday.gameday_model import ANSWERS, REFUSED, GameDayState
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.gameday_kinds import (
    AbortAsked,
    AnnouncementTold,
    ChecklistTicked,
    FindingClosed,
    FindingRaised,
    GameDayEnded,
    HypothesisAnswered,
    LessonLearned,
    NoteTaken,
    PauseExtended,
    StepBegun,
    StepSkipped,
)
from tierdrill.history.payload import Payload

Verb = Literal[
    "next", "skip", "extend", "repeat", "abort", "note", "finding", "lesson", "close", "tick", "told", "answer"
]
TEXT_MAX = 2000


@dataclass(frozen=True)
class Command:
    """One thing asked for. `author` is who asks or says it; the other fields belong to some verbs only.

    `step` of a skip is the one that is meant; without it, the one whose turn it is.
    """

    verb: Verb
    author: str = ""
    text: str = ""
    owner: str = ""
    due: str = ""
    step: int | None = None
    number: int = 0
    checklist: str = "before"
    done: bool = True
    held: str = ""


@dataclass(frozen=True)
class Decision:
    """The events to write, and what to tell whoever asked. `ok` is false where nothing was done."""

    events: tuple[Event, ...] = ()
    say: str = ""
    ok: bool = True


def decide(state: GameDayState, command: Command, now: float) -> Decision:
    if state.document is None:
        return Decision(say="this game day has not started", ok=False)
    if state.ended is not None and command.verb in _FLOW:
        return Decision(say="the game day has ended", ok=False)
    return _DECIDERS[command.verb](state, command, now)


def _no(say: str) -> Decision:
    return Decision(say=say, ok=False)


def _event(command: Command, now: float, said: Payload) -> Event:
    return event(said, command.author, now)


def _next(state: GameDayState, command: Command, now: float) -> Decision:
    stage = state.stage
    if state.aborting is not None:
        return _no("stopping")
    if stage == "running":
        return _no("a drill is in progress; s stops and skips it, a aborts")
    if stage == "after":
        ended = _event(command, now, GameDayEnded(outcome="completed", reason=""))
        return Decision((ended,), "the game day has ended")
    step = state.steps[state.position]
    begun = _event(command, now, StepBegun(step=state.position, attempt=len(step.attempts) + 1))
    return Decision((begun,), f"{step.step.title} begins")


def _skip(state: GameDayState, command: Command, now: float) -> Decision:
    reason = command.text or "skipped"
    if state.stage == "after":
        return _no("no steps left to skip; n ends the game day")
    if command.step not in (None, state.at_hand):
        return _no("it has already ended")
    told = _event(command, now, StepSkipped(step=state.at_hand, reason=reason))
    if state.stage == "running":
        current = state.current
        if current is None or current.skipped is not None:
            return _no("already stopping")
        return Decision((told,), f"{current.step.title} is being stopped")
    return Decision((told,), f"skipped {state.steps[state.position].step.title}")


def _extend(state: GameDayState, command: Command, now: float) -> Decision:
    assert state.document is not None
    if state.stage != "pause":
        return _no("no pause to extend")
    seconds = state.document.extend_by
    told = _event(command, now, PauseExtended(seconds=seconds))
    return Decision((told,), f"the pause is {show_duration(seconds)} longer")


def _repeat(state: GameDayState, command: Command, now: float) -> Decision:
    if state.aborting is not None:
        return _no("stopping")
    if state.stage == "running":
        return _no("a drill is in progress; repeat it after it has ended")
    current = state.current
    if current is None:
        return _no("no step to repeat; n starts the first")
    told = _event(command, now, StepBegun(step=state.position - 1, attempt=len(current.attempts) + 1))
    return Decision((told,), f"{current.step.title} once more")


def _abort(state: GameDayState, command: Command, now: float) -> Decision:
    reason = command.text or "aborted by hand"
    asked = () if state.aborting is not None else (_event(command, now, AbortAsked(reason=reason)),)
    if state.stage == "running":
        if not asked:
            return _no("already stopping")
        return Decision(asked, "stopping the run; the game day ends after the clean-up")
    ended = _event(command, now, GameDayEnded(outcome="aborted", reason=state.aborting or reason))
    return Decision((*asked, ended), "the game day is aborted")


def _note(state: GameDayState, command: Command, now: float) -> Decision:
    if wrong := _wrong_text(command.text, "a note"):
        return _no(wrong)
    lesson = command.verb == "lesson"
    said = LessonLearned(text=command.text) if lesson else NoteTaken(text=command.text)
    return Decision((_event(command, now, said),), f"{'lesson' if lesson else 'note'} by {command.author}")


def _finding(state: GameDayState, command: Command, now: float) -> Decision:
    if wrong := _wrong_text(command.text, "a finding") or wrong_due(command.due):
        return _no(wrong)
    told = _event(command, now, FindingRaised(text=command.text, owner=command.owner, due=command.due))
    return Decision((told,), f"finding F{len(state.findings) + 1}")


def _close(state: GameDayState, command: Command, now: float) -> Decision:
    names = {one.name: one for one in state.findings}
    name = command.text.strip().upper()
    if name not in names:
        return _no(f"no finding {shown(command.text)}; its findings: {', '.join(names) or 'none'}")
    if names[name].closed_at is not None:
        return _no(f"{name} was already closed by {names[name].closed_by}")
    return Decision((_event(command, now, FindingClosed(finding=name, how=command.owner)),), f"{name} is closed")


def _tick(state: GameDayState, command: Command, now: float) -> Decision:
    if not 0 <= command.number < len(state.checklist(command.checklist)):
        return _no(f"the checklist {command.checklist} has no line {command.number + 1}")
    told = _event(command, now, ChecklistTicked(list=command.checklist, item=command.number, done=command.done))
    return Decision((told,), "ticked" if command.done else "unticked")


def _told(state: GameDayState, command: Command, now: float) -> Decision:
    assert state.document is not None
    if not 0 <= command.number < len(state.document.communications):
        return _no(f"the plan has no announcement {command.number + 1}")
    if any((one.announcement, one.step) == (command.number, command.step) for one in state.told):
        return _no("already announced")
    told = _event(command, now, AnnouncementTold(announcement=command.number, step=command.step))
    return Decision((told,), f"told {state.document.communications[command.number].to}")


def _answer(state: GameDayState, command: Command, now: float) -> Decision:
    if command.held not in ANSWERS:
        return _no(f"got {shown(command.held)}, expected one of: {', '.join(ANSWERS)}")
    told = _event(command, now, HypothesisAnswered(step=command.step, hypothesis=command.number, held=command.held))
    return Decision((told,), command.held)


def _wrong_text(text: str, what: str) -> str:
    if not text.strip():
        return f"{what}: missing text"
    return f"{what}: got {len(text)} characters, expected at most {TEXT_MAX}" if len(text) > TEXT_MAX else ""


def wrong_due(text: str) -> str:
    """What is wrong with a due date, in words; none at all is allowed."""
    if not text:
        return ""
    try:
        date.fromisoformat(text)
    except ValueError:
        return f"due: got {shown(text)}, expected a date, such as 2027-01-31"
    return "" if len(text) == 10 else f"due: got {shown(text)}, expected a date, such as 2027-01-31"


_FLOW = frozenset({"next", "skip", "extend", "repeat", "abort"})
_DECIDERS: dict[str, Callable[[GameDayState, Command, float], Decision]] = {
    "next": _next,
    "skip": _skip,
    "extend": _extend,
    "repeat": _repeat,
    "abort": _abort,
    "note": _note,
    "lesson": _note,
    "finding": _finding,
    "close": _close,
    "tick": _tick,
    "told": _told,
    "answer": _answer,
}


ENGINE = "tierdrill"
STOPS_UNATTENDED = {
    "aborted": "its run was aborted and no facilitator is present",
    "unclean": "something is still injected",
    REFUSED: "its run could not start",
}


def due(state: GameDayState, now: float) -> Command | None:
    """The command whose time has come, if any."""
    if state.document is None or state.ended is not None or state.stage == "running":
        return None
    if (reason := state.aborting or wanted_abort(state)) is not None:
        return Command("abort", ENGINE, reason)
    if state.stage in ("before", "after"):
        return Command("next", ENGINE) if state.unattended else None
    by_itself = state.unattended or state.document.next_step == "by-clock"
    over = state.pause_until is not None and now >= state.pause_until
    return Command("next", ENGINE) if by_itself and over else None


def wanted_abort(state: GameDayState) -> str | None:
    """Why the whole game day must end after the run that ended last; None if it may go on.

    A breached abort criterion ends it always. What a facilitator would look at and decide ends it when nobody is there.
    """
    current = state.current
    last = current.last if current is not None else None
    if current is None or last is None or last.finished is None or current.skipped is not None:
        return None
    if breached := last.outcome.breached:
        return f"abort criterion met in {current.step.title}: {breached[0]}"
    if state.unattended and last.status in STOPS_UNATTENDED:
        return f"{current.step.title}: {STOPS_UNATTENDED[last.status]} ({last.summary or last.status})"
    return None


def seconds_left(state: GameDayState, now: float) -> float:
    """What is left of the game day by plan: the run that goes on, what is left of the pause, and all that follows."""
    total = 0.0
    attempt, current = state.attempt, state.current
    if attempt is not None and current is not None:
        total += max(0.0, current.planned_s - (now - attempt.begun))
        if state.position < len(state.steps):
            total += _pause_after(state, state.position - 1)
    elif state.stage == "pause" and state.pause_until is not None:
        total += max(0.0, state.pause_until - now)
    for place in range(state.position, len(state.steps)):
        total += state.steps[place].planned_s
        if place + 1 < len(state.steps):
            total += _pause_after(state, place)
    return total


def _pause_after(state: GameDayState, place: int) -> float:
    pause = state.steps[place].step.pause
    return pause if pause is not None and state.pauses else 0.0
