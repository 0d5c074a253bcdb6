"""A database that cannot be read any more is set aside, never deleted, and a new one is begun; that is said loudly.

`tierdrill status` and `tierdrill doctor` go on telling of it for as long as the copy is there.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tierdrill.process.file_lock import locked

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
