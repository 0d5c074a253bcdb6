"""A database that cannot be read any more is set aside, never deleted, and a new one is begun; that is said loudly.

`tierdrill status` and `tierdrill doctor` go on telling of it for as long as the copy is there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

MARK = ".corrupt-"
SIDE_FILES = ("-wal", "-shm")
_LOCK = "rescue.lock"
# Primary result codes: https://www.sqlite.org/rescode.html
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_log = logging.getLogger(__name__)


def is_corrupt(error: BaseException | None) -> bool:
    """Does the error say that the file itself is broken (and not that it is locked, full or missing)?"""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and isinstance(code, int) and code & 0xFF in _CORRUPT


def set_aside(path: Path) -> Path | None:
    """Move a broken database with its side files to `NAME.corrupt-TIME` beside it; that path.

    None if it reads well: somebody else has begun a new one meanwhile. OSError if it cannot be moved.
    """
    with _alone(path.parent):
        if not _broken(path):
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept = path.with_name(f"{path.name}{MARK}{stamp}")
        number = 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}{MARK}{stamp}-{number}")
        for side in SIDE_FILES:
            beside = Path(f"{path}{side}")
            if beside.exists():
                beside.rename(f"{kept}{side}")
        path.rename(kept)
    _tell(f"{path} is corrupt; it is kept as {kept}, and a new one is begun")
    return kept


def kept_copies(home: Path) -> list[Path]:
    """The databases of this home that were set aside, oldest first."""
    return sorted(path for path in home.glob(f"*.db{MARK}*") if not path.name.endswith(SIDE_FILES))


def _broken(path: Path) -> bool:
    """Whether any page of it cannot be read; the whole file is looked at."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as database:
            return any(row[0] != "ok" for row in database.execute("PRAGMA quick_check(1)"))
    except sqlite3.Error as error:
        return is_corrupt(error)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    lock = os.open(home / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _tell(text: str) -> None:
    _log.error(text)
    try:
        print(f"tierdrill: {text}", file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError):
        pass
