"""Erasing somebody's name from stored histories: the one change that is ever made to an event after it was stored.

What is overwritten is gone from the file too: deleted content is zeroed, the file is rewritten and its write-ahead log
emptied, so that nothing can be read back from free pages.
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierdrill.history.database_file import immediate
from tierdrill.history.events import Event, line_of
from tierdrill.history.hash_chain import digest_of
from tierdrill.history.history_store import HistoryError, HistoryStore

BUSY_S = 10.0
"""How long another process may keep the file busy."""


def erase_from_runs(home: Path, variant: str, change: Callable[[Any], Any]) -> list[str]:
    """Put every event and summary of that variant's runs through `change`; the runs in which something changed.

    `change` takes plain data and gives it back, the same object's equal where nothing is to be changed. HistoryError
    where the store cannot be written, as when another process is using it all the time; then nothing is changed.
    """
    # Brought up to date first, so that the chain can be made anew.
    with HistoryStore.kept(home) as store:
        if store is None:
            return []
        path = store.path
    try:
        database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            database.execute("PRAGMA secure_delete=ON")
            changed = _rewrite(database, variant, change)
            # Also where nothing was changed: a former try may have been kept from it.
            scrub(database)
            return changed
        finally:
            database.close()
    except (sqlite3.Error, OSError) as error:
        raise HistoryError(f"{path}: {error}") from error


def scrub(database: sqlite3.Connection) -> None:
    """Write the file anew without free pages, and empty its write-ahead log; sqlite3.Error if others keep it busy."""
    database.execute("VACUUM")
    busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy is not None and busy[0]:
        raise sqlite3.OperationalError("another process reads it, so that old pages stay in its write-ahead log")


def _rewrite(database: sqlite3.Connection, variant: str, change: Callable[[Any], Any]) -> list[str]:
    changed: list[str] = []
    with immediate(database):
        found = database.execute("SELECT run, summary FROM runs WHERE variant = ?", (variant,)).fetchall()
        for run, summary in found:
            touched = False
            rows = database.execute(
                "SELECT sequence, data FROM events WHERE run = ? ORDER BY sequence", (run,)
            ).fetchall()
            for sequence, data in rows:
                before = json.loads(data)
                after = change(before)
                if after != before:
                    text = json.dumps(after, sort_keys=True, separators=(",", ":"), allow_nan=False)
                    database.execute(
                        "UPDATE events SET data = ? WHERE run = ? AND sequence = ?", (text, run, sequence)
                    )
                    touched = True
            if summary is not None and change(summary) != summary:
                database.execute("UPDATE runs SET summary = ? WHERE run = ?", (change(summary), run))
                touched = True
            if touched:
                _link_anew(database, str(run))
                changed.append(str(run))
    return changed


def _link_anew(database: sqlite3.Connection, run: str) -> None:
    """What was changed on request is the run's history from now on."""
    digest = ""
    rows = database.execute(
        "SELECT at, kind, source, data, sequence FROM events WHERE run = ? ORDER BY sequence", (run,)
    ).fetchall()
    for at, kind, source, data, sequence in rows:
        digest = digest_of(digest, line_of(Event(at, kind, source), data, sequence).encode())
        database.execute("UPDATE links SET digest = ? WHERE run = ? AND sequence = ?", (digest, run, sequence))
