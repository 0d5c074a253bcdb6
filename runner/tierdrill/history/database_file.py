"""The home's databases, SQLite files in WAL mode: opened and brought up to date, errors in words, set aside if broken.

Several processes may open the same file for the first time at the same moment. One that cannot be read any more is set
aside, never deleted, and a new one is begun; that is said loudly, and by status and doctor while the copy is there.
"""

import contextlib
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from tierdrill.process.safe_files import locked

MARK = ".corrupt-"
SIDE_FILES = ("-wal", "-shm")
_NOT_COPIES = (*SIDE_FILES, ".later")
_LOCK = "rescue.lock"
# Primary result codes: https://www.sqlite.org/rescode.html
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_log = logging.getLogger(__name__)


def is_corrupt(error: BaseException | None) -> bool:
    """Does the error say that the file itself is broken (and not that it is locked, full or missing)?"""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and isinstance(code, int) and code & 0xFF in _CORRUPT


def inode_of(path: Path) -> int | None:
    """Which file that name has now; None if there is none. Taken before a database is opened."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def set_aside(path: Path, inode: int | None) -> Path | None:
    """Move a broken database with its side files to `NAME.corrupt-TIME` beside it; that path.

    None if `inode`, the file that was found broken, is not there any more: somebody else has begun a new one meanwhile.
    OSError if it cannot be moved.
    """
    with locked(path.parent / _LOCK):
        if inode is None or inode_of(path) != inode:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept, number = path.with_name(f"{path.name}{MARK}{stamp}"), 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}{MARK}{stamp}-{number}")
        # Before and after: a new database must never find the log of the old one, nor one that was made meanwhile.
        _move_sides(path, kept)
        path.rename(kept)
        _move_sides(path, kept)
    _tell(f"{path} is corrupt; it is kept as {kept}, and a new one is begun")
    return kept


def _move_sides(path: Path, kept: Path) -> None:
    for side in SIDE_FILES:
        beside, target = Path(f"{path}{side}"), Path(f"{kept}{side}")
        if beside.exists():
            beside.rename(target if not target.exists() else f"{target}.later")


def opened(path: Path, open_it: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    """What `open_it` gives, a second time where the first found the database broken: on a new one then."""
    inode = inode_of(path)
    try:
        return open_it()
    except sqlite3.Error as error:
        if not is_corrupt(error):
            raise
        set_aside(path, inode)
        return open_it()


def kept_copies(home: Path) -> list[Path]:
    """The databases of this home that were set aside, oldest first."""
    found = home.glob(f"*.db{MARK}*")
    return sorted(path for path in found if not path.name.endswith(_NOT_COPIES))


def _tell(text: str) -> None:
    # Without handlers logging itself would write to stderr, and it would be said twice.
    if logging.getLogger().hasHandlers():
        _log.error(text)
    try:
        sys.stderr.write(f"tierdrill: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


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
        raise sqlite3.OperationalError(f"written by a newer tierdrill (schema {version}; known are up to {wanted})")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def execute_all(database: sqlite3.Connection, statements: str) -> None:
    """Statements with a semicolon after each and none inside, in the transaction that goes on."""
    for statement in filter(str.strip, statements.split(";")):
        database.execute(statement)


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

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Carry out one statement that changes something."""
        with self._explained():
            return self._database.execute(statement, values)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows of one statement."""
        with self._explained():
            return self._database.execute(statement, values).fetchall()

    def close(self) -> None:
        self._database.close()

    @classmethod
    @contextmanager
    def kept(cls, home: Path) -> Iterator[Self | None]:
        """The home's file, for as long as the block lasts; None where there is none yet: looking makes none."""
        if not (home / cls.FILE).exists():
            yield None
            return
        with contextlib.closing(cls(home)) as store:
            yield store
