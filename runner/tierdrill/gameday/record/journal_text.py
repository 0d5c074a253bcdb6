"""One line of plain words per event of a journal, for line mode and for the record's timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.documents.models.units import show_duration
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.history.events import Event
from tierdrill.report.format import variant_words

Data = Mapping[str, Any]
LEVELS = {"passed": "good", "failed": "bad", "unclean": "bad", "aborted": "bad", "refused": "bad"}


def describe(event: Event, state: GameDayState) -> tuple[str, str] | None:
    """The words and the level (info, good, warn, bad, note, lesson, finding); None for what tells a reader nothing."""
    teller = _TELLERS.get(event.kind)
    return teller(event.data, state) if teller is not None and state.document is not None else None


def _step(data: Data, state: GameDayState) -> str:
    place = data.get("step")
    if isinstance(place, int) and 0 <= place < len(state.steps):
        return state.steps[place].step.title
    return "a step"


def _opened(data: Data, state: GameDayState) -> tuple[str, str]:
    assert state.document is not None
    where = f" in lab {state.lab}" if state.lab else ""
    return f"game day {state.document.metadata.name} opened{where}", "info"


def _ticked(data: Data, state: GameDayState) -> tuple[str, str] | None:
    which, item = str(data.get("list")), data.get("item")
    lines = state.checklist(which)
    if not isinstance(item, int) or not 0 <= item < len(lines):
        return None
    return f"{'ticked' if data.get('done', True) else 'took back'}: {lines[item]}", "info"


def _told(data: Data, state: GameDayState) -> tuple[str, str] | None:
    assert state.document is not None
    number = data.get("announcement")
    if not isinstance(number, int) or not 0 <= number < len(state.document.communications):
        return None
    one = state.document.communications[number]
    return f"told {one.to} by {one.channel}: {one.text}", "info"


def _begun(data: Data, state: GameDayState) -> tuple[str, str]:
    title = _step(data, state)
    place, attempt = data.get("step"), data.get("attempt")
    again = f", attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else ""
    variant = state.steps[place].step.variant if isinstance(place, int) and 0 <= place < len(state.steps) else "drill"
    kind = "" if variant == "drill" else f" ({variant_words(variant)})"
    return f"{title}{kind} begins{again}", "info"


def _finished(data: Data, state: GameDayState) -> tuple[str, str]:
    status = str(data.get("status"))
    return f"{_step(data, state)}: {status}: {data.get('summary')}", LEVELS.get(status, "warn")


def _finding(data: Data, state: GameDayState) -> tuple[str, str]:
    owner = f", {data['owner']}" if data.get("owner") else ""
    until = f" until {data['due']}" if data.get("due") else ""
    return f"finding: {data.get('text')}{owner}{until}", "finding"


def _answered(data: Data, state: GameDayState) -> tuple[str, str] | None:
    place, number = data.get("step"), data.get("hypothesis")
    if not isinstance(place, int) or not isinstance(number, int) or not 0 <= place < len(state.steps):
        return None
    hypotheses = state.steps[place].step.hypotheses
    if not 0 <= number < len(hypotheses):
        return None
    return f"{data.get('held')}: {hypotheses[number].words}", "info"


def _ended(data: Data, state: GameDayState) -> tuple[str, str]:
    reason = f" ({data['reason']})" if data.get("reason") else ""
    outcome = str(data.get("outcome"))
    return f"the game day is over: {outcome}{reason}", "good" if outcome == "completed" else "bad"


_TELLERS: dict[str, Callable[[Data, GameDayState], tuple[str, str] | None]] = {
    "gameday.opened": _opened,
    "facilitator.joined": lambda data, state: ("sat down as the facilitator", "info"),
    "facilitator.left": lambda data, state: (f"left the facilitator's place ({data.get('how')})", "info"),
    "checklist.ticked": _ticked,
    "announcement.told": _told,
    "step.begun": _begun,
    "step.skipped": lambda data, state: (f"skipped {_step(data, state)}: {data.get('reason')}", "warn"),
    "run.named": lambda data, state: (f"run {data.get('run')}", "info"),
    "run.finished": _finished,
    "pause.extended": lambda data, state: (
        f"the pause is {show_duration(float(data.get('seconds', 0.0)))} longer",
        "info",
    ),
    "note.taken": lambda data, state: (str(data.get("text")), "note"),
    "finding.raised": _finding,
    "finding.closed": lambda data, state: (f"closed {data.get('finding')}: {data.get('how') or 'done'}", "good"),
    "lesson.learned": lambda data, state: (f"learned: {data.get('text')}", "lesson"),
    "hypothesis.answered": _answered,
    "abort.asked": lambda data, state: (f"abort everything: {data.get('reason')}", "bad"),
    "clock.moved": lambda data, state: (f"the clock was set by {float(data.get('seconds', 0)):+.0f} s", "warn"),
    "gameday.ended": _ended,
}
