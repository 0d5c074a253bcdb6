"""Closing a run's books: its verdict, its one-line summary and its figures; and the figures of all runs together.

Figures are derived. What an older tierdrill has not kept is computed from the events once, and kept then.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from tierdrill.history.audit_log import AuditEntry, AuditError, append
from tierdrill.history.history_store import FiguresRecord, HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.sealed import EXERCISE, close_exercise, is_exercise
from tierdrill.judge.judge import judge
from tierdrill.judge.trend.run_figures import FORMAT, RunFigures, bare_figures, figures_of
from tierdrill.judge.verdict import Verdict

Progress = Callable[[int, int], None]
_log = logging.getLogger(__name__)


def close_books(store: HistoryStore, run: str, at: float, ledger: Ledger | None = None) -> Verdict:
    """Judge a run that has ended and keep what it came to; HistoryError or NotARun where it cannot be judged.

    The ledger keeps the digest of its history, so that one that was edited later is found out.
    """
    events = store.events(run)
    if ledger is not None and events and events[-1].digest:
        # Without it the history counts as one that cannot be verified.
        with contextlib.suppress(LedgerError):
            ledger.keep_digest(run, len(events), events[-1].digest)
    verdict = judge(events)
    author = next((str(one.data["author"]) for one in events if one.data.get("author")), "")
    end_run(store, run, at, verdict.status.value, verdict.summary, author)
    # The verdict stands without them, and they can be computed later.
    with contextlib.suppress(HistoryError, LookupError, TypeError, ValueError):
        store.keep_figures(run, FORMAT, figures_of(events, verdict).to_json())
    return verdict


def end_run(store: HistoryStore, run: str, at: float, status: str, summary: str, author: str = "") -> None:
    """Say in the store, and in the audit log, what became of a run."""
    store.finish(run, at, status, summary)
    record_end(store.path.parent, run, status, author)


def record_end(home: Path, run: str, status: str, author: str = "") -> None:
    """Say in the audit log what became of a run. Where it cannot be written the run has ended all the same."""
    try:
        append(home, AuditEntry(author or "tierdrill", "drill.judged", run, after={"verdict": status}))
    except AuditError as error:
        _log.warning("the end of %s is not in the audit log: %s", run, error)


def close_dead(home: Path, run: str, ledger: Ledger) -> Verdict | None:
    """Close the books of a run whose runner has died, an exercise's by opening its seal; errors as `close_books`."""
    if is_exercise(home, run):
        close_exercise(home, run)
        record_end(home, run, "aborted")
        return None
    with contextlib.closing(HistoryStore(home)) as store:
        return close_books(store, run, time.time(), ledger)


def all_figures(
    store: HistoryStore,
    drill: str | None = None,
    since: float | None = None,
    progress: Progress = lambda done, total: None,
) -> list[RunFigures]:
    """The figures of every judged run that began at `since` (Unix seconds) or later, oldest first.

    Missing ones are computed and kept, one by one, so that an interruption loses nothing; `progress` hears of each.
    A run whose history cannot be judged any more counts with its outcome alone. Exercises are no runs of a drill.
    """
    records = [one for one in store.figures(drill, since) if one.record.variant != EXERCISE]
    missing = [record for record in records if record.data is None or (record.format or 0) < FORMAT]
    made = {}
    for number, record in enumerate(missing):
        progress(number, len(missing))
        made[record.record.run] = _computed(store, record)
    if missing:
        progress(len(missing), len(missing))
    return [made[one.record.run] if one.record.run in made else _read(one) for one in records]


def figures_in(home: Path, drill: str | None = None, since: float | None = None) -> list[RunFigures]:
    """As `all_figures`, of a home; none where it has no history."""
    with HistoryStore.kept(home) as store:
        return all_figures(store, drill, since) if store else []


def ensure_figures(store: HistoryStore, run: str) -> None:
    """Compute and keep the figures of a run that has none of this version yet: before its events go.

    HistoryError where they cannot be kept.
    """
    for record in store.figures(run=run):
        if record.data is None or (record.format or 0) < FORMAT:
            _computed(store, record)
    if any(record.data is None for record in store.figures(run=run)):
        raise HistoryError("its figures could not be saved; events are kept")


def _read(record: FiguresRecord) -> RunFigures:
    try:
        return RunFigures.from_json(record.data or "")
    except ValueError as error:
        return _bare(record, f"its figures cannot be read: {error}")


def _computed(store: HistoryStore, record: FiguresRecord) -> RunFigures:
    events = store.events(record.record.run)
    if not events and record.data is not None:
        return _read(record)  # of an older format, and all that is left
    try:
        figures = figures_of(events, judge(events))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = "its events were deleted" if not events else f"its history cannot be judged ({type(error).__name__})"
        figures = _bare(record, why)
    # Where they cannot be kept (a full disk, a lock), they are computed again the next time.
    with contextlib.suppress(HistoryError):
        store.keep_figures(record.record.run, FORMAT, figures.to_json())
    return figures


def _bare(record: FiguresRecord, doubt: str) -> RunFigures:
    run = record.record
    return bare_figures(run.run, run.drill, run.variant, run.status or "", run.started_at, run.ended_at, doubt)
