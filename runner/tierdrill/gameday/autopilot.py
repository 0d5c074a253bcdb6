"""What the game day does of itself, with nobody asking: pure, from the state and the time."""

from __future__ import annotations

from tierdrill.gameday.gameday_commands import Command
from tierdrill.gameday.gameday_model import REFUSED, GameDayState

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
