"""The append-only store of every run's events: one SQLite file in WAL mode, and its export as JSON lines.

An event is committed before `append` returns, so a killed runner loses nothing it has written. Nothing is ever updated
or deleted except what is derived from events and can be computed again: the one-line summary of a run (its outcome) and
its figures (what trends are made from, as the judge wrote them). Retention lets all events of an old run go, and
`history.erase` takes a trainee's name out on request.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from tierdrill.history.database_file import BUSY_S, DatabaseFile, execute_all
from tierdrill.history.events import SCHEMA_VERSION, Event, data_text, line_of, texts_shared
from tierdrill.history.hash_chain import Chain, digest_of, without_digest
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.history.payload import data_problem
from tierdrill.text import Explained, read_json, valid

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  run TEXT PRIMARY KEY, drill TEXT NOT NULL, variant TEXT NOT NULL, started_at REAL NOT NULL,
  ended_at REAL, status TEXT, summary TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS events (
  run TEXT NOT NULL, sequence INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,
  data TEXT NOT NULL, PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started_at);
"""
# What each schema version added to the one before; a store is brought up to date when it is opened.
_ADDED = {
    2: """
CREATE TABLE figures (run TEXT PRIMARY KEY, format INTEGER NOT NULL, data TEXT NOT NULL) STRICT
""",
    # Beside the events: a process of an earlier version that has the store open goes on to write those.
    3: """
CREATE TABLE links (
  run TEXT NOT NULL, sequence INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID
""",
}
_EVENTS = "SELECT at, kind, source, data, events.sequence, digest FROM events LEFT JOIN links USING (run, sequence)"


LINE_MAX = 64_000_000
"""No event comes near it; what is read is never without end."""


class HistoryError(Explained):
    """The history cannot be read or written; the message names the file and the reason."""


@dataclass(frozen=True)
class RunRecord:
    """The one-line summary of a run. `status` is None while it runs, or when its runner died before judging."""

    run: str
    drill: str
    variant: str
    started_at: float
    ended_at: float | None
    status: str | None
    summary: str | None


@dataclass(frozen=True)
class FiguresRecord:
    """A judged run and its figures as they were stored; `format` and `data` are None where there are none yet."""

    record: RunRecord
    format: int | None
    data: str | None


def run_named(home: Path, run: str) -> RunRecord | None:
    """The run of exactly that name, if that home has it."""
    with HistoryStore.kept(home) as store:
        record = store.find(run) if store else None
    return record if record is not None and record.run == run else None


