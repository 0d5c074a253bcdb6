"""The file of the schedule's store: opening it, its errors in words, transactions, and whether it is still in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tierdrill.history.database_file import bring_up_to_date, connect, execute_all, immediate, is_corrupt
from tierdrill.schedule.store.slot_records import SCHEMA, SCHEMA_VERSION

FILE = "schedule.db"

BUSY_S = 1.0
"""How long a call waits for another writer; the event loop waits with it."""


class StoreError(Exception):
    """The store cannot be read or written now (locked, full, no permission); the message names file and reason."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(reason)
        self.path = path


class StoreCorrupt(StoreError):
    """The file is not, or no longer, a whole database of this kind."""


class StoreMoved(StoreError):
    """The file is no longer the one that was opened: somebody set it aside, or removed it."""


class NotOurs(StoreError):
    """The slot is in the hands of another scheduler, or decided."""


class StoreFile:
    """`schedule.db` of one home: WAL, synchronous FULL. Safe for several processes; one instance per thread."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        with self._explained():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = connect(self.path, BUSY_S)
            try:
                self._open()
                self._file = self.path.stat().st_ino
            except BaseException:
                self._database.close()
                raise

    def check_place(self) -> None:
        """StoreMoved if another file, or none, is where this one was opened: what is written here, nobody reads."""
        try:
            found = self.path.stat().st_ino
        except OSError as error:
            raise StoreMoved(f"{self.path}: {error.strerror}", self.path) from error
        if found != self._file:
            raise StoreMoved(f"{self.path}: another file is in its place", self.path)

    def _open(self) -> None:
        bring_up_to_date(self._database, SCHEMA_VERSION, lambda database, _: execute_all(database, SCHEMA))
        self._database.execute("SELECT count(*) FROM slots WHERE state IN ('claimed', 'running')").fetchone()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            if self._is_corruption(error):
                raise StoreCorrupt(f"{self.path}: {error}", self.path) from error
            raise StoreError(f"{self.path}: {error}", self.path) from error

    @staticmethod
    def _is_corruption(error: Exception) -> bool:
        foreign = str(error).startswith(("no such table", "no such column"))
        return isinstance(error, ValueError) or is_corrupt(error) or foreign

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), immediate(self._database) as database:
            yield database

    def close(self) -> None:
        self._database.close()

    def check(self) -> None:
        """Look through the whole file; StoreCorrupt if it is damaged."""
        with self._explained():
            found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreCorrupt(f"{self.path}: {found}", self.path)
