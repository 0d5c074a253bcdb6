"""A store on a database of the home: opened and brought up to date, its errors in words, set aside when broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tierdrill.history.damaged_database import inode_of, is_corrupt, opened, set_aside
from tierdrill.history.database import BUSY_S, bring_up_to_date, connect, immediate


class DatabaseFile:
    """What such stores have in common. A class of its own says which file, which version, and how it is changed to it.

    Safe for several processes; one instance per thread.
    """

    FILE: ClassVar[str]
    VERSION: ClassVar[int]
    FAILURE: ClassVar[type[Exception]]

    def __init__(self, home: Path, busy_s: float = BUSY_S, *, durable: bool = True, any_thread: bool = False) -> None:
        self.path = home / self.FILE
        self._busy_s, self._durable, self._any_thread = busy_s, durable, any_thread
        with self._explained():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._begin()

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        """Change the tables of a file of that earlier version (0: a new file) into those of VERSION."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._database = opened(self.path, self._open)
        self._inode = inode_of(self.path)

    def _open(self) -> sqlite3.Connection:
        database = connect(self.path, self._busy_s, self._durable, self._any_thread)
        try:
            bring_up_to_date(database, self.VERSION, self._change)
            # A look at its tables reads the schema, which the pragmas above do not.
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            said = str(error)
            if is_corrupt(error) and hasattr(self, "_inode"):
                kept = set_aside(self.path, self._inode)
                said += f"; it is kept as {kept}, and a new one is begun" if kept is not None else ""
                self._lost()
            elif "locked" in said:
                said += f" by another process for over {self._busy_s:g} s; nothing was lost, try again"
            elif getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
                said += "; the disk is full or cannot be written; what was written before is kept"
            raise self.FAILURE(f"{self.path}: {said}") from error

    def _lost(self) -> None:
        """The file was set aside while it was in use."""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), immediate(self._database) as database:
            yield database

    def close(self) -> None:
        """Release the file."""
        self._database.close()