class HistoryStore(DatabaseFile):
    """All runs of one home. Safe for several processes at once (SQLite's locking); one instance per thread."""

    FILE, VERSION, FAILURE = "history.db", SCHEMA_VERSION, HistoryError

    def __init__(self, home: Path, busy_s: float = BUSY_S) -> None:
        super().__init__(home, busy_s, durable=False)

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        if version == 0:
            execute_all(database, _SCHEMA)
        for number in range(max(version, 1) + 1, SCHEMA_VERSION + 1):
            database.execute(_ADDED[number])

    def begin(self, run: str, drill: str, variant: str, at: float) -> None:
        """Register a new run; HistoryError if the name is taken."""
        self._do("INSERT INTO runs (run, drill, variant, started_at) VALUES (?, ?, ?, ?)", run, drill, variant, at)

    def append(self, run: str, event: Event) -> Event:
        """Store the event and return it with its sequence number."""
        return self.append_many(run, [event])[0]

    def append_many(self, run: str, events: Iterable[Event]) -> list[Event]:
        """Store several events in one transaction, in order."""
        stored = []
        with self._transaction():
            found = self._database.execute(
                "SELECT events.sequence, digest FROM events LEFT JOIN links USING (run, sequence) "
                "WHERE run = ? ORDER BY events.sequence DESC LIMIT 1",
                (run,),
            ).fetchone()
            sequence, digest = found or (0, "")
            for event in events:
                sequence += 1
                data = data_text(event.data)
                event = Event(float(event.at), valid(event.kind), valid(event.source), event.data, sequence)
                self._database.execute(
                    "INSERT INTO events (run, sequence, at, kind, source, data) VALUES (?, ?, ?, ?, ?, ?)",
                    (run, sequence, event.at, event.kind, event.source, data),
                )
                # None: what came before was stored without, by an earlier version.
                if digest is not None:
                    digest = digest_of(digest, line_of(event, data, sequence).encode())
                    self._database.execute("INSERT INTO links VALUES (?, ?, ?)", (run, sequence, digest))
                stored.append(replace(event, digest=digest or ""))
        return stored

    def finish(self, run: str, at: float, status: str, summary: str) -> None:
        self._do("UPDATE runs SET ended_at = ?, status = ?, summary = ? WHERE run = ?", at, status, summary, run)

    def keep_figures(self, run: str, form: int, data: str) -> None:
        """Store (or replace) the figures of a run: JSON of that format, opaque here."""
        self._do("INSERT OR REPLACE INTO figures VALUES (?, ?, ?)", run, form, data)

    def figures(
        self, drill: str | None = None, since: float | None = None, run: str | None = None
    ) -> list[FiguresRecord]:
        """Every judged run that began at `since` or later, oldest first, with its figures where they are kept."""
        rows = self._rows(
            "SELECT runs.run, drill, variant, started_at, ended_at, status, summary, figures.format, figures.data "
            "FROM runs LEFT JOIN figures ON figures.run = runs.run WHERE status IS NOT NULL "
            "AND (?1 IS NULL OR drill = ?1) AND (?2 IS NULL OR started_at >= ?2) AND (?3 IS NULL OR runs.run = ?3) "
            "ORDER BY started_at, runs.run",
            *(drill, since, run),
        )
        return [FiguresRecord(RunRecord(*row[:7]), row[7], row[8]) for row in rows]

    def events(self, run: str, after: int = 0, limit: int = -1) -> list[Event]:
        """Every event of a run in order, or those (so many) after a sequence number; empty for an unknown run."""
        which = "WHERE run = ? AND events.sequence > ? ORDER BY events.sequence LIMIT ?"
        rows = self._rows(f"{_EVENTS} {which}", run, after, limit)
        return [
            Event(at, kind, source, texts_shared(read_json(data)), sequence, digest or "")
            for at, kind, source, data, sequence, digest in rows
        ]

    def chain(self, run: str) -> Chain:
        """The chain of a run's events as they are stored now."""
        chain = Chain()
        with self._explained():
            rows = self._database.execute(f"{_EVENTS} WHERE run = ? ORDER BY events.sequence", (run,))
            for at, kind, source, data, sequence, digest in rows:
                line = line_of(Event(at, kind, source), data, sequence)
                chain = chain.then(line.encode(), digest or "")
        return chain

    def count(self, run: str) -> int:
        return self._rows("SELECT max(sequence) FROM events WHERE run = ?", run)[0][0] or 0

    def remove_events(self, run: str) -> None:
        """Retention: the events of a run go, its line and its figures stay."""
        with self._transaction():
            self._database.execute("DELETE FROM events WHERE run = ?", (run,))
            self._database.execute("DELETE FROM links WHERE run = ?", (run,))

    def free_share(self) -> float:
        """Which share of the file is free, since something was removed."""
        pages, free = (int(self._rows(f"PRAGMA {what}_count")[0][0]) for what in ("page", "freelist"))
        return free / max(1, pages)

    def compact(self) -> None:
        """Write the file anew without what is free in it; needs as much room again while it does."""
        self._do("VACUUM")
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def runs(self, drill: str | None = None, limit: int = 50) -> list[RunRecord]:
        """The newest runs first; all of them with a negative limit."""
        return self._records("WHERE (?1 IS NULL OR drill = ?1) ORDER BY started_at DESC LIMIT ?2", drill, limit)

    def _records(self, which: str, *values: Any) -> list[RunRecord]:
        columns = "run, drill, variant, started_at, ended_at, status, summary"
        return [RunRecord(*row) for row in self._rows(f"SELECT {columns} FROM runs {which}", *values)]  # noqa: S608

    def find(self, run: str | None) -> RunRecord | None:
        """The run of that name (or of that unique beginning); the last run where none is named."""
        if run is None:
            return next(iter(self.runs(limit=1)), None)
        pattern = run.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        records = self._records(
            "WHERE run LIKE ?1 ESCAPE '\\' ORDER BY run = ?2 DESC, started_at DESC LIMIT 2", pattern, run
        )
        exact = [record for record in records if record.run == run]
        return exact[0] if exact else (records[0] if len(records) == 1 else None)


def write_lines(events: Iterable[Event], out: TextIO) -> None:
    """Export: one JSON line per event, self-contained (the first event carries the documents)."""
    for event in events:
        out.write(event.to_line() + "\n")


def read_history(path: Path) -> tuple[list[Event], Chain]:
    """Import an export: its events, and their chain.

    HistoryError names the file and line of what is not an event, or not the next one: a line that is missing or moved
    could be the one that decides the verdict.
    """
    events: list[Event] = []
    chain = Chain()
    try:
        with path.open("rb") as lines:
            for number in count(1):
                line = lines.readline(LINE_MAX + 1)
                if not line:
                    break
                if len(line) > LINE_MAX:
                    raise HistoryError(
                        f"{path}:{number}:1: a line of more than {LINE_MAX} bytes, expected one JSON event per line"
                    )
                if not (line := line.strip()):
                    continue
                try:
                    event = Event.from_line(line.decode("utf-8"))
                except ValueError as error:
                    raise HistoryError(f"{path}:{number}:1: {error}") from error
                if problem := data_problem(event.payload, event.data):
                    raise HistoryError(f"{path}:{number}:1: {problem}")
                if event.sequence != len(events) + 1:
                    raise HistoryError(
                        f"{path}:{number}:1: got sequence {event.sequence}, expected {len(events) + 1}, "
                        "every event of the run in its order"
                    )
                events.append(event)
                chain = _linked(chain, event, line)
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}") from error
    if not events or not isinstance(events[0].payload, RunStarted):
        raise HistoryError(f"{path}:1:1: the history does not begin with run.started, expected a whole exported run")
    return events, chain


def _linked(chain: Chain, event: Event, line: bytes) -> Chain:
    """The chain with that event; a line that was only written in another way (blanks, order) is the same event."""
    body, borne = without_digest(line)
    further = chain.then(body, borne or event.digest)
    if further.broken is None or chain.broken is not None:
        return further
    return chain.then(replace(event, digest="").to_line().encode(), event.digest)
