"""The fold from a journal to a state: pure, and deaf to kinds and to steps it does not know."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce as _fold
from typing import Any

from tierdrill.documents.models.gameday import GameDay
from tierdrill.gameday.gameday_model import (
    ANSWERS,
    Attempt,
    Finding,
    GameDayState,
    Note,
    StepState,
    Told,
)
from tierdrill.history.events import Event
from tierdrill.history.kinds import gameday_kinds as kinds
from tierdrill.history.kinds.exercise_kinds import FacilitatorJoined
from tierdrill.history.payload import Payload


def fold(events: Iterable[Event], state: GameDayState | None = None) -> GameDayState:
    return _fold(reduce, events, state or GameDayState())


def reduce(state: GameDayState, event: Event) -> GameDayState:
    """The state after one more event. What follows the end changes nothing but notes, findings and answers."""
    said = event.payload
    if isinstance(said, kinds.GameDayOpened) != (state.document is None):
        return state
    if state.ended is not None and not isinstance(said, AFTERWARDS):
        return state
    after = _changed(state, event, said)
    return state if after is None else replace(after, now=max(after.now, event.at))


AFTERWARDS = (
    kinds.ChecklistTicked,
    kinds.AnnouncementTold,
    kinds.NoteTaken,
    kinds.LessonLearned,
    kinds.FindingRaised,
    kinds.FindingClosed,
    kinds.HypothesisAnswered,
)


def _changed(state: GameDayState, event: Event, said: Payload) -> GameDayState | None:
    match said:
        case kinds.GameDayOpened():
            return _opened(state, event, said)
        case FacilitatorJoined():
            return _note(state, event, "joined as the facilitator", "action")
        case kinds.FacilitatorLeft(how=how):
            return _note(state, event, f"left as the facilitator ({how})", "action")
        case kinds.ChecklistTicked():
            return _ticked(state, said)
        case kinds.AnnouncementTold(announcement=number, step=step):
            known = len(state.document.communications) if state.document else 0
            told = Told(number, step, event.at, event.source)
            return replace(state, told=(*state.told, told)) if 0 <= number < known else state
        case kinds.StepBegun():
            return _begun(state, event, said)
        case kinds.StepSkipped():
            return _skipped(state, event, said)
        case kinds.RunEvent():
            return _run(state, event, said)
        case kinds.PauseExtended(seconds=seconds):
            return _extended(state, event, seconds)
        case kinds.NoteTaken(text=text):
            return _note(state, event, text, "note")
        case kinds.LessonLearned(text=text):
            return _note(state, event, text, "lesson")
        case kinds.FindingRaised(text=text, owner=owner, due=due):
            finding = Finding(f"F{len(state.findings) + 1}", event.at, event.source, text, owner, due)
            return replace(state, findings=(*state.findings, finding))
        case kinds.FindingClosed(finding=name, how=how):
            findings = (
                replace(one, closed_at=event.at, closed_how=how, closed_by=event.source) if one.name == name else one
                for one in state.findings
            )
            return replace(state, findings=tuple(findings))
        case kinds.HypothesisAnswered():
            return _answered(state, event, said)
        case kinds.AbortAsked(reason=reason):
            return _abort(state, event, reason or "aborted")
        case kinds.ClockMoved(seconds=seconds):
            return _clock_moved(state, event, seconds)
        case kinds.GameDayEnded(outcome=outcome, reason=reason):
            if state.attempt is not None:
                return state
            return replace(
                state, ended=event.at, outcome=outcome if state.aborting is None else "aborted", reason=reason
            )
    return None


def _opened(state: GameDayState, event: Event, said: kinds.GameDayOpened) -> GameDayState:
    document = GameDay.model_validate(said.document)
    lengths = (*said.planned, *([0.0] * len(document.steps)))
    return replace(
        state,
        identity=said.gameday,
        document=document,
        catalogue=said.catalogue,
        lab=said.lab,
        in_maintenance=said.in_maintenance,
        author=event.source,
        unattended=said.unattended,
        pauses=said.pauses,
        version=said.version,
        opened=event.at,
        steps=tuple(StepState(step, lengths[number]) for number, step in enumerate(document.steps)),
    )


def _note(state: GameDayState, event: Event, text: str, kind: str) -> GameDayState:
    return replace(state, notes=(*state.notes, Note(event.at, event.source, text, kind)))


def _ticked(state: GameDayState, said: kinds.ChecklistTicked) -> GameDayState:
    if not 0 <= said.item < len(state.checklist(said.list)):
        return state
    mark = (said.list, said.item)
    return replace(state, ticked=state.ticked | {mark} if said.done else state.ticked - {mark})


def _place(state: GameDayState, said: kinds.StepEvent) -> int | None:
    return said.step if said.step is not None and 0 <= said.step < len(state.steps) else None


def _with_step(state: GameDayState, place: int, step: StepState, **more: Any) -> GameDayState:
    return replace(state, steps=(*state.steps[:place], step, *state.steps[place + 1 :]), **more)


def _begun(state: GameDayState, event: Event, said: kinds.StepBegun) -> GameDayState:
    place = _place(state, said)
    # The next step, or the last one once more; never while a run goes on.
    if place is None or place not in (state.position, state.position - 1) or state.attempt or state.aborting:
        return state
    step = state.steps[place]
    attempt = Attempt(len(step.attempts) + 1, event.at)
    return _with_step(
        state,
        place,
        replace(step, attempts=(*step.attempts, attempt), skipped=None, answers=()),
        position=place + 1,
        begun=event.at if state.begun is None else state.begun,
        pause_until=None,
    )


def _skipped(state: GameDayState, event: Event, said: kinds.StepSkipped) -> GameDayState:
    place = _place(state, said)
    running = state.attempt is not None
    if place is None or place != (state.position - 1 if running else state.position):
        return state
    reason = said.reason or "skipped"
    after = _with_step(state, place, replace(state.steps[place], skipped=reason), position=place + 1)
    if not running and after.pause_until is None:
        after = replace(after, pause_until=event.at)
    return _note(after, event, f"skipped {state.steps[place].step.title}: {reason}", "action")


def _run(state: GameDayState, event: Event, said: kinds.RunEvent) -> GameDayState:
    """An event of the attempt that goes on; one of another attempt comes too late to matter."""
    place, attempt = _place(state, said), state.attempt
    if place is None or attempt is None or place != state.position - 1 or said.attempt != attempt.number:
        return state
    step = state.steps[place]
    match said:
        case kinds.RunStarting():
            changed = replace(attempt, starting=event.at)
        case kinds.RunNamed(run=run):
            changed = replace(attempt, run=run)
        case kinds.RunFinished() as end:
            changed = replace(
                attempt,
                run=end.run or attempt.run,
                finished=event.at,
                outcome=end,
            )
        case _:
            return state
    after = _with_step(state, place, replace(step, attempts=(*step.attempts[:-1], changed)))
    if isinstance(said, kinds.RunFinished):
        pause = step.step.pause if step.step.pause is not None and state.pauses else 0.0
        after = replace(after, pause_until=event.at + pause)
    return after


def _extended(state: GameDayState, event: Event, seconds: float) -> GameDayState:
    if state.stage != "pause" or state.pause_until is None:
        return state
    after = replace(state, pause_until=max(state.pause_until, event.at) + max(0.0, seconds))
    return _note(after, event, f"extended the pause by {seconds:g} s", "action")


def _answered(state: GameDayState, event: Event, said: kinds.HypothesisAnswered) -> GameDayState:
    place = _place(state, said)
    if place is None or said.held not in ANSWERS:
        return state
    step = state.steps[place]
    if not 0 <= said.hypothesis < len(step.step.hypotheses):
        return state
    return _with_step(
        state, place, replace(step, answers=(*step.answers, (said.hypothesis, said.held, event.source)))
    )


def _abort(state: GameDayState, event: Event, reason: str) -> GameDayState:
    if state.aborting is not None:
        return state
    stopping = replace(state, aborting=reason, abort_by=event.source)
    return _note(stopping, event, f"aborted: {reason}", "trouble")


def _clock_moved(state: GameDayState, event: Event, seconds: float) -> GameDayState:
    """A pause lasts as long as it was meant to, whatever the clock on the wall was set to."""
    until = state.pause_until + seconds if state.pause_until is not None else None
    words = f"the machine's clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.0f} s"
    return _note(replace(state, pause_until=until), event, words, "trouble")
