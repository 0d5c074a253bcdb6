"""The tables of the outbox, and what its rows are to whoever reads them."""

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tierdrill.documents.models.channels import Channel
from tierdrill.history.database_file import BUSY_S, DatabaseFile, execute_all
from tierdrill.schedule.notify.notification import (
    LONGEST_WAIT_S,
    RESOLVE,
    RETRY_AFTER_MAX_S,
    TELL,
    Answer,
    Message,
    Notice,
    Told,
    decide,
)
from tierdrill.text import Explained

SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
  calendar TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (calendar, name)
) STRICT;
CREATE TABLE IF NOT EXISTS messages (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, calendar TEXT NOT NULL, channel TEXT NOT NULL,
  subject TEXT NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL, repeated INTEGER NOT NULL, notice TEXT NOT NULL,
  created_at REAL NOT NULL, next_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL,
  holder TEXT NOT NULL DEFAULT '', answer TEXT NOT NULL DEFAULT '', ended_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (calendar, channel, subject, number) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS told (
  calendar TEXT NOT NULL, entry TEXT NOT NULL, channel TEXT NOT NULL, subject TEXT NOT NULL, kind TEXT NOT NULL,
  at REAL NOT NULL, held_back INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (calendar, channel, subject, kind)
) STRICT;
"""


@dataclass(frozen=True)
class Waiting:
    """A message that is due, with the channel it goes to and what was tried before."""

    message: Message
    calendar: str
    channel: Channel
    attempts: int
    created_at: float


@dataclass(frozen=True)
class Logged:
    """A line of the log. `state` is waiting, sent or failed (given up); times are Unix seconds."""

    id: str
    calendar: str
    channel: str
    kind: str
    action: str
    subject: str
    run: str
    summary: str
    state: str
    attempts: int
    answer: str
    created_at: float
    next_at: float
    ended_at: float | None


def logged(row: Sequence[Any]) -> Logged:
    """A line of the log from its row: the columns in the order of `MessageStore.log`."""
    notice = json.loads(row[6])
    return Logged(*(*row[:6], str(notice.get("run", "")), str(notice.get("summary", "")), *row[7:]))


KEPT_S = 90 * 86400.0
KEPT_ROWS = 20_000
# Only a clock that was set back makes a message wait for longer than any wait there is.
TOO_FAR_S = max(LONGEST_WAIT_S, RETRY_AFTER_MAX_S) + 60.0
_SINCE = " since "
_CHANNEL: TypeAdapter[Channel] = TypeAdapter(Channel)


class OutboxError(Explained):
    """The outbox cannot be read or written; the message names the file and the reason."""


class MessageStore(DatabaseFile):
    """The outbox of one home. Safe for several processes. `wait_s` bounds how long a locked file is waited for."""

    FILE, VERSION, FAILURE = "outbox.db", 1, OutboxError

    def __init__(self, home: Path, wait_s: float = BUSY_S) -> None:
        # Posted by one thread and delivered by another: the outbox has a lock of its own.
        super().__init__(home, wait_s, any_thread=True)

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        execute_all(database, SCHEMA)

    def _lost(self) -> None:
        self._database.close()
        self._begin()

    def know(self, calendar: str, channels: Sequence[Channel]) -> None:
        """Keep the channels as they are written now: what waits goes to where they say now."""
        with self._transaction() as database:
            for channel in channels:
                self._know(database, calendar, channel)

    @staticmethod
    def _know(database: sqlite3.Connection, calendar: str, channel: Channel) -> None:
        database.execute(
            "INSERT OR REPLACE INTO channels VALUES (?, ?, ?)", (calendar, channel.name, channel.model_dump_json())
        )

    def post(self, channels: Sequence[Channel], notice: Notice, now: float) -> list[str]:
        """Decide what each channel is told and keep it, all or nothing; the channels that are told something."""
        reached = []
        with self._transaction() as database:
            for channel in channels:
                self._know(database, notice.calendar, channel)
                rows = database.execute(
                    "SELECT subject, kind, at, held_back FROM told WHERE calendar = ? AND channel = ? AND entry = ?",
                    (notice.calendar, channel.name, notice.entry),
                )
                decision = decide(channel, notice, [Told(*row) for row in rows.fetchall()], now)
                for row in decision.over:
                    database.execute(
                        "DELETE FROM told WHERE calendar = ? AND channel = ? AND subject = ? AND kind = ?",
                        (notice.calendar, channel.name, row.subject, row.kind),
                    )
                if decision.hold_back:
                    database.execute(
                        "UPDATE told SET held_back = held_back + 1 WHERE calendar = ? AND channel = ? AND subject = ? "
                        "AND kind = ?",
                        (notice.calendar, channel.name, notice.subject, notice.kind),
                    )
                for subject in decision.resolve:
                    self._add(database, channel, notice, subject, RESOLVE, 0, now)
                if decision.tell is not None:
                    told = Notice.from_json({**notice.to_json(), "kind": decision.tell})
                    self._add(database, channel, told, notice.subject, TELL, decision.repeated, now)
                    database.execute(
                        "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?, 0)",
                        (notice.calendar, notice.entry, channel.name, notice.subject, decision.tell, now),
                    )
                if decision.tell is not None or decision.resolve:
                    reached.append(channel.name)
        return reached

    @staticmethod
    def _add(
        database: sqlite3.Connection,
        channel: Channel,
        notice: Notice,
        subject: str,
        action: str,
        repeated: int,
        now: float,
    ) -> None:
        text = json.dumps(notice.to_json(), sort_keys=True)
        database.execute(
            "INSERT INTO messages (id, calendar, channel, subject, kind, action, repeated, notice, created_at, next_at,"
            " state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
            (uuid.uuid4().hex, notice.calendar, channel.name, subject, notice.kind, action, repeated, text, now, now),
        )

    def claim(self, now: float, holder: str, busy: Sequence[tuple[str, str]] = ()) -> list[Waiting]:
        """Take, for this holder, the first due message of every channel that is not busy.

        A message waits for those about the same subject that are older, so that nothing is resolved before it is told.
        """
        claimed: list[Waiting] = []
        with self._transaction() as database:
            rows = database.execute(
                "SELECT m.number, m.id, m.calendar, m.channel, m.subject, m.action, m.repeated, m.notice, m.attempts, "
                "m.created_at, c.document FROM messages m LEFT JOIN channels c ON c.calendar = m.calendar AND "
                "c.name = m.channel WHERE m.state = 'waiting' AND m.holder = '' AND (m.next_at <= ?1 OR m.next_at > ?2)"
                " AND NOT EXISTS (SELECT 1 FROM messages e WHERE e.state = 'waiting' AND e.calendar = m.calendar AND "
                "e.channel = m.channel AND e.subject = m.subject AND e.number < m.number) ORDER BY m.next_at, m.number",
                (now, now + TOO_FAR_S),
            ).fetchall()
            taken = set(busy)
            for number, name, calendar, channel, subject, action, repeated, notice, attempts, created, document in rows:
                if (calendar, channel) in taken:
                    continue
                taken.add((calendar, channel))
                try:
                    where = _CHANNEL.validate_python(json.loads(document or "null"))
                except (ValidationError, ValueError):
                    database.execute(
                        "UPDATE messages SET state = 'failed', ended_at = ?, answer = ? WHERE number = ?",
                        (now, "the channel as it was kept cannot be read by this version", number),
                    )
                    continue
                database.execute(
                    "UPDATE messages SET holder = ? WHERE number = ?", (f"{holder}{_SINCE}{now:.3f}", number)
                )
                message = Message(name, Notice.from_json(json.loads(notice)), subject, action, repeated)
                claimed.append(Waiting(message, calendar, where, attempts, created))
        return claimed

    def holders(self) -> dict[str, float]:
        """Everybody who holds a message in mid-delivery, with the last time at which one was taken (Unix seconds)."""
        rows = self._rows("SELECT DISTINCT holder FROM messages WHERE state = 'waiting' AND holder <> ''")
        taken = [str(row[0]).rpartition(_SINCE) for row in rows]
        return {holder: max(float(at) for one, _, at in taken if one == holder) for holder, _, _ in taken}

    def release(self, holder: str) -> None:
        """What this holder had in mid-delivery waits again: it has died, or has stopped."""
        self._do(
            "UPDATE messages SET holder = '' WHERE state = 'waiting' AND substr(holder, 1, length(?1)) = ?1",
            f"{holder}{_SINCE}",
        )

    def settle(self, message: str, answer: Answer, now: float, next_at: float | None) -> None:
        """Record an attempt: delivered, to be tried again at `next_at`, or given up (None)."""
        state = "sent" if answer.ok else "waiting" if next_at is not None else "failed"
        with self._transaction() as database:
            database.execute(
                "UPDATE messages SET attempts = attempts + 1, state = ?, answer = ?, holder = '', next_at = "
                "coalesce(?, next_at), ended_at = ? WHERE id = ?",
                (state, answer.seen, next_at, now if state != "waiting" else None, message),
            )
            if state == "failed":
                # It was never told, so the next of its kind must not be held back because of it.
                database.execute(
                    "DELETE FROM told WHERE (calendar, channel, subject, kind) IN "
                    "(SELECT calendar, channel, subject, kind FROM messages WHERE id = ? AND action = 'tell')",
                    (message,),
                )

    def again(self, beginning: str | None, now: float) -> int:
        """Let messages that were given up wait again (that whose id begins so, or all); how many.

        They count as told again, so that what they open is over when the drill is well.
        """
        with self._transaction() as database:
            rows = database.execute(
                "SELECT number, calendar, channel, subject, kind, action, notice FROM messages "
                "WHERE state = 'failed' AND (?1 IS NULL OR substr(id, 1, length(?1)) = ?1)",
                (beginning,),
            ).fetchall()
            for number, calendar, channel, subject, kind, action, notice in rows:
                database.execute(
                    "UPDATE messages SET state = 'waiting', attempts = 0, created_at = ?1, next_at = ?1, "
                    "ended_at = NULL WHERE number = ?2",
                    (now, number),
                )
                if action == TELL:
                    entry = Notice.from_json(json.loads(notice)).entry
                    database.execute(
                        "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?, 0)",
                        (calendar, entry, channel, subject, kind, now),
                    )
        return len(rows)

    def forget(self, now: float) -> int:
        """Delete what was sent or given up long ago; how many."""
        gone = self._do(
            "DELETE FROM messages WHERE state <> 'waiting' AND (ended_at < ? OR number <= "
            "(SELECT max(number) FROM messages) - ?)",
            *(now - KEPT_S, KEPT_ROWS),
        )
        return gone.rowcount

    def counts(self) -> dict[str, int]:
        """How many messages wait, were sent, were given up."""
        rows = self._rows("SELECT state, count(*) FROM messages GROUP BY state")
        return {"waiting": 0, "sent": 0, "failed": 0, **dict(rows)}

    def log(self, state: str | None = None, limit: int = 50) -> list[Logged]:
        rows = self._rows(
            "SELECT id, calendar, channel, kind, action, subject, notice, state, attempts, answer, created_at, "
            "next_at, ended_at FROM messages WHERE (?1 IS NULL OR state = ?1) ORDER BY number DESC LIMIT ?2",
            *(state, limit),
        )
        return [logged(row) for row in rows]
