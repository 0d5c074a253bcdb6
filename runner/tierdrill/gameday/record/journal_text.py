"""One line of plain words per event of a journal, for line mode and for the record's timeline."""

from __future__ import annotations

from tierdrill.documents.models.units import show_duration
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.history.events import Event
from tierdrill.history.kinds import gameday_kinds as kinds
from tierdrill.history.kinds.exercise_kinds import FacilitatorJoined
from tierdrill.report.format import variant_words

LEVELS = {"passed": "good", "failed": "bad", "unclean": "bad", "aborted": "bad", "refused": "bad"}


def describe(event: Event, state: GameDayState) -> tuple[str, str] | None:
    """The words and the level (info, good, warn, bad, note, lesson, finding); None for what tells a reader nothing."""
    document = state.document
    if document is None:
        return None
    match event.payload:
        case kinds.GameDayOpened():
            where = f" in lab {state.lab}" if state.lab else ""
            return f"game day {document.metadata.name} opened{where}", "info"
        case FacilitatorJoined():
            return "joined as the facilitator", "info"
        case kinds.FacilitatorLeft(how=how):
            return f"left as the facilitator ({how})", "info"
        case kinds.ChecklistTicked(list=which, item=item, done=done):
            lines = state.checklist(which)
            found = 0 <= item < len(lines)
            return (f"{'ticked' if done else 'took back'}: {lines[item]}", "info") if found else None
        case kinds.AnnouncementTold(announcement=number) if 0 <= number < len(document.communications):
            one = document.communications[number]
            return f"told {one.to} by {one.channel}: {one.text}", "info"
        case kinds.StepEvent() as said:
            return _step(said, state)
        case kinds.PauseExtended(seconds=seconds):
            return f"the pause is {show_duration(seconds)} longer", "info"
        case kinds.NoteTaken(text=text):
            return text, "note"
        case kinds.FindingRaised(text=text, owner=owner, due=due):
            return f"finding: {text}{f', {owner}' if owner else ''}{f' until {due}' if due else ''}", "finding"
        case kinds.FindingClosed(finding=name, how=how):
            return f"closed {name}: {how or 'done'}", "good"
        case kinds.LessonLearned(text=text):
            return f"learned: {text}", "lesson"
        case kinds.AbortAsked(reason=reason):
            return f"aborted: {reason}", "bad"
        case kinds.ClockMoved(seconds=seconds):
            return f"the clock was set by {seconds:+.0f} s", "warn"
        case kinds.GameDayEnded(outcome=outcome, reason=reason):
            because = f" ({reason})" if reason else ""
            return f"the game day has ended: {outcome}{because}", "good" if outcome == "completed" else "bad"
    return None


def _step(said: kinds.StepEvent, state: GameDayState) -> tuple[str, str] | None:
    place = said.step
    step = state.steps[place].step if place is not None and 0 <= place < len(state.steps) else None
    title = step.title if step is not None else "a step"
    match said:
        case kinds.StepBegun(attempt=attempt):
            again = f", attempt {attempt}" if attempt > 1 else ""
            kind = "" if step is None or step.variant == "drill" else f" ({variant_words(step.variant)})"
            return f"{title}{kind} begins{again}", "info"
        case kinds.StepSkipped(reason=reason):
            return f"skipped {title}: {reason}", "warn"
        case kinds.RunNamed(run=run):
            return f"run {run}", "info"
        case kinds.RunFinished(status=status, summary=summary):
            return f"{title}: {status}: {summary}", LEVELS.get(status, "warn")
        case kinds.HypothesisAnswered(hypothesis=number, held=held) if step and 0 <= number < len(step.hypotheses):
            return f"{held}: {step.hypotheses[number].words}", "info"
    return None
