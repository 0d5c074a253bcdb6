"""The journal of a game day: everything that was decided, seen and said, in its own folder under the home.

It is an append-only store of events like a run's history, on the disk before a call returns, safe for several writers:
the facilitator's screen, a scribe with `tierdrill gameday note`, a second terminal that aborts. Nothing else is kept: a
game day is what its journal says. An event's source is who did it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tierdrill.documents.models.units import show_duration
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.gameday.gameday_state import fold
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kinds import gameday_kinds as kinds
from tierdrill.history.kinds.exercise_kinds import FacilitatorJoined
from tierdrill.report.format import variant_words

FOLDER = "gamedays"
VARIANT = "gameday"
UNREADABLE = "unreadable"


def gamedays_folder(home: Path) -> Path:
    """Where a home keeps its game days."""
    return home / FOLDER


def new_identity(document: str, at: float) -> str:
    """A name for a game day that sorts by time: document, UTC time, and four characters against chance."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
    return f"{document}-{stamp}-{secrets.token_hex(2)}"


class Journal:
    """One game day's journal, and the state it comes to."""

    def __init__(self, home: Path, identity: str) -> None:
        self.home = home
        self.identity = identity
        self.folder = gamedays_folder(home) / identity
        self._store = HistoryStore(self.folder)
        self._read = 0
        self.state = GameDayState()

    @staticmethod
    def create(home: Path, identity: str, opened: Event) -> Journal:
        """A new journal with its first event; HistoryError where it cannot be written."""
        folder = gamedays_folder(home) / identity
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise HistoryError(f"{folder}: {error.strerror}") from error
        journal = Journal(home, identity)
        document = str(opened.data["document"]["metadata"]["name"])
        journal._store.begin(identity, document, VARIANT, opened.at)
        journal.write([opened])
        return journal

    def write(self, events: Iterable[Event]) -> None:
        """Append events, then read on: what others wrote in between comes before them."""
        self._store.append_many(self.identity, list(events))
        self.read()

    def read(self) -> GameDayState:
        """Take in what was written since; the state."""
        fresh = self._store.events(self.identity, after=self._read)
        if fresh:
            self._read = fresh[-1].sequence
            self.state = fold(fresh, self.state)
        return self.state

    def events(self, after: int = 0) -> list[Event]:
        """Everything from the beginning, or what follows a sequence number."""
        return self._store.events(self.identity, after=after)

    def finish(self, at: float, outcome: str, summary: str) -> None:
        """Keep what the game day came to where a list of game days finds it quickly."""
        self._store.finish(self.identity, at, outcome, summary)

    def close(self) -> None:
        self._store.close()


@dataclass(frozen=True)
class GameDayRecord:
    """A line of the list: `outcome` is None while it is open."""

    identity: str
    document: str
    opened_at: float
    ended_at: float | None
    outcome: str | None
    summary: str | None


def all_gamedays(home: Path) -> list[GameDayRecord]:
    """The game days of a home, newest first. A folder that holds none is passed over."""
    found = []
    folder = gamedays_folder(home)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not (path / "history.db").is_file():
            continue
        try:
            with closing(HistoryStore(path)) as store:
                record = store.find(path.name)
        except HistoryError as error:
            found.append(_unreadable(path, str(error)))
            continue
        if record is None:
            # One that was damaged, and was set aside when it was opened, does not hide the others.
            aside = sorted(path.glob("history.db.corrupt-*"))
            found += [_unreadable(path, f"its journal is damaged: {one.name}") for one in aside[:1]]
        else:
            found.append(
                GameDayRecord(
                    record.run, record.drill, record.started_at, record.ended_at, record.status, record.summary
                )
            )
    return sorted(found, key=lambda one: one.opened_at, reverse=True)


def _unreadable(path: Path, why: str) -> GameDayRecord:
    return GameDayRecord(path.name, "", path.stat().st_mtime, None, UNREADABLE, why)


def find_gameday(home: Path, named: str | None, *, only_open: bool = False) -> GameDayRecord:
    """The game day of that name or unique beginning; without a name the open one, else the last one.

    LookupError says which there are.
    """
    every = all_gamedays(home)
    candidates = [one for one in every if one.outcome is None] if only_open else every
    known = ", ".join(one.identity for one in candidates[:5]) or "none"
    if named is None:
        still_open = [one for one in candidates if one.outcome is None]
        if len(still_open) > 1:
            raise LookupError(f"{len(still_open)} game days are open; name one: {known}")
        if still_open or candidates:
            return (still_open or candidates)[0]
        what = "no game day is open" if only_open else "no game days"
        raise LookupError(f"{what} in {home}; start one with `tierdrill gameday FILE`")
    exact = [one for one in every if one.identity == named]
    matching = exact or [one for one in every if one.identity.startswith(named)]
    if len(matching) != 1:
        what = "is ambiguous" if matching else "is not a game day"
        raise LookupError(f"{named!r} {what}, expected one of: {', '.join(one.identity for one in matching) or known}")
    if only_open and matching[0].outcome is not None:
        raise LookupError(f"game day {matching[0].identity} has ended ({matching[0].outcome}); open: {known}")
    return matching[0]


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
