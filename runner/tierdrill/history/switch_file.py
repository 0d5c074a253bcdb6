"""What runs are asked by a file: the kill switch of a home, and the request that one run stops.

They must work when nothing else does: on a full disk, with a database that is locked or broken. So the file is there,
as large as it will ever be, before it is needed (`prepare`), and asking writes into it in place. Where there is none
yet, an empty one says it, too. It asks for nothing while it begins with the word "off".
"""

import contextlib
import errno
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from tierdrill.text import visible

SIZE = 4096
AUTHOR_MAX, REASON_MAX = 120, 800
"""So many characters are kept of each: with four bytes for each of them they fit."""

_OFF = b"off\n".ljust(SIZE)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@dataclass(frozen=True)
class Halt:
    """Asked to stop: when (Unix seconds), by whom and why."""

    at: float
    author: str
    reason: str


class Switch:
    """One such file. Safe for several processes: each writes the whole of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the file, off, if there is none and there is room for it."""
        if self.path.exists():
            return
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_OFF)
                file.flush()
                os.fsync(descriptor)
            # Whole or not at all, and never over one that somebody has made, and thrown, meanwhile.
            os.link(draft, self.path)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def throw(self, asked: Halt) -> None:
        """Ask; on the disk when this returns. OSError only where not even an empty file can be made."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Cut before, as nobody shows a text of any length, and after, as what is made visible grows.
        author = visible(asked.author[:AUTHOR_MAX])[:AUTHOR_MAX]
        reason = visible(asked.reason[:REASON_MAX])[:REASON_MAX]
        line = json.dumps({"at": asked.at, "author": author, "reason": reason}, ensure_ascii=False).encode()
        self._write(line.ljust(SIZE), os.O_CREAT)

    def thrown(self) -> Halt | None:
        """What is asked; None while it is off. A file that cannot be read may ask, so it does."""
        try:
            with self.path.open("rb") as file:
                found, at = file.read(SIZE), os.fstat(file.fileno()).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Halt(0.0, "unknown", f"{self.path} cannot be read: {error.strerror}")
        if found.startswith(_OFF[:4]):
            return None
        try:
            said = json.loads(found)
            return Halt(float(said["at"]), str(said["author"]), str(said["reason"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return Halt(at, "unknown", "the reason was not kept: the disk had no room")

    def release(self) -> None:
        """Ask for nothing any more; OSError if that cannot be written."""
        if self.thrown() is None:
            return
        with contextlib.suppress(OSError):
            self._write(_OFF, 0)
        if self.thrown() is not None:
            self.path.unlink()

    def remove(self) -> None:
        """Remove the file, once nobody looks at it any more."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _write(self, content: bytes, flags: int) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        try:
            try:
                written = os.pwrite(descriptor, content, 0)
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                written = 0
            if written != len(content):
                # Half a line is no line; an empty file needs no room.
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def kill_switch(home: Path) -> Switch:
    """The kill switch of that home: while it is thrown nothing starts, and what runs stops."""
    return Switch(home / "switches" / "halt")


def stop_switch(home: Path, run: str) -> Switch:
    return Switch(home / "switches" / f"stop-{run}")
