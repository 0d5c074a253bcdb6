"""Files that are there as a whole, or as they were before: a full disk or a kill leaves no half of one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_NOT_FILES = (Path("/dev"), Path("/proc"))


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """A file to write, put in its place when the block ends well. OSErrors name the place, not the draft.

    A symbolic link stays one, and what it points to is written. What is no plain file (a device, a pipe) is written
    straight into.
    """
    target = Path(os.path.realpath(path))
    if _takes_what_comes(path, target):
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        if error.filename not in (None, str(draft)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def _takes_what_comes(path: Path, target: Path) -> bool:
    """Whether it is a device, a pipe or a socket, or a name for something that is open already (/dev/stdout)."""
    if any(path.is_relative_to(folder) or target.is_relative_to(folder) for folder in _NOT_FILES):
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_atomic(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text)


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read. Readers see the old or the new one; a power cut may take both."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
