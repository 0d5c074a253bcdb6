"""Retention for game days: by the policy of runs, and never before their runs. Safe to stop and to repeat.

The whole folder goes, the record with it: what is to be kept for good is handed out as HTML, JSON or Markdown before.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tierdrill.gameday.console.facilitator_lock import FILE as SEAT
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.gameday.journal import UNREADABLE, GameDayRecord, Journal, all_gamedays, gamedays_folder
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.retention import Keep
from tierdrill.process.safe_files import is_locked


@dataclass(frozen=True)
class OldGameDay:
    """A game day that is old enough to go; `needed` says why it stays all the same."""

    record: GameDayRecord
    needed: str = ""


@dataclass(frozen=True)
class PrunedGameDays:
    """What went (or would go), what is kept although it is old, and what went wrong."""

    gone: tuple[GameDayRecord, ...] = ()
    needed: tuple[OldGameDay, ...] = ()
    problems: tuple[str, ...] = ()


def old_gamedays(
    records: Sequence[GameDayRecord], keep: Keep, now: float, needed: Callable[[GameDayRecord], str]
) -> list[OldGameDay]:
    """Those that are older than the age and not among the newest of their document; open ones never are."""
    seen: Counter[str] = Counter()
    found = []
    for record in sorted(records, key=lambda one: (one.opened_at, one.identity), reverse=True):
        seen[record.document] += 1
        old = now - (record.ended_at or record.opened_at) > keep.age_s
        if record.outcome not in (None, UNREADABLE) and old and seen[record.document] > keep.newest:
            found.append(OldGameDay(record, needed(record)))
    return found


def still_needed(state: GameDayState, kept_runs: Collection[str]) -> str:
    """Who still needs a game day that has ended; nothing where nobody does."""
    kept = [attempt.run for step in state.steps for attempt in step.attempts if attempt.run in kept_runs]
    if kept:
        return f"its run {kept[0]} is kept"
    unmended = [finding.name for finding in state.findings if finding.closed_at is None]
    return f"its finding {unmended[0]} is still open" if unmended else ""


def prune_gamedays(home: Path, keep: Keep, now: float, kept_runs: Collection[str], *, really: bool) -> PrunedGameDays:
    """Let the folders of old game days go; without `really` only look. `kept_runs` still have their events."""

    def needed(record: GameDayRecord) -> str:
        try:
            if is_locked(gamedays_folder(home) / record.identity / SEAT):
                return "it has a facilitator"
            with closing(Journal(home, record.identity)) as journal:
                return still_needed(journal.read(), kept_runs)
        except (HistoryError, OSError, KeyError, ValueError) as error:
            return f"its journal cannot be read: {error}"

    old = old_gamedays(all_gamedays(home), keep, now, needed)
    gone, problems = [], []
    for one in old:
        if one.needed:
            continue
        try:
            if really:
                _remove(gamedays_folder(home) / one.record.identity)
            gone.append(one.record)
        except OSError as error:
            problems.append(f"game day {one.record.identity}: {error}")
    return PrunedGameDays(tuple(gone), tuple(one for one in old if one.needed), tuple(problems))


def _remove(folder: Path) -> None:
    """The journal last: until then the folder is a game day, which is found and taken the next time."""
    if folder.is_symlink():
        raise OSError(f"{folder} leads elsewhere; it is left alone")
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif not path.name.startswith(HistoryStore.FILE):
            path.unlink()
    for path in sorted(folder.glob(f"{HistoryStore.FILE}*"), reverse=True):
        path.unlink()
    folder.rmdir()
