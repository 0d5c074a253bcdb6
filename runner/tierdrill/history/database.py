"""The home's databases, SQLite files in WAL mode: how one is opened, brought up to date, and written to.

Several processes may open the same file for the first time at the same moment.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_S = 5.0
"""How long a file that somebody else has locked is waited for, where nothing else is said."""

_LOOK_EVERY_S = 0.01


def connect(path: Path, busy_s: float = BUSY_S, durable: bool = True, any_thread: bool = False) -> sqlite3.Connection:
    """A connection in WAL mode, without implicit transactions; sqlite3.Error if there can be none.

    `durable`: what was committed is on the disk, also when the machine loses power, not only when the process dies.
    `any_thread`: the caller sees to it that only one thread uses it at a time.
    """
    _make_private(path)
    database = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=not any_thread)
    try:
        _to_wal(database, busy_s)
        database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    except BaseException as error:
        database.close()
        unopened = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN
        if unopened and not os.access(path.parent, os.W_OK):
            raise sqlite3.OperationalError("it cannot be opened: its folder cannot be written to") from error
        raise
    return database


def _make_private(path: Path) -> None:
    """Only its owner reads a database, whatever the umask; SQLite makes the files beside it the same.

    A file that is there is never opened here: closing it again would drop every lock that this process's other
    connections hold on it (POSIX), and what they write from then on would be lost.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _to_wal(database: sqlite3.Connection, busy_s: float) -> None:
    """Change a new file to WAL. Two who do so at once would wait for each other, so SQLite lets neither wait."""
    until = time.monotonic() + busy_s
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def immediate(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that takes the write lock at once; undone if the block, or its end, raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def bring_up_to_date(
    database: sqlite3.Connection, wanted: int, change: Callable[[sqlite3.Connection, int], None]
) -> None:
    """Let `change(database, version)` make a file of an earlier schema version (0: a new one) into one of `wanted`.

    All or nothing, and once where several processes open it at the same time. One that a later program wrote is left as
    it is: sqlite3.OperationalError.
    """
    if _version(database) < wanted:
        with immediate(database):
            if (version := _version(database)) < wanted:
                change(database, version)
                database.execute(f"PRAGMA user_version={wanted}")
    if (version := _version(database)) > wanted:
        raise sqlite3.OperationalError(
            f"written by a newer tierdrill (schema {version}; known are up to {wanted})"
        )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def execute_all(database: sqlite3.Connection, statements: str) -> None:
    """Statements with a semicolon after each and none inside, in the transaction that goes on."""
    for statement in filter(str.strip, statements.split(";")):
        database.execute(statement)
