"""The file of the schedule's store: opening it, its errors in words, transactions, and whether it is still in place."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tierdrill.history.database_file import DatabaseFile, execute_all, inode_of, is_corrupt
from tierdrill.schedule.store.slot_records import SCHEMA, SCHEMA_VERSION
from tierdrill.text import Explained

FILE = "schedule.db"

BUSY_S = 1.0
"""How long a call waits for another writer; the event loop waits with it."""


class StoreError(Explained):
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


class StoreFile(DatabaseFile):
    """`schedule.db` of one home: WAL, synchronous FULL. Safe for several processes; one instance per thread."""

    FILE, VERSION, FAILURE = FILE, SCHEMA_VERSION, StoreError

    def __init__(self, home: Path) -> None:
        super().__init__(home, BUSY_S)

    def _begin(self) -> None:
        self._database = self._open()
        self._inode = inode_of(self.path)

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        execute_all(database, SCHEMA)

    def check_place(self) -> None:
        """StoreMoved if another file, or none, is where this one was opened: what is written here, nobody reads."""
        found = inode_of(self.path)
        if found != self._inode:
            what = "it is gone" if found is None else "another file is in its place"
            raise StoreMoved(f"{self.path}: {what}", self.path)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A damaged file is not set aside here: who opened it does that, and says what it means for the schedule."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            foreign = isinstance(error, ValueError) or str(error).startswith(("no such table", "no such column"))
            kind = StoreCorrupt if foreign or is_corrupt(error) else StoreError
            raise kind(f"{self.path}: {error}", self.path) from error

    def check(self) -> None:
        """Look through the whole file; StoreCorrupt if it is damaged, or another program's."""
        found = self._rows("PRAGMA quick_check(1)")[0][0]
        if found != "ok":
            raise StoreCorrupt(f"{self.path}: {found}", self.path)
        self._rows("SELECT count(*) FROM slots WHERE state IN ('claimed', 'running')")
