"""The tables of the outbox, and what its rows are to whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.channels import Channel
from tierdrill.schedule.notify.message import Message

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
    name, calendar, channel, kind, action, subject, written, state, attempts, answer, created, next_at, ended = row
    notice = json.loads(written)
    return Logged(
        id=name,
        calendar=calendar,
        channel=channel,
        kind=kind,
        action=action,
        subject=subject,
        run=str(notice.get("run", "")),
        summary=str(notice.get("summary", "")),
        state=state,
        attempts=attempts,
        answer=answer,
        created_at=created,
        next_at=next_at,
        ended_at=ended,
    )
