"""The rollouts on disk: where each entry stands, and every move it made, with author or run and reason.

For whoever runs drills by themselves:

    with closing(RolloutStore(home)) as store:
        may = store.allowed(calendar, entry, rollout, now)      # may.stage applies, or may.held says why nothing starts
        moves = store.after_run(calendar, entry, rollout, result)    # once for each slot; a run counts only once

A file that is lost or was set aside lets every entry begin at its first stage again, which is the safe side.
"""

import sqlite3

from tierdrill.documents.models.staged_rollout import Rollout
from tierdrill.history.database_file import DatabaseFile, execute_all
from tierdrill.schedule.rollout.rollout_stages import (
    Allowed,
    Move,
    RolloutState,
    RunResult,
    after_run,
    allowed,
    begin,
    set_by_hand,
)
from tierdrill.schedule.rollout.rollout_stages import settled as settled_state
from tierdrill.text import Explained

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rollouts (
  calendar TEXT NOT NULL, entry TEXT NOT NULL, stage TEXT NOT NULL, clean INTEGER NOT NULL, held TEXT NOT NULL,
  last_clean_at REAL NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (calendar, entry)
) STRICT;
CREATE TABLE IF NOT EXISTS moves (
  number INTEGER PRIMARY KEY, calendar TEXT NOT NULL, entry TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
  before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL, run TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS moves_of ON moves (calendar, entry, number);
CREATE TABLE IF NOT EXISTS counted (
  calendar TEXT NOT NULL, entry TEXT NOT NULL, run TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (calendar, entry, run)
) STRICT, WITHOUT ROWID;
"""


class RolloutError(Explained):
    """The rollouts cannot be read or written; the message names the file and the reason."""


class RolloutStore(DatabaseFile):
    """The rollouts of one home. Safe for several processes; one instance per thread."""

    FILE, VERSION, FAILURE = "rollout.db", 1, RolloutError

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        execute_all(database, _SCHEMA)

    def state(self, calendar: str, entry: str) -> RolloutState | None:
        """Where an entry stands; None if it has not begun."""
        rows = self._rows(
            "SELECT stage, clean, held, last_clean_at, mark FROM rollouts WHERE calendar = ? AND entry = ?",
            *(calendar, entry),
        )
        return RolloutState(*rows[0]) if rows else None

    def allowed(self, calendar: str, entry: str, rollout: Rollout, now: float) -> Allowed:
        """What may start now; an entry that has not begun begins, one whose calendar was changed is settled."""
        with self._transaction():
            return allowed(self._settled(calendar, entry, rollout, now)[0], rollout)

    def after_run(self, calendar: str, entry: str, rollout: Rollout, result: RunResult) -> list[Move]:
        """Take a run into account, once however often it is told; the moves it made."""
        with self._transaction():
            state, settling = self._settled(calendar, entry, rollout, result.at)
            fresh = self._database.execute(
                "INSERT OR IGNORE INTO counted VALUES (?, ?, ?, ?)", (calendar, entry, result.run, result.at)
            )
            if fresh.rowcount == 0:
                return settling
            after, moves = after_run(state, rollout, result)
            self._keep(calendar, entry, after, moves)
        return [*settling, *moves]

    def set_by_hand(
        self, calendar: str, entry: str, rollout: Rollout, stage: str, at: float, author: str, reason: str
    ) -> Move:
        """Put an entry at a stage; ValueError if the rollout has none of that name."""
        with self._transaction():
            state, _ = self._settled(calendar, entry, rollout, at)
            after, move = set_by_hand(state, rollout, stage, at, author, reason)
            self._keep(calendar, entry, after, [move])
        return move

    def moves(self, calendar: str, entry: str, limit: int = 50) -> list[Move]:
        """The newest moves of an entry first."""
        rows = self._rows(
            "SELECT at, kind, before, after, reason, author, run FROM moves WHERE calendar = ? AND entry = ? "
            "ORDER BY number DESC LIMIT ?",
            *(calendar, entry, limit),
        )
        return [Move(*row) for row in rows]

    def _settled(
        self, calendar: str, entry: str, rollout: Rollout, at: float
    ) -> tuple[RolloutState, list[Move]]:
        known = self.state(calendar, entry)
        state, moves = begin(rollout, at) if known is None else settled_state(known, rollout, at)
        if state != known:
            self._keep(calendar, entry, state, moves)
        return state, moves

    def _keep(self, calendar: str, entry: str, state: RolloutState, moves: list[Move]) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO rollouts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (calendar, entry, state.stage, state.clean, state.held, state.last_clean_at, state.mark),
        )
        self._database.executemany(
            "INSERT INTO moves (calendar, entry, at, kind, before, after, reason, author, run) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (calendar, entry, move.at, move.kind, move.before, move.after, move.reason, move.author, move.run)
                for move in moves
            ],
        )
