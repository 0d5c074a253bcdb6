"""The fold from a journal to a state: pure, and deaf to kinds and to steps it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

Handler = Callable[[GameDayState, Event], GameDayState]


def fold(events: Iterable[Event], state: GameDayState | None = None) -> GameDayState:
    """The state after all of these events."""
    return _fold(reduce, events, state or GameDayState())


def reduce(state: GameDayState, event: Event) -> GameDayState:
    """The state after one more event. What follows the end changes nothing but notes, findings and answers."""
    handler = _HANDLERS.get(event.kind)
    if handler is None or (state.document is None) != (event.kind == "gameday.opened"):
        return state
    if state.ended is not None and event.kind not in _AFTERWARDS:
        return state
    after = handler(state, event)
    return replace(after, now=max(after.now, event.at))


def _opened(state: GameDayState, event: Event) -> GameDayState:
    data = event.data
    document = GameDay.model_validate(data["document"])
    planned = [float(one) for one in data.get("planned", ())]
    lengths = (*planned, *([0.0] * len(document.steps)))
    return replace(
        state,
        identity=str(data["gameday"]),
        document=document,
        catalogue=str(data.get("catalogue", "")),
        lab=data.get("lab"),
        author=event.source,
        unattended=bool(data.get("unattended")),
        pauses=bool(data.get("pauses", True)),
        version=str(data.get("version", "")),
        opened=event.at,
        steps=tuple(StepState(step, lengths[number]) for number, step in enumerate(document.steps)),
    )


def _note(state: GameDayState, event: Event, text: str, kind: str) -> GameDayState:
    return replace(state, notes=(*state.notes, Note(event.at, event.source, text, kind)))


def _joined(state: GameDayState, event: Event) -> GameDayState:
    return _note(state, event, "sat down as the facilitator", "action")


def _left(state: GameDayState, event: Event) -> GameDayState:
    return _note(state, event, f"left the facilitator's place ({event.data.get('how')})", "action")


def _ticked(state: GameDayState, event: Event) -> GameDayState:
    which, item = str(event.data.get("list")), event.data.get("item")
    if not isinstance(item, int) or not 0 <= item < len(state.checklist(which)):
        return state
    mark = (which, item)
    return replace(state, ticked=state.ticked | {mark} if event.data.get("done", True) else state.ticked - {mark})


def _told(state: GameDayState, event: Event) -> GameDayState:
    number, step = event.data.get("announcement"), event.data.get("step")
    known = len(state.document.communications) if state.document else 0
    if not isinstance(number, int) or not 0 <= number < known:
        return state
    return replace(state, told=(*state.told, Told(number, step, event.at, event.source)))


def _place(state: GameDayState, event: Event) -> int | None:
    step = event.data.get("step")
    return step if isinstance(step, int) and 0 <= step < len(state.steps) else None


def _with_step(state: GameDayState, place: int, step: StepState, **more: Any) -> GameDayState:
    return replace(state, steps=(*state.steps[:place], step, *state.steps[place + 1 :]), **more)


def _begun(state: GameDayState, event: Event) -> GameDayState:
    place = _place(state, event)
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


def _skipped(state: GameDayState, event: Event) -> GameDayState:
    place = _place(state, event)
    running = state.attempt is not None
    if place is None or place != (state.position - 1 if running else state.position):
        return state
    reason = str(event.data.get("reason") or "skipped")
    after = _with_step(state, place, replace(state.steps[place], skipped=reason), position=place + 1)
    if not running and after.pause_until is None:
        after = replace(after, pause_until=event.at)
    return _note(after, event, f"skipped {state.steps[place].step.title}: {reason}", "action")


def _run(state: GameDayState, event: Event) -> GameDayState:
    """An event of the attempt that goes on; one of another attempt comes too late to matter."""
    place, attempt = _place(state, event), state.attempt
    if place is None or attempt is None or place != state.position - 1 or event.data.get("attempt") != attempt.number:
        return state
    step = state.steps[place]
    if event.kind == "run.starting":
        changed = replace(attempt, starting=event.at)
    elif event.kind == "run.named":
        changed = replace(attempt, run=str(event.data.get("run")))
    else:
        changed = replace(
            attempt,
            run=event.data.get("run") or attempt.run,
            finished=event.at,
            status=str(event.data.get("status", "")),
            summary=str(event.data.get("summary", "")),
            outcome=event.data,
        )
    after = _with_step(state, place, replace(step, attempts=(*step.attempts[:-1], changed)))
    if event.kind == "run.finished":
        pause = step.step.pause if step.step.pause is not None and state.pauses else 0.0
        after = replace(after, pause_until=event.at + pause)
    return after


def _extended(state: GameDayState, event: Event) -> GameDayState:
    if state.stage != "pause" or state.pause_until is None:
        return state
    seconds = float(event.data.get("seconds", 0.0))
    after = replace(state, pause_until=max(state.pause_until, event.at) + max(0.0, seconds))
    return _note(after, event, f"extended the pause by {seconds:g} s", "action")


def _taken(state: GameDayState, event: Event) -> GameDayState:
    return _note(state, event, str(event.data.get("text", "")), "note")


def _learned(state: GameDayState, event: Event) -> GameDayState:
    return _note(state, event, str(event.data.get("text", "")), "lesson")


def _raised(state: GameDayState, event: Event) -> GameDayState:
    data = event.data
    finding = Finding(
        name=f"F{len(state.findings) + 1}",
        at=event.at,
        author=event.source,
        text=str(data.get("text", "")),
        owner=str(data.get("owner") or ""),
        due=str(data.get("due") or ""),
    )
    return replace(state, findings=(*state.findings, finding))


def _closed(state: GameDayState, event: Event) -> GameDayState:
    findings = tuple(
        replace(one, closed_at=event.at, closed_how=str(event.data.get("how", "")), closed_by=event.source)
        if one.name == event.data.get("finding")
        else one
        for one in state.findings
    )
    return replace(state, findings=findings)


def _answered(state: GameDayState, event: Event) -> GameDayState:
    place, number, held = _place(state, event), event.data.get("hypothesis"), event.data.get("held")
    if place is None or held not in ANSWERS or not isinstance(number, int):
        return state
    step = state.steps[place]
    if not 0 <= number < len(step.step.hypotheses):
        return state
    return _with_step(state, place, replace(step, answers=(*step.answers, (number, str(held), event.source))))


def _abort(state: GameDayState, event: Event) -> GameDayState:
    if state.aborting is not None:
        return state
    reason = str(event.data.get("reason") or "aborted")
    stopping = replace(state, aborting=reason, abort_by=event.source)
    return _note(stopping, event, f"aborted everything: {reason}", "trouble")


def _clock_moved(state: GameDayState, event: Event) -> GameDayState:
    """A pause lasts as long as it was meant to, whatever the clock on the wall was set to."""
    seconds = float(event.data.get("seconds", 0.0))
    until = state.pause_until + seconds if state.pause_until is not None else None
    words = f"the machine's clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.0f} s"
    return _note(replace(state, pause_until=until), event, words, "trouble")


def _ended(state: GameDayState, event: Event) -> GameDayState:
    if state.attempt is not None:
        return state
    outcome = "aborted" if state.aborting is not None else str(event.data.get("outcome", ""))
    return replace(state, ended=event.at, outcome=outcome, reason=str(event.data.get("reason", "")))


_HANDLERS: dict[str, Handler] = {
    "gameday.opened": _opened,
    "facilitator.joined": _joined,
    "facilitator.left": _left,
    "checklist.ticked": _ticked,
    "announcement.told": _told,
    "step.begun": _begun,
    "step.skipped": _skipped,
    "run.starting": _run,
    "run.named": _run,
    "run.finished": _run,
    "pause.extended": _extended,
    "note.taken": _taken,
    "lesson.learned": _learned,
    "finding.raised": _raised,
    "finding.closed": _closed,
    "hypothesis.answered": _answered,
    "abort.asked": _abort,
    "clock.moved": _clock_moved,
    "gameday.ended": _ended,
}
_AFTERWARDS = frozenset(
    {
        "checklist.ticked",
        "announcement.told",
        "note.taken",
        "lesson.learned",
        "finding.raised",
        "finding.closed",
        "hypothesis.answered",
    }
)
